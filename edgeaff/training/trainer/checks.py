"""Checks of the data of a run before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from edgeaff.errors import ArgumentError
from edgeaff.measures import annotated
from edgeaff.training.corpora.affwild2 import video_name
from edgeaff.training.features.cache import Features
from edgeaff.training.models.registry import System
from edgeaff.training.trainer.config import TrainConfig
from edgeaff.training.trainer.losses import training_outputs
from edgeaff.training.trainer.sequences import system_inputs

MOST_TICKS = 200  # of a track: with wide features more would read tens of gigabytes before the first step
TORCH_ERRORS = (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError)


def check_network(system: System, config: TrainConfig) -> None:
    """Checks that the network of a configuration can be built and takes a sequence, before any feature is looked at.

    Args:
        system: of the registry.
        config: of the run, with the sizes of the network that is trained.

    Raises:
        ArgumentError: sizes, width, window_ticks or loss do not fit the system or each other.
    """
    ticks = config.window_ticks or system.window_ticks
    try:
        module = system.build(width=config.width, sizes=config.sizes).eval()
        shapes = system.inputs_for(config.sizes)
        inputs = {name: torch.zeros(1, ticks, *shape) for name, shape in shapes.items()}
        with torch.no_grad():
            training_outputs(module, config.loss, inputs)
    except ArgumentError:
        raise
    except TORCH_ERRORS as error:
        raise ArgumentError(
            f"sizes and window_ticks must give a network that works, got {dict(config.sizes)} and {ticks} ticks for {system.name} "
            f"({' '.join(str(error).split())}); correct the file."
        ) from error


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
                    f"{value.shape}; set follow_features = true (or sizes) in the configuration, or extract with --preset paper "
                    "--vggface FILE for the published sizes."
                )
            if not np.isfinite(value).all():
                raise ArgumentError(f"{name} of {track.name} must be finite, got NaN or inf; extract the track again.")


def check_splits(train: Sequence[Any], valid: Sequence[Any]) -> None:
    """Checks that the training and validation splits are usable and share no person.

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
