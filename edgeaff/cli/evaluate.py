"""Evaluates a trained run or a bundle on a corpus, or trains and evaluates every system of Table 1 (--table1); resumes after a stop."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeaff.cli.extract import add_vggface_arguments
from edgeaff.cli.process import print_message
from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.machine import usable_cores
from edgeaff.training import SPLITS

if TYPE_CHECKING:
    from edgeaff.training.features.prepared import PreparedCorpus
    from edgeaff.training.studies.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    add_shared_arguments(parser)
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="valid",
        help="split of a run (default valid; --table1 uses test if it has labels)",
    )
    parser.add_argument(
        "--submission",
        type=Path,
        metavar="VIDEOS",
        help="write a run's predictions for every video frame in the format of the challenge; VIDEOS: the corpus as unpacked",
    )
    parser.add_argument(
        "--risk-coverage",
        action="store_true",
        help="for a bundle: write CCC and RMSE over the share of answered ticks, most certain first (JSON, Markdown, PNG)",
    )
    parser.add_argument(
        "--sample", type=Path, help="official sample file: one file by frame (2025 on) instead of a file per track"
    )
    parser.add_argument(
        "--lags", type=float, metavar="SECONDS", help="of a run: also CCC with labels up to so much later or earlier"
    )
    parser.add_argument(
        "--dyad",
        nargs=2,
        action="append",
        default=[],
        metavar=("TRACK", "TRACK"),
        help="of a run: also the synchrony of two tracks recorded together, tested against shifts; may be repeated",
    )


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options that evaluate and ablate share."""
    parser.add_argument(
        "run", nargs="?", type=Path, help="folder of a run of edgeaff train; evaluate also takes a bundle (.eaff)"
    )
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder of edgeaff extract, or of a corpus in a layout of Aff-Wild2"
    )
    parser.add_argument("--output", type=Path, help="folder for JSON, Markdown and PNG (default: that of the run)")
    parser.add_argument(
        "--table1",
        nargs="?",
        const=Path("table1"),
        type=Path,
        metavar="STUDY",
        help="instead of a run: all systems of a study (TOML; default: the shipped one); trains the missing ones",
    )
    parser.add_argument("--cache", type=Path, help="features of --table1 (default: OUTPUT/features)")
    parser.add_argument(
        "--bundle", type=Path, help="bundle with detector and face encoder for them (default: the shipped one)"
    )
    add_vggface_arguments(parser)
    parser.add_argument(
        "--workers",
        type=int,
        default=usable_cores(),
        help="processes that extract missing features (default: one per core, %(default)s)",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="RUN", help="runs of the study")
    parser.add_argument("--finished", action="store_true", help="train nothing: use the finished runs")
    parser.add_argument("--device", default="cpu", help="device for training with --table1: cpu (default), or cuda")
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds instead of the study's")


def run(options: argparse.Namespace) -> int:
    """Runs the command. The last line of stdout is one JSON object.

    Args:
        options: parsed arguments.

    Returns:
        The exit code.

    Raises:
        ArgumentError: an option does not go with the others.
    """
    if (options.lags is not None or options.dyad) and (options.table1 or is_of_a_bundle(options)):
        raise ArgumentError("lags and dyad must be of one run, got one of them without; name a run.")
    if is_of_a_bundle(options):
        return _bundle(options)
    check(options)
    if options.submission is None and options.sample is not None:
        raise ArgumentError(f"sample must come with --submission VIDEOS, got {options.sample} alone; give both.")
    if options.submission is not None and options.table1:
        raise ArgumentError(f"submission must be of one run, got {options.submission} with --table1; name a run.")
    return _table(options) if options.table1 else _one(options)


def is_of_a_bundle(options: argparse.Namespace) -> bool:
    """Returns whether a bundle is measured: RUN is one, or a curve is wanted and no run is named.

    Args:
        options: parsed arguments.

    Raises:
        ArgumentError: a curve is wanted of a run, which states no standard deviations, or an option of runs is given.
    """
    is_file = options.run is not None and options.run.suffix == ".eaff"
    if options.risk_coverage and not is_file and (options.run or options.table1):
        raise ArgumentError(
            f"run must be a bundle (.eaff), which states standard deviations, with --risk-coverage, got {options.run or options.table1}; "
            "name the bundle, or none for the one that ships."
        )
    if not is_file and not options.risk_coverage:
        return False
    if options.submission is not None or options.output is None:
        raise ArgumentError(
            f"a bundle must come with --output and without --submission, got {options.output} and {options.submission}; name a folder "
            "for its figures."
        )
    return True


