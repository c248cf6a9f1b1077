"""Table 1: every system with its agreement, its spread over seeds, its size and cost, and what differs significantly.

As in the paper a dagger marks a transformer that differs from the VGGFace-RNN of the same input by Fisher's z test over
frames (alpha 0.01). Frames of one video are no independent witnesses, so beside it stands a double dagger where the
bootstrap over videos agrees: the 99 % interval of the difference of CCC leaves out 0. Both on the mean prediction of the seeds'
networks, so that the test speaks of the system and not of one seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from edgeaff import measures
from edgeaff.errors import ArgumentError
from edgeaff.training.models.registry import SYSTEMS, System
from edgeaff.training.studies.study import Study, full_size, read_predictions
from edgeaff.training.studies.timing import TimingOptions, in_time, timing_lines
from edgeaff.training.trainer.metrics import SPLIT_NAMES, summary
from edgeaff.training.trainer.sequences import predict
from edgeaff.types import DIMENSIONS

COMPARED = {"transformer_a": "rnn_a", "transformer_v": "vggface_rnn_v", "transformer_av": "vggface_rnn_av"}
ALPHA = 0.01
RESAMPLES = 500
MEASURES = {
    "ccc": "CCC, all frames together",
    "ccc_video": "CCC, mean over videos",
    "pearson": "Pearson",
    "rmse": "RMSE",
    "sign": "sign agreement",
}
Pair = tuple[list[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One system of Table 1.

    Attributes:
        system: key of SYSTEMS.
        title: as in the paper.
        seeds: how many networks were trained.
        ccc_valence: mean over the seeds.
        ccc_arousal: mean over the seeds.
        ccc_valence_sd: standard deviation over the seeds (of the sample); 0 with one.
        ccc_arousal_sd: the same.
        significant_valence: "", "z" (Fisher over frames), or "zb" (and bootstrap over videos).
        significant_arousal: the same.
        parameters: at the published size.
        macs_per_frame: at the published size.
        reduced_width: whether it was trained smaller, or on another descriptor.
        trained_parameters: as it was trained.
        test_tracks: on how many it was measured (validation tracks where no test track has labels).
    """

    system: str
    title: str
    seeds: int
    ccc_valence: float
    ccc_arousal: float
    ccc_valence_sd: float
    ccc_arousal_sd: float
    significant_valence: str
    significant_arousal: str
    parameters: int
    macs_per_frame: int
    reduced_width: bool
    trained_parameters: int
    test_tracks: int


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Returns mean and standard deviation of a sample; 0 for one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def mean_prediction(folders: Sequence[Path]) -> Pair:
    """Returns the mean prediction of several networks for the test tracks, and the labels.

    Args:
        folders: of finished runs.

    Returns:
        (T, 2) arrays, one per track each.
    """
    pairs = [read_predictions(folder) for folder in folders]
    return [np.mean(values, axis=0) for values in zip(*(pair[0] for pair in pairs), strict=True)], pairs[0][1]


def significance(one: Pair, other: Pair, column: int, *, seed: int = 0) -> str:
    """Returns the marks for how one system differs from another: "", "z", or "zb".

    Args:
        one: predictions and labels.
        other: of the other, for the same tracks (the systems may disagree by a tick on where a track ends).
        column: 0 valence, 1 arousal.
        seed: of the bootstrap.

    Returns:
        "z" where Fisher's test over frames sees a difference, "zb" where the bootstrap over videos sees it too.
    """
    videos = []
    for first, labels, second, again in zip(*one, *other, strict=True):
        ticks = min(len(labels), len(again))
        keep = measures.annotated(labels[:ticks])
        videos.append((first[:ticks][keep, column], second[:ticks][keep, column], labels[:ticks][keep, column]))
    x, y, truth = (np.concatenate([video[part] for video in videos]) for part in range(3))
    test = measures.fisher_z_test(measures.ccc(x, truth), measures.ccc(y, truth), count=len(truth), alpha=ALPHA)
    if not test.significant:
        return ""
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(RESAMPLES):
        drawn = [videos[index] for index in rng.integers(0, len(videos), len(videos))]
        x, y, truth = (np.concatenate([video[part] for video in drawn]) for part in range(3))
        differences.append(measures.ccc(x, truth) - measures.ccc(y, truth))
    low, high = np.percentile(differences, [50 * ALPHA, 100 - 50 * ALPHA])
    return "zb" if low > 0 or high < 0 else "z"


