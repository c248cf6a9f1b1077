"""Measures of a run in training: valence and arousal together, concatenated over videos and per video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeaff import measures
from edgeaff.types import DIMENSIONS

SPLIT_NAMES = {"train": "training", "valid": "validation", "test": "test"}


def summary(predictions: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, float]:
    """Returns the measures of the results table.

    Args:
        predictions: one (T, 2) array a video.
        targets: one (T, 2) array a video; -5 = not annotated (in either column, then in both).

    Returns:
        ccc_*, ccc_video_* (mean over videos), pearson_*, rmse_*, sign_* for valence and arousal, and ccc_mean.
    """
    result: dict[str, float] = {}
    valid = [measures.annotated(y) for y in targets]
    for column, name in enumerate(DIMENSIONS):
        x = [video[keep, column] for video, keep in zip(predictions, valid, strict=True)]
        y = [video[keep, column] for video, keep in zip(targets, valid, strict=True)]
        result[f"ccc_{name}"] = measures.concatenated(x, y)
        result[f"ccc_video_{name}"] = measures.per_video(x, y)
        for key, measure in (
            ("pearson", measures.pearson),
            ("rmse", measures.rmse),
            ("sign", measures.sign_agreement),
        ):
            result[f"{key}_{name}"] = measures.concatenated(x, y, measure)
    result["ccc_mean"] = (result["ccc_valence"] + result["ccc_arousal"]) / 2
    return result
