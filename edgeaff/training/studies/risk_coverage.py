"""Measures a bundle on features, and draws CCC and RMSE against the share of the ticks that are answered, most certain first.

`edgeaff evaluate BUNDLE --corpus FEATURES --risk-coverage`. The standard deviation of a tick is the one that its event would have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff import measures
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.inference import Coverage, Uncertainty, load_predictor
from edgeaff.training.features.cache import FeatureCache, Features, statistics_id
from edgeaff.training.features.recipe import encoder_id_of
from edgeaff.training.studies.table1 import measured
from edgeaff.types import DIMENSIONS

Curves = Mapping[str, Sequence[Mapping[str, float]]]
COLORS = {"valence": "#1b6ca8", "arousal": "#c8553d"}


def check_features(bundle: ModelBundle, cache: FeatureCache) -> None:
    """Checks that features are those that the bundle makes.

    Args:
        bundle: to be measured.
        cache: of the features.

    Raises:
        SpecMismatchError: they were made by another preprocessing, encoder or normalization.
    """
    wanted = {"fingerprint": bundle.spec.fingerprint, "encoder_id": encoder_id_of(bundle)}
    if "statistics" in cache.made_with:
        wanted["statistics"] = statistics_id(bundle.manifest.statistics)
    if cache.made_with != wanted:
        raise SpecMismatchError(
            f"corpus must hold features that {bundle.manifest.model_id} makes ({wanted}), got {cache.made_with}; extract it again "
            "with --bundle."
        )


def predict_track(predictor: Any, uncertainty: Uncertainty, features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values of a bundle at every tick of a track, with their standard deviations.

    Args:
        predictor: of the bundle.
        uncertainty: of its manifest.
        features: of the track.

    Returns:
        Values (T, 2) in [-1, 1], without smoothing, and their standard deviations (T, 2).
    """
    seen, heard, state = Coverage(), Coverage(), predictor.initial_state()
    rows = np.zeros((len(features.labels), 4), np.float64)
    for tick, (face, audio) in enumerate(features.present):
        video = np.array(features.video[tick], np.float32) if face else None  # copies: mapped rows lie at odd addresses
        heard_now = np.array(features.audio[tick], np.float32) if audio else None
        prediction, state = predictor.step(state, video, heard_now)
        own = (prediction.valence_std, prediction.arousal_std)
        coverage = seen.push(bool(face)), heard.push(bool(audio))
        std = uncertainty.std(*coverage, own if face and None not in own else None)
        rows[tick] = prediction.valence, prediction.arousal, *std
    return np.clip(rows[:, :2], -1.0, 1.0), rows[:, 2:]


def evaluate_bundle(bundle: ModelBundle, tracks: Sequence[Features], *, curve: bool = False) -> dict[str, Any]:
    """Returns every measure of a bundle on features.

    Args:
        bundle: as it would run.
        tracks: of one split.
        curve: whether `risk_coverage` is wanted.

    Returns:
        system (the model's id), tracks, frames, the measures of `summary` with intervals; with `curve` also `risk_coverage`:
        points of `edgeaff.measures.risk_coverage` by dimension, over all annotated ticks together.

    Raises:
        ArgumentError: no track is annotated, or a curve is wanted of a bundle that states one standard deviation for everything.
    """
    kept = [track for track in tracks if measures.annotated(track.labels).any()]
    if not kept:
        raise ArgumentError(
            f"tracks must be annotated, got {len(tracks)} tracks without a label; choose a split that has labels."
        )
    predictor, uncertainty = load_predictor(bundle), Uncertainty(bundle.manifest.uncertainty)
    stated = [predict_track(predictor, uncertainty, track) for track in kept]
    result = {"system": bundle.manifest.model_id, **measured([values for values, _ in stated], kept)}
    if curve:
        result["risk_coverage"] = curves(stated, [track.labels for track in kept])
    return result


def curves(stated: Sequence[tuple[np.ndarray, np.ndarray]], labels: Sequence[np.ndarray]) -> dict[str, Any]:
    """Returns the curve of each dimension over all tracks together.

    Args:
        stated: values and standard deviations of each track, (T, 2) each.
        labels: (T, 2) of each track, -5 = not annotated.

    Raises:
        ArgumentError: a dimension has one standard deviation for everything.
    """
    values, std = (np.concatenate([one[part] for one in stated]) for part in (0, 1))
    truth = np.concatenate(list(labels))
    keep = measures.annotated(truth)
    found = {}
    for column, name in enumerate(DIMENSIONS):
        if np.ptp(std[keep, column]) == 0:
            raise ArgumentError(
                f"{name}_std must differ between ticks for a curve, got {std[keep, column][0]:.3f} everywhere; calibrate the bundle "
                "first (recipes.default_bundle)."
            )
        points = measures.risk_coverage(values[keep, column], truth[keep, column], std[keep, column])
        found[name] = [{key: round(value, 4) for key, value in asdict(point).items()} for point in points]
    return found


def markdown(found: Curves) -> str:
    """Returns the curves as a table.

    Args:
        found: points by dimension, of the same shares.
    """
    lines = [
        "| answered | CCC valence | RMSE valence | CCC arousal | RMSE arousal |",
        "|---|---|---|---|---|",
    ]
    for rows in zip(*(found[name] for name in DIMENSIONS), strict=True):
        cells = [f"{row[key]:.3f}" for row in rows for key in ("ccc", "rmse")]
        lines.append(f"| {rows[0]['answered']:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw_curves(path: Path, found: Curves) -> None:
    """Draws CCC and RMSE against the share answered.

    Args:
        path: PNG to write.
        found: points by dimension.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, key, title in zip(figure.subplots(1, 2), ("ccc", "rmse"), ("CCC", "RMSE"), strict=True):
        for name in DIMENSIONS:
            points = found[name]
            axes.plot(
                [100 * p["answered"] for p in points],
                [p[key] for p in points],
                marker="o",
                color=COLORS[name],
                label=name,
            )
        axes.set(xlabel="answered, % (most certain first)", ylabel=title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def write_curves(folder: Path, split: str, found: Curves) -> None:
    """Writes risk_coverage_SPLIT.json, .md and .png.

    Args:
        folder: made where it is missing.
        split: of the tracks.
        found: points by dimension.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"risk_coverage_{split}"
    stem.with_suffix(".json").write_text(json.dumps({"split": split, **found}, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(markdown(found), encoding="utf-8")
    draw_curves(stem.with_suffix(".png"), found)
