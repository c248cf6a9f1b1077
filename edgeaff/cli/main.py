"""The command line: one file per command. Exit codes: 0 done, 2 usage, 3 unusable input, 130 interrupted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from edgeaff.errors import ArgumentError, EdgeaffError

COMMANDS = {
    "run": "read a file or device, write valence and arousal per tick",
    "record": "run and keep the session: crops, descriptors of sound, every decision",
    "replay": "make the events of a recorded session again, byte for byte",
    "models": "list, describe, verify and sign bundles; import weights",
    "extract": "extract the features of a corpus once, in parallel, to train from",
    "train": "train a system of the paper, or prove that it can learn (--smoke)",
    "doctor": "look at this machine: what will not work, and what to do",
    "export": "make a bundle of a trained run",
    "evaluate": "measure a trained run on a corpus, or all systems of Table 1",
    "ablate": "draw Fig. 4: agreement with a share of video or sound taken away",
    "bench": "measure on this machine what a tick costs",
    "synth": "write a made-up corpus in the layout of Aff-Wild2",
}
DONE, USAGE, UNUSABLE, INTERRUPTED = 0, 2, 3, 130


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    from edgeaff import __version__

    parser = argparse.ArgumentParser(
        prog="edgeaff", description="Apparent valence and arousal from camera and microphone."
    )
    parser.add_argument("--version", action="version", version=f"edgeaff {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        module = import_module(f"edgeaff.cli.{name}")
        module.add_arguments(commands.add_parser(name, help=summary, description=module.__doc__))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code of one command, after running it."""
    options = make_parser().parse_args(arguments)
    command = import_module(f"edgeaff.cli.{options.command}")
    try:
        return int(command.run(options))
    except KeyboardInterrupt:
        print("edgeaff: interrupted; what was computed is written.", file=sys.stderr)
        return INTERRUPTED
    except ArgumentError as error:
        print(f"edgeaff: {one_line(error)}", file=sys.stderr)
        return USAGE
    except EdgeaffError as error:
        print(f"edgeaff: {one_line(error)}", file=sys.stderr)
        return UNUSABLE
    except OSError as error:  # a full disk, a folder that went away
        print(
            f"edgeaff: output must stay writable, got {one_line(error)}; free space or write elsewhere.",
            file=sys.stderr,
        )
        return UNUSABLE


def one_line(error: BaseException) -> str:
    """Returns the message on one line."""
    return " ".join(str(error).split())


def entry() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(main())