def check(options: argparse.Namespace) -> None:
    """Checks what evaluate and ablate share.

    Args:
        options: parsed arguments.

    Raises:
        ArgumentError: neither or both of a run and --table1 are given, or --output is missing.
        BackendUnavailableError: a package of the extra `train` is missing.
    """
    if (options.run is None) == (options.table1 is None):
        raise ArgumentError(
            f"run or --table1 must be given, one of them, got {options.run} and {options.table1}; see edgeaff {options.command} --help."
        )
    if options.output is None and options.run is None:
        raise ArgumentError("output must be given with --table1, got none; name a folder.")
    check_installed()


def check_installed() -> None:
    """Checks that the extra `train` is there.

    Raises:
        BackendUnavailableError: a package is missing.
    """
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(f"training needs torch, got: {error}; pip install 'edgeaff[train]'.") from error


def trained_study(options: argparse.Namespace) -> tuple[Study, PreparedCorpus, list[dict[str, Any]]]:
    """Returns the study, its corpus, and the results of its runs, after training those that are missing (unless --finished).

    Args:
        options: parsed arguments.

    Returns:
        Study, corpus and results.
    """
    from edgeaff.cli.train import check_device
    from edgeaff.training.studies.study import read_study, run_study

    check_device(options.device)
    study = read_study(options.table1)
    if options.seeds:
        study = dataclasses.replace(study, seeds=tuple(options.seeds))
    cache = options.cache or options.output / "features"
    corpus = prepared_corpus(options, cache)

    def report(result: dict[str, Any]) -> None:
        test = result["test"]
        print_message(
            f"{result['run']} seed {result['seed']}: CCC valence {test['ccc_valence']:.3f}, arousal {test['ccc_arousal']:.3f}",
            prefix="",
        )

    results = run_study(
        study.with_runs(options.only or ()),
        corpus,
        options.output / "runs",
        train=not options.finished,
        device=options.device,
        on_result=report,
    )
    return study, corpus, results


def described(study: Study, corpus: PreparedCorpus) -> dict[str, Any]:
    """Returns the origin of results: run, machine, corpus, and the configuration of every run.

    Args:
        study: what was trained.
        corpus: on what.

    Returns:
        For JSON.
    """
    from edgeaff.machine import stamp

    configs = {name: {"form": run.form, **dataclasses.asdict(run.config)} for name, run in study.runs.items()}
    return {
        **stamp(),
        "corpus": corpus.description(),
        "study": configs,
    }


def _table(options: argparse.Namespace) -> int:
    from edgeaff.training.studies.edge_reference import EDGE, REFERENCE, edge_reference
    from edgeaff.training.studies.study import measured_on, measured_tracks
    from edgeaff.training.studies.table1 import table_rows, write_table

    study, corpus, results = trained_study(options)
    split = measured_on(results)
    rows = table_rows(study, results, options.output / "runs")
    extra: dict[str, Any] = described(study, corpus)
    finished = {(result["run"], result["seed"]) for result in results}
    if any({(EDGE, seed), (REFERENCE, seed)} <= finished for seed in study.seeds):
        _, tracks = measured_tracks(corpus.form(study.runs[REFERENCE].form))
        extra["edge_reference"] = edge_reference(study, results, options.output / "runs", tracks)
    write_table(options.output, rows, extra, split=split)
    print_message((options.output / "table1.md").read_text(encoding="utf-8"), prefix="")
    print(json.dumps({"table": str(options.output / "table1.json"), "systems": len(rows)}))
    return 0


def _one(options: argparse.Namespace) -> int:
    from edgeaff.measures import annotated
    from edgeaff.training.studies.table1 import evaluate, write_evaluation
    from edgeaff.training.studies.timing import TimingOptions
    from edgeaff.training.trainer.checkpoint import load_run

    system, module, description = load_run(options.run)
    tracks = load_tracks(options, description)
    own = [track for track in tracks if track.split == options.split]
    folder = output_folder(options)
    result: dict[str, Any] = {"system": system.name}
    if options.submission is not None:
        result |= _submission(options, folder, (system, module), own)
    if options.submission is None or any(annotated(track.labels).any() for track in own):
        timing = TimingOptions(options.lags, tuple(map(tuple, options.dyad)))
        result |= evaluate(module, system, own, description, timing=timing)
        write_evaluation(folder, options.split, result)
    print(json.dumps(result))
    return 0