def evaluate(
    module: nn.Module,
    system: System,
    tracks: Sequence[Any],
    description: Mapping[str, Any],
    *,
    timing: TimingOptions | None = None,
) -> dict[str, Any]:
    """Returns every measure of a trained network on some tracks, with intervals over videos.

    Args:
        module: in evaluation mode.
        system: of the registry.
        tracks: in the form that it was trained on, annotated.
        description: of its checkpoint.
        timing: measure lags and dyads too; None for neither.

    Returns:
        system, epoch, tracks, frames (annotated ticks of the model), the measures of `summary`, and a 95 % interval of both CCC;
        with `timing` what `in_time` gives.

    Raises:
        ArgumentError: no track is annotated.
    """
    kept = [track for track in tracks if measures.annotated(track.labels).any()]
    if not kept:
        raise ArgumentError(
            f"tracks must be annotated, got {len(tracks)} tracks without a label; choose a split that has labels."
        )
    predictions = [predict(module, system, track) for track in kept]
    found = {"system": system.name, "epoch": description.get("epoch"), **measured(predictions, kept)}
    if timing is not None:
        pairs = {track.name: (each, track.labels) for track, each in zip(kept, predictions, strict=True)}
        found |= in_time(pairs, timing)
    return found


def measured(predictions: Sequence[np.ndarray], tracks: Sequence[Any]) -> dict[str, Any]:
    """Returns tracks, frames, the measures of `summary`, and a 95 % interval of both CCC over videos.

    Args:
        predictions: one (T, 2) array a track.
        tracks: annotated, with `labels` (T, 2).
    """
    labels = [track.labels for track in tracks]
    result: dict[str, Any] = {
        "tracks": len(tracks),
        "frames": int(sum(measures.annotated(each).sum() for each in labels)),
        **summary(predictions, labels),
    }
    for column, name in enumerate(DIMENSIONS):
        valid = [measures.annotated(each) for each in labels]
        interval = measures.bootstrap(
            [values[keep, column] for values, keep in zip(predictions, valid, strict=True)],
            [values[keep, column] for values, keep in zip(labels, valid, strict=True)],
            repeats=RESAMPLES,
        )
        result[f"ccc_{name}_interval"] = [interval.low, interval.high]
    return result


