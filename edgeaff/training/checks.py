"""What is wrong with the data of a run, said before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.measures import annotated
from edgeaff.training.corpora.affwild2 import video_name
from edgeaff.training.feature_cache import Features
from edgeaff.training.models.registry import System
from edgeaff.training.sequences import system_inputs

MOST_TICKS = 2000


def check_features(system: System, tracks: Sequence[Any], sizes: Mapping[str, Any] | None = None) -> None:
    """Checks, before anything is trained, that the features are what the system takes.

    Args:
        system: of the registry.
        tracks: all tracks of the run.
        sizes: of the network, where they are not the published ones.

    Raises:
        ArgumentError: a width differs, or a track holds a value that is not finite.
    """
    wanted = system.inputs_for(sizes)
    for track in tracks:
        if len(track.labels) == 0:
            raise ArgumentError(f"{track.name} must have at least one tick, got none; extract the track again.")
        # A corpus may be larger than memory: of long tracks every so-many-th tick is looked at. The loop looks at its loss.
        step = max(1, len(track.labels) // MOST_TICKS) if isinstance(track, Features) else None
        for name, value in system_inputs(system, track, slice(0, None, step)).items():
            if value.shape[1:] != wanted[name]:
                raise ArgumentError(
                    f"{name} of {track.name} must have shape (T, {wanted[name][0]}) for {system.name}, got "
                    f"{value.shape}; set follow_features = true in the configuration, or extract with --preset paper --vggface FILE "
                    "for the published sizes."
                )
            if not np.isfinite(value).all():
                raise ArgumentError(f"{name} of {track.name} must be finite, got NaN or inf; extract the track again.")


def check_splits(train: Sequence[Any], valid: Sequence[Any]) -> None:
    """Checks that there is something to learn from, something to choose the best by, and nobody in both.

    Args:
        train: training tracks.
        valid: validation tracks.

    Raises:
        ArgumentError: a split is empty, has no annotation or constant labels, or a video is in both.
    """
    for split, tracks in (("train", train), ("valid", valid)):
        if not tracks:
            raise ArgumentError(f"features must hold {split} tracks, got none; extract both splits.")
        kept = [track.labels[annotated(track.labels)] for track in tracks]
        labels = np.concatenate(kept) if kept else np.empty((0, 2))
        if len(labels) < 2:
            raise ArgumentError(
                f"{split} tracks must be annotated, got {len(labels)} annotated ticks in {len(tracks)} tracks; "
                "check that annotation files lie beside the videos, then extract again."
            )
        if (np.ptp(labels, axis=0) == 0).any():
            raise ArgumentError(
                f"labels of the {split} tracks must vary, got valence and arousal {labels[0].tolist()} throughout; "
                "check the annotation files."
            )
    both = {video_name(track.name) for track in train} & {video_name(track.name) for track in valid}
    if both:
        raise ArgumentError(
            f"train and valid must share no video, got {', '.join(sorted(both)[:3])} in both; correct the splits."
        )