def _bundle(options: argparse.Namespace) -> int:
    """Measures a bundle on features, or on videos whose features it makes; see `is_of_a_bundle`.

    Args:
        options: parsed arguments.

    Returns:
        The exit code.
    """
    from edgeaff.bundle import ModelBundle
    from edgeaff.training.features.cache import SPEC_FILE, FeatureCache

    check_installed()
    from edgeaff.training.studies.risk_coverage import check_features, evaluate_bundle, write_curves
    from edgeaff.training.studies.table1 import write_evaluation

    options.bundle = options.run or options.bundle
    bundle = ModelBundle.load(options.bundle)
    if (options.corpus / SPEC_FILE).is_file():
        cache = FeatureCache.open(options.corpus)
        check_features(bundle, cache)
        tracks: list[Any] = cache.read_all(options.split)
    else:
        made = prepared_corpus(options, options.cache or options.output / "features").form("edge")
        tracks = [track for track in made if track.split == options.split]
    result = evaluate_bundle(bundle, tracks, curve=options.risk_coverage)
    write_evaluation(options.output, options.split, result)
    if options.risk_coverage:
        write_curves(options.output, options.split, result["risk_coverage"])
        text = (options.output / f"risk_coverage_{options.split}.md").read_text(encoding="utf-8")
        print_message(text, prefix="")
    print(json.dumps(result))
    return 0


def _submission(
    options: argparse.Namespace, folder: Path, network: tuple[Any, Any], tracks: list[Any]
) -> dict[str, Any]:
    """Writes a submission.

    Args:
        options: parsed arguments.
        folder: to write into.
        network: system and module.
        tracks: to predict.

    Returns:
        What is stated of it.

    Raises:
        ArgumentError: the corpus is no folder of features, or there is no such folder or file.
    """
    from edgeaff.training.corpora.affwild2 import find_files
    from edgeaff.training.features.cache import FeatureCache
    from edgeaff.training.studies.submission import predict_frames, write_submission

    system, module = network
    if not options.submission.is_dir():
        raise ArgumentError(f"submission must be the folder of the videos, got {options.submission}; check the path.")
    if options.sample is not None and not options.sample.is_file():
        raise ArgumentError(f"sample must be the official sample file, got {options.sample}; check the path.")
    cache = FeatureCache.open(options.corpus)
    predictions = predict_frames(module, system, tracks, find_files(options.submission).videos, cache.spec)
    path = write_submission(folder, predictions, options.sample)
    return {"submission": str(path), "submitted_tracks": len(predictions)}


def output_folder(options: argparse.Namespace) -> Path:
    """Returns where results of a run go: --output, or the folder of the run (which may be named by its weights' file).

    Args:
        options: parsed arguments.

    Returns:
        The folder.
    """
    return Path(options.output or (options.run if options.run.is_dir() else options.run.parent))


def load_tracks(options: argparse.Namespace, description: dict[str, Any]) -> list[Any]:
    """Returns the tracks that a run is measured on, in the form that it was trained on.

    Args:
        options: parsed arguments.
        description: of the run's checkpoint.

    Returns:
        Tracks of every split.

    Raises:
        ArgumentError: the corpus is a tree of videos, and the run does not state the form of its features.
    """
    from edgeaff.training.features.cache import SPEC_FILE, FeatureCache
    from edgeaff.training.models import find_system
    from edgeaff.training.trainer.checks import check_features

    system = find_system(description["system"])
    if (options.corpus / SPEC_FILE).is_file():
        cache = FeatureCache.open(options.corpus)
        made_with = description.get("features", {})
        if made_with and "form" not in made_with and made_with != cache.made_with:
            raise ArgumentError(
                f"corpus must hold features made as those of the run ({made_with}), got {cache.made_with}; extract it so."
            )
        tracks: list[Any] = cache.read_all()
        check_features(system, tracks, description["config"].get("sizes"))
        return tracks
    form = "pixels" if system.from_pixels else description.get("features", {}).get("form")
    if form is None:
        raise ArgumentError(
            f"corpus must be a folder of edgeaff extract for {system.name}, got {options.corpus}; extract its features first."
        )
    cache_folder = options.cache or output_folder(options) / "features"
    return list(prepared_corpus(options, cache_folder).form(form))


def prepared_corpus(options: argparse.Namespace, cache: Path) -> PreparedCorpus:
    """Returns the corpus of --corpus, a tree of videos, with features made as the options say.

    Args:
        options: parsed arguments.
        cache: folder for the features.

    Returns:
        The corpus.
    """
    from edgeaff.training.features.prepared import PreparedCorpus
    from edgeaff.training.features.recipe import ExtractRecipe

    recipe = ExtractRecipe(
        options.bundle, vggface=options.vggface, channel_order=options.channel_order, vggface_mode=options.vggface_mode
    )
    recipe.check()
    return PreparedCorpus(options.corpus, cache, recipe, workers=options.workers)
