"""Writes the files of a challenge from a trained network: predictions of every tick, converted to every video frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError
from edgeaff.spec import PreprocessSpec
from edgeaff.training.corpora.affwild2 import video_name
from edgeaff.training.corpora.submission import read_locations, values_of_frames, write_single_file, write_track_files
from edgeaff.training.features.cache import Features
from edgeaff.training.models.registry import System
from edgeaff.training.trainer.sequences import predict

FOLDER, FILE = "submission", "submission.txt"


def predict_frames(
    module: nn.Module, system: System, tracks: Sequence[Features], videos: Mapping[str, Path], spec: PreprocessSpec
) -> dict[str, np.ndarray]:
    """Returns predictions for every video frame of some tracks.

    Args:
        module: in evaluation mode.
        system: of the registry, from features.
        tracks: of one split.
        videos: file by name of video (`find_files`).
        spec: of the features.

    Returns:
        track -> (frames, 2) in [-1, 1], NaN where no tick belongs to a frame.

    Raises:
        ArgumentError: there is no track, one has no video, or its features do not say which ticks they are of.
    """
    if not tracks:
        raise ArgumentError("tracks must hold the split to submit, got none; extract it first (--test-list FILE).")
    for track in tracks:
        if track.ticks is None:
            raise ArgumentError(
                f"features of {track.name} must say which ticks they are of, got those of an earlier version; extract again into "
                "another folder."
            )
        if video_name(track.name) not in videos:
            raise ArgumentError(f"videos must hold that of {track.name}, got none of this name; point at the corpus.")
    result = {}
    for track in tracks:
        assert track.ticks is not None
        times_ns = MediaFile(videos[video_name(track.name)], audio=False).frame_times_ns()
        result[track.name] = values_of_frames(predict(module, system, track), track.ticks, times_ns, spec)
    return result


def write_submission(folder: Path, predictions: Mapping[str, np.ndarray], sample: Path | None = None) -> Path:
    """Writes the predictions in the form of the challenge.

    Args:
        folder: to write into.
        predictions: track -> (frames, 2).
        sample: the official sample file of the later form, one file by image; None = a file per track, the earlier form.

    Returns:
        The file, or the folder of files.
    """
    if sample is None:
        write_track_files(folder / FOLDER, predictions)
        return folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_single_file(folder / FILE, predictions, read_locations(sample))
    return folder / FILE