def write_evaluation(folder: Path, split: str, result: Mapping[str, Any]) -> None:
    """Writes evaluation_SPLIT.json and .md.

    Args:
        folder: made where it is missing.
        split: of the tracks.
        result: of `evaluate`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"evaluation_{split}.json").write_text(
        json.dumps({"split": split, **result}, indent=1) + "\n", encoding="utf-8"
    )
    lines = [
        f"{result['system']}, {split}: {result['tracks']} tracks, {result['frames']:,} annotated ticks of the model",
        "",
    ]
    lines += ["| measure | valence | arousal |", "|---|---|---|"]
    for key, title in MEASURES.items():
        lines.append(f"| {title} | " + " | ".join(f"{result[f'{key}_{name}']:.3f}" for name in DIMENSIONS) + " |")
    intervals = [result[f"ccc_{name}_interval"] for name in DIMENSIONS]
    lines.append(
        "| 95 % interval over videos | " + " | ".join(f"{low:.3f} to {high:.3f}" for low, high in intervals) + " |"
    )
    lines += timing_lines(result)
    (folder / f"evaluation_{split}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def table_rows(study: Study, results: Sequence[Mapping[str, Any]], folder: Path) -> list[TableRow]:
    """Returns the rows of Table 1 in the paper's order.

    Args:
        study: what was trained.
        results: of `run_study`.
        folder: of the runs.

    Returns:
        A row for each system of the registry that has results.
    """
    seeds = {name: [r["seed"] for r in results if r["run"] == name] for name in SYSTEMS}
    pairs: dict[str, Pair] = {}
    for name in {*COMPARED, *COMPARED.values()}:
        if seeds[name]:
            pairs[name] = mean_prediction([folder / f"{name}-{seed}" for seed in seeds[name]])
    rows = []
    for name, system in SYSTEMS.items():
        own = [result for result in results if result["run"] == name]
        if not own:
            continue
        marks = ["", ""]
        if name in COMPARED and COMPARED[name] in pairs:
            marks = [significance(pairs[name], pairs[COMPARED[name]], column) for column in range(2)]
        (valence, valence_sd), (arousal, arousal_sd) = (
            spread([result["test"][f"ccc_{what}"] for result in own]) for what in DIMENSIONS
        )
        parameters, macs_per_frame = full_size(system)
        rows.append(
            TableRow(
                system=name,
                title=system.title,
                seeds=len(own),
                ccc_valence=valence,
                ccc_arousal=arousal,
                ccc_valence_sd=valence_sd,
                ccc_arousal_sd=arousal_sd,
                significant_valence=marks[0],
                significant_arousal=marks[1],
                parameters=parameters,
                macs_per_frame=macs_per_frame,
                reduced_width=study.runs[name].is_reduced,
                trained_parameters=own[0]["trained_parameters"],
                test_tracks=own[0]["test_tracks"],
            )
        )
    return rows


def markdown(rows: Sequence[TableRow], *, split: str = "test") -> str:
    """Returns the table as Markdown, with what its marks mean.

    Args:
        rows: of the table.
        split: that it was measured on.

    Returns:
        Text.
    """
    marks = {"": "", "z": " †", "zb": " ‡"}
    lines = [
        "| system | seeds | CCC valence | CCC arousal | published, Aff-Wild2 | parameters | MACs per frame | trained "
        f"| {SPLIT_NAMES[split]} tracks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        trained = f"{row.trained_parameters:,} parameters" if row.reduced_width else "full size"
        lines.append(
            f"| {row.title} | {row.seeds} | {row.ccc_valence:.3f} ± {row.ccc_valence_sd:.3f}{marks[row.significant_valence]} "
            f"| {row.ccc_arousal:.3f} ± {row.ccc_arousal_sd:.3f}{marks[row.significant_arousal]} "
            f"| {_published(row.system)} | {row.parameters:,} | {row.macs_per_frame:,} | {trained} | {row.test_tracks} |"
        )
    lines += [
        "",
        "Mean ± standard deviation over the seeds. † differs from the RNN of the same input by Fisher's z over frames "
        f"(alpha {ALPHA}); ‡ and by a bootstrap over videos.",
    ]
    if split != "test":
        lines += [
            "",
            "No test track has labels: measured on the validation tracks, by which the best epoch was chosen as well.",
        ]
    return "\n".join(lines) + "\n"


def draw_table(path: Path, rows: Sequence[TableRow], *, split: str = "test") -> None:
    """Draws valence and arousal of every system as bars with their spread.

    Args:
        path: PNG to write.
        rows: of the table.
        split: that it was measured on.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.42 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1]
    for offset, what, color in ((0.2, "valence", "#1b6ca8"), (-0.2, "arousal", "#c8553d")):
        values = [getattr(row, f"ccc_{what}") for row in rows]
        errors = [getattr(row, f"ccc_{what}_sd") for row in rows]
        axes.barh(places + offset, values, 0.38, xerr=errors, color=color, label=what, error_kw={"linewidth": 0.8})
    axes.set_yticks(places, [f"{row.title}{' *' if row.reduced_width else ''}" for row in rows])
    axes.set(xlabel=f"CCC on the {SPLIT_NAMES[split]} tracks (* trained at reduced size)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _published(system: str) -> str:
    found = SYSTEMS[system].paper_ccc
    return "" if found is None else f"{found[0]:.3f} / {found[1]:.3f}"


def write_table(folder: Path, rows: Sequence[TableRow], extra: Mapping[str, Any], *, split: str = "test") -> None:
    """Writes table1.json, table1.md and table1.png.

    Args:
        folder: made where it is missing.
        rows: of the table.
        extra: more keys of the JSON: corpus, edge_reference, notes.
        split: that it was measured on: "test", or "valid" where the test tracks have no labels.

    Raises:
        ArgumentError: there is no row.
    """
    if not rows:
        raise ArgumentError("rows must hold at least one system, got none; train one first.")
    folder.mkdir(parents=True, exist_ok=True)
    table = {"rows": [asdict(row) for row in rows], "measured_on": split, **extra}
    (folder / "table1.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    (folder / "table1.md").write_text(markdown(rows, split=split), encoding="utf-8")
    draw_table(folder / "table1.png", rows, split=split)
