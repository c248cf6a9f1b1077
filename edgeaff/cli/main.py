"""The command line: one file per command. Exit codes: 0 done, 2 usage, 3 unusable input, 130 interrupted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from edgeaff.cli.process import INTERRUPTED, accept_interruption, interruption, print_message, stdout_is_broken
from edgeaff.errors import ArgumentError, EdgeaffError
from edgeaff.naming import without_secrets
from edgeaff.parsing.boundary import printable

COMMANDS = {
    "run": "read a file or device, write valence and arousal per tick",
    "record": "run and keep the session: crops, descriptors of audio, every decision",
    "replay": "make the events of a recorded session again, byte for byte",
    "annotate": "annotate an archive: thousands of files, resumable, on one machine or many",
    "view": "show a stored session in a browser, with a scrub bar",
    "convert": "convert stored events: tables, subtitles, annotation formats",
    "models": "list, describe, verify and sign bundles; import weights",
    "extract": "extract the features of a corpus once, in parallel, to train from",
    "train": "train a system of the paper, or prove that it can learn (--smoke)",
    "doctor": "look at this machine: what will not work, and what to do",
    "export": "make a bundle of a trained run",
    "evaluate": "measure a trained run on a corpus, or all systems of Table 1",
    "ablate": "draw Fig. 4: agreement with a share of video or audio taken away",
    "bench": "measure on this machine what a tick costs",
}
KEEPING = (
    "run",
    "record",
    "annotate",
    "extract",
    "train",
    "evaluate",
    "ablate",
)  # an interruption loses nothing computed
DONE, USAGE, UNUSABLE = 0, 2, 3


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    from edgeaff.version import __version__

    parser = Parser(
        prog="edgeaff",
        description="Apparent valence and arousal from camera and microphone, on the device.",
        epilog="Exit codes: 0 done, 2 usage, 3 unusable input, 130 interrupted while a file was read, with what was computed "
        "already written; of doctor 1: something is broken. edgeaff COMMAND --help describes a command.",
    )
    parser.add_argument("--version", action="version", version=f"edgeaff {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        module = import_module(f"edgeaff.cli.{name}")
        command = commands.add_parser(name, help=summary, description=describe(module.__doc__ or ""))
        command.formatter_class = Paragraphs
        module.add_arguments(command)
    return parser


class Parser(argparse.ArgumentParser):
    """A parser, of each command too, whose errors hide the secrets of the URIs that they quote."""

    def error(self, message: str) -> NoReturn:
        """Prints usage and message, then exits with 2."""
        super().error(without_secrets(message))


class Paragraphs(argparse.HelpFormatter):
    """Wraps each paragraph of a description by itself."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(Paragraphs, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


def describe(text: str) -> str:
    """Returns the head of a command's module as its description: without the marks of code."""
    return text.strip().replace("`", "")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the options of a command.

    Raises:
        SystemExit: help was printed, or what is wrong with the arguments.
    """
    try:
        return make_parser().parse_args(arguments)
    except SystemExit:
        if sys.stdout is not None:
            sys.stdout.flush()
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code of one command, after running it."""
    kept = ""
    try:
        options = parse(arguments)
        kept = "; what was computed is written" if options.command in KEEPING else ""
        accept_interruption()
        code = int(import_module(f"edgeaff.cli.{options.command}").run(options))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return interrupted(kept)
    except BaseException as error:
        if interruption.seen:  # a library that was being loaded turns the interruption into its own error
            return interrupted(kept)
        found = code_of(error)
        if found is None:
            raise
        return found


def interrupted(kept: str) -> int:
    """Returns the exit code, after saying that the command was interrupted. kept: what is not lost."""
    print_message(f"interrupted{kept}.")
    return INTERRUPTED


def code_of(error: BaseException) -> int | None:
    """Returns the exit code that goes with an error, after saying what it is; None for a mistake in the code."""
    if isinstance(error, BrokenPipeError) and stdout_is_broken():
        return DONE
    if isinstance(error, EdgeaffError):
        print_message(one_line(error))
        return USAGE if isinstance(error, ArgumentError) else UNUSABLE
    if isinstance(error, OSError):  # a full disk, a folder that went away
        print_message(f"Writing the output failed: {one_line(error)}. Free space or write elsewhere.")
        return UNUSABLE
    return None


def one_line(error: BaseException) -> str:
    """Returns the message on one line, without the secrets of a URI in it and without what changes a terminal."""
    return printable(without_secrets(" ".join(str(error).split())))
