"""Draws Fig. 4 of a run, or of the runs of a study (--table1): agreement after removing a share of video or audio."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeaff.cli import evaluate
from edgeaff.cli.process import print_message
from edgeaff.errors import ArgumentError
from edgeaff.training import SPLITS
from edgeaff.types import MODALITIES

if TYPE_CHECKING:
    from edgeaff.training.studies.fig4 import AblationPoint

FIGURE = (
    "transformer_av",
    "transformer_av+dropout",
    "transformer_av+residual",
    "transformer_av+residual+dropout",
    "edge",
)
WAYS = ("frames", "block")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    evaluate.add_shared_arguments(parser)
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="valid",
        help="split of a run (default valid; --table1 uses test if it has labels)",
    )
    parser.add_argument(
        "--modality",
        choices=MODALITIES,
        nargs="+",
        default=list(MODALITIES),
        help="modality to remove (default: both, one by one)",
    )
    parser.add_argument(
        "--way", choices=WAYS, nargs="+", default=list(WAYS), help="single frames or one block (default both)"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th track only (default 1)")
    parser.add_argument(
        "--repeats", type=int, default=10, help="repetitions with other positions (default 10, as in the paper)"
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command. The last line of stdout is one JSON object.

    Args:
        options: parsed arguments.

    Returns:
        The exit code.

    Raises:
        ArgumentError: an argument is out of range.
    """
    evaluate.check(options)
    if options.repeats < 1:
        raise ArgumentError(f"repeats must be at least 1, got {options.repeats}; the paper has 10.")
    if options.every < 1:
        raise ArgumentError(f"every must be at least 1, got {options.every}; 1 takes all tracks.")
    curves, folder, more = _study(options) if options.table1 else _one(options)
    from edgeaff.training.studies.fig4 import write_report

    write_report(folder, curves, **more)
    print_message((folder / "fig4.md").read_text(encoding="utf-8"), prefix="")
    print(json.dumps({"figure": str(folder / "fig4.json"), "runs": list(curves)}))
    return 0


def _one(options: argparse.Namespace) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    from edgeaff.measures import annotated
    from edgeaff.training.trainer.checkpoint import load_run

    system, module, description = load_run(options.run)
    own = [track for track in evaluate.load_tracks(options, description) if track.split == options.split]
    tracks = [track for track in own if annotated(track.labels).any()][:: options.every]
    return (
        {system.name: [point for kind in _kinds(options) for point in _curve(options, module, system, tracks, kind)]},
        evaluate.output_folder(options),
        {"split": options.split, "tracks": len(tracks)},
    )


def _study(options: argparse.Namespace) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    from edgeaff.training.studies.fig4 import over_seeds
    from edgeaff.training.studies.study import measured_on, measured_tracks

    options.only = options.only or list(FIGURE)
    study, corpus, results = evaluate.trained_study(options)
    split = measured_on(results)
    curves: dict[str, Any] = {}
    tracks: list[Any] = []
    for name in options.only:
        seeds = [result["seed"] for result in results if result["run"] == name]
        if not seeds:
            continue
        form = study.runs[name].form
        tracks = measured_tracks(corpus.form(form))[1][:: options.every]
        each = [_run_curves(options, options.output / "runs" / f"{name}-{seed}", tracks) for seed in seeds]
        curves[name] = over_seeds(each)
    return curves, options.output, {"split": split, "tracks": len(tracks), **evaluate.described(study, corpus)}


def _kinds(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Returns the (modality, way) of every curve that is requested."""
    return [(modality, way) for modality in options.modality for way in options.way]


def _run_curves(options: argparse.Namespace, folder: Path, tracks: Sequence[Any]) -> list[AblationPoint]:
    """Returns the curves of a finished run of a study; each is kept in the run's folder, and what is kept is not done again."""
    from edgeaff.training.studies.fig4 import AblationPoint
    from edgeaff.training.studies.study import kept
    from edgeaff.training.trainer.checkpoint import load_run

    points: list[AblationPoint] = []
    for kind in _kinds(options):

        def made(kind: tuple[str, str] = kind) -> list[dict[str, Any]]:
            system, module, _ = load_run(folder)
            return [dataclasses.asdict(point) for point in _curve(options, module, system, tracks, kind)]

        name = f"curve-{'-'.join(kind)}-{options.repeats}-{len(tracks)}.json"
        points += [AblationPoint(**point) for point in kept(folder, name, made)]
    return points


def _curve(
    options: argparse.Namespace, module: Any, system: Any, tracks: Sequence[Any], kind: tuple[str, str]
) -> list[AblationPoint]:
    from edgeaff.training.studies.fig4 import AblationPlan, ablate

    if not tracks:
        raise ArgumentError(
            f"corpus must hold annotated tracks of the split, got none in {options.corpus}; choose another --split."
        )
    modality, way = kind
    return ablate(module, system, tracks, modality, AblationPlan(repeats=options.repeats, way=way))
