"""edgeaff annotate SOURCE... --output DIR: annotates an archive; run the same command again after any stop and it goes on.

A SOURCE is a file, a folder, a glob, a manifest (CSV or Parquet with a column file or path), a tar of WebDataset, or the same
under s3:// or hf://. The output holds events/ (one finished part per file), files.parquet and README.md. A file that cannot be
used is named; one that ends its worker twice is quarantined and named, and all others are done. The last line on standard
output is one JSON object; the exit code is 0, or 3 where a file failed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from edgeaff.cli.people import add_file_arguments, file_options
from edgeaff.cli.trust import add_bundle_arguments
from edgeaff.errors import ArgumentError

if TYPE_CHECKING:
    from edgeaff.archive.driver import Progress

LINE_SECONDS = 10.0  # between lines of progress where standard error is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument(
        "sources", metavar="SOURCE", nargs="*", help="file, folder, glob, manifest, tar, s3:// or hf:// URI"
    )
    parser.add_argument("--output", metavar="DIR", help="folder or s3:// URI for the results")
    parser.add_argument("--engine", default="local", help="local (default), ray, or slurm, which prints a job script")
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one per core)")
    parser.add_argument("--format", default="parquet", help="parquet (default) or jsonl")
    add_bundle_arguments(parser)
    parser.add_argument("--backend", metavar="NAME", help="backend; default: the bundle's")
    parser.add_argument("--max-faces", metavar="N", type=int, help="most faces with their own events (default 1)")
    add_file_arguments(parser)
    parser.add_argument("--memory-mb", metavar="MB", type=int, default=4096, help="limit of a worker's address space")
    parser.add_argument("--address", metavar="A", help="of the Ray cluster; default: the one that Ray finds")
    parser.add_argument("--shard", metavar="I/N", help="only this share of the files, for job arrays; I counts from 0")
    parser.add_argument(
        "--print-sbatch", metavar="N", type=int, help="print a Slurm script of N jobs for these sources"
    )
    parser.add_argument(
        "--status", metavar="DIR", help="print what became of the files of an output, and do nothing else"
    )
    parser.add_argument("--json", action="store_true", help="with --status: the JSON object alone")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after running the command.

    Raises:
        ArgumentError: an argument is missing or out of range.
    """
    from edgeaff.archive.annotate import annotate, read_status

    if options.status is not None:
        return _print(read_status(options.status), alone=options.json)
    if not options.sources or options.output is None:
        raise ArgumentError("annotate needs SOURCE and --output, got one or none; see edgeaff annotate --help.")
    if options.print_sbatch is not None or options.engine == "slurm":
        from edgeaff.archive.slurm import sbatch_script

        print(sbatch_script(sys.argv[1:], options.print_sbatch), end="")
        return 0
    shard = None
    if options.shard is not None:
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", options.shard)
        if match is None:
            raise ArgumentError(f"--shard must be I/N, got {options.shard!r}; for example 0/16.")
        shard = (int(match[1]), int(match[2]))
    with ProgressLine(enabled=not options.quiet) as line:
        report = annotate(
            options.sources,
            options.output,
            engine=options.engine,
            workers=options.workers,
            kind=options.format,
            bundle=options.bundle,
            shard=shard,
            memory_mb=options.memory_mb,
            address=options.address,
            options={"backend": options.backend, "max_faces": options.max_faces, **file_options(options)},
            progress=line.show,
            key=options.key,
            minimum_version=options.minimum_version,
        )
    return _print(report, alone=options.quiet)


def _print(report: dict[str, Any], *, alone: bool) -> int:
    if not alone:
        for kind in ("failed", "poison"):
            for row in report[kind]:
                print(f"edgeaff: {kind}: {row['file']}: {row['reason']}", file=sys.stderr)
    print(json.dumps(report))
    return 3 if report["failed"] or report["poison"] else 0


class ProgressLine:
    """One line on standard error, rewritten on a terminal, else printed every ten seconds."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr is not None
        self._terminal = self._enabled and sys.stderr.isatty()
        self._shown = 0.0
        self._any = False

    def __enter__(self) -> ProgressLine:
        self._shown = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._any:
            print(file=sys.stderr)

    def show(self, progress: Progress) -> None:
        """Shows how far the run is."""
        now = time.monotonic()
        if not self._enabled or (not self._terminal and now - self._shown < LINE_SECONDS):
            return
        self._shown, self._any = now, True
        done, total = progress.files
        eta = "" if progress.eta_seconds is None else f", {_clock(progress.eta_seconds)} left"
        poison = f", {progress.poison} quarantined" if progress.poison else ""
        text = f"{done} of {total} files, {_clock(progress.seconds)} of media at {progress.rate:.1f}x real time{eta}{poison}"
        print(
            f"\r{text}\x1b[K" if self._terminal else text,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
