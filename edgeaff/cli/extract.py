"""Extracts the features of a corpus once, into a cache for training; a second run resumes after a stop."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeaff.cli.process import print_message
from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.machine import usable_cores
from edgeaff.training import SPLITS

if TYPE_CHECKING:
    from edgeaff.training.features.corpus import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("corpus", type=Path, help="folder in a layout of Aff-Wild2, as unpacked")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the features; created if missing")
    parser.add_argument(
        "--workers",
        type=int,
        default=usable_cores(),
        help="number of processes (default: one per core, %(default)s); 0 extracts in this process, which a crash then ends",
    )
    parser.add_argument(
        "--bundle", type=Path, help="bundle with detector, encoder and statistics; default: the shipped one"
    )
    parser.add_argument(
        "--preset", default="edge", help="edge (default): one LLD step a tick; paper: 63 steps stacked to 4096 values"
    )
    add_vggface_arguments(parser)
    parser.add_argument("--split", choices=SPLITS, action="append", help="extract only this split; may be repeated")
    parser.add_argument("--test-list", type=Path, help="file with the names of test tracks, one per line")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_vggface_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options that name weights of VGGFace."""
    parser.add_argument("--vggface", type=Path, help="weight file of VGGFace: descriptors of 4096 values")
    parser.add_argument("--channel-order", choices=["rgb", "bgr"], help="channel order that its first layer expects")
    parser.add_argument(
        "--vggface-mode",
        choices=["upsample", "resampled"],
        default="upsample",
        help="the published layer is for 224 px: enlarge the crops (default; the published descriptor), or fit the layer to 96 px "
        "(a fifth of the work; an approximation)",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command. The last line of stdout is one JSON object.

    Args:
        options: parsed arguments.

    Returns:
        0 when every track has features, 3 when some were skipped (each is named on stderr).

    Raises:
        ArgumentError: the corpus is none, or an argument is out of range.
        BackendUnavailableError: a package of the extra `train` is missing.
    """
    try:
        from edgeaff.training.corpora.record import size_of
        from edgeaff.training.features.cache import FeatureCache
        from edgeaff.training.features.corpus import extract_corpus
        from edgeaff.training.features.recipe import ExtractRecipe
        from edgeaff.training.features.statistics import training_statistics
    except ImportError as error:
        raise BackendUnavailableError(
            f"extract needs more packages ({error}); run `pip install 'edgeaff[train]'`."
        ) from error
    from edgeaff.bundle import ModelBundle

    everything = _all_tracks(options)
    tracks = _chosen(everything, options.split)
    bundle = ModelBundle.load(options.bundle)
    if options.workers < 0:
        raise ArgumentError(f"workers must be at least 0, got {options.workers}; see edgeaff extract --help.")
    recipe = ExtractRecipe(
        options.bundle, options.preset, options.vggface, options.channel_order, vggface_mode=options.vggface_mode
    )
    spec, encoder_id = recipe.spec(bundle), recipe.encoder_id(bundle)
    FeatureCache.check(options.cache, spec, encoder_id=encoder_id, encoder_mode=recipe.encoder_mode)
    recipe.check()
    if spec.audio_normalization == "fixed":
        statistics = training_statistics(everything, spec, options.cache, workers=options.workers)
        recipe = dataclasses.replace(recipe, statistics=statistics)
    chosen = recipe.statistics or bundle.manifest.statistics
    cache = FeatureCache(
        options.cache, spec, encoder_id=encoder_id, encoder_mode=recipe.encoder_mode, statistics=chosen
    )
    (options.cache / "statistics.json").write_text(json.dumps(chosen) + "\n", encoding="utf-8")  # for edgeaff export
    sizes = [size_of(track.media) for track in tracks if track.media and track.name in cache.missing([track.name])]
    with _progress(len(sizes), sum(sizes), quiet=options.quiet) as advance:
        report = extract_corpus(tracks, cache, recipe, workers=options.workers, advance=advance)
    for name, warnings in sorted(report.warnings.items()):
        for warning in warnings:
            print_message(f"warning: {name}: {' '.join(warning.split())}")
    for name, reason in sorted(report.skipped.items()):
        print_message(f"skipped {name}: {reason}")
    result = {"cache": str(options.cache), "extracted": len(report.extracted), "already": len(report.already)}
    print(json.dumps({**result, "skipped": sorted(report.skipped), **cache.made_with}))
    return 3 if report.skipped else 0


def _all_tracks(options: argparse.Namespace) -> list[Any]:
    """Returns the tracks of the corpus.

    Raises:
        ArgumentError: there is no such folder or file.
    """
    from edgeaff.training.corpora.affwild2 import read_corpus

    if not options.corpus.is_dir():
        raise ArgumentError(f"corpus must be a folder, got {options.corpus}; check the path.")
    if options.test_list is not None and not options.test_list.is_file():
        raise ArgumentError(f"test-list must be a file of track names, got {options.test_list}; check the path.")
    return read_corpus(options.corpus, test_list=options.test_list)


def _chosen(tracks: list[Any], splits: list[str] | None) -> list[Any]:
    """Returns the tracks of these splits.

    Raises:
        ArgumentError: there are none.
    """
    chosen = [track for track in tracks if track.split in (splits or SPLITS)]
    if not chosen:
        held = sorted({track.split for track in tracks})
        raise ArgumentError(
            f"split must be one that the corpus holds ({', '.join(held)}), got {splits}; choose another."
        )
    return chosen


@contextmanager
def _progress(tracks: int, total: int, *, quiet: bool) -> Iterator[Callable[[Outcome, int], None] | None]:
    """Shows a bar by the bytes of the videos, so that the time to go is honest; plain lines where rich is missing.

    Args:
        tracks: to extract.
        total: bytes of their videos.
        quiet: show nothing.

    Yields:
        What to call for each track, or None.
    """
    if quiet or not tracks:
        yield None
        return
    done = 0

    def count() -> str:
        return f"{done}/{tracks} tracks"

    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
    except ImportError:

        def line(outcome: Outcome, size: int) -> None:
            nonlocal done
            done += 1
            print_message(f"{count()}: {outcome.name}")

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(count(), total=total)

        def advance(outcome: Outcome, size: int) -> None:
            nonlocal done
            done += 1
            bar.update(task, advance=size, description=count())

        yield advance
