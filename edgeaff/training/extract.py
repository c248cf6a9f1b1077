"""From a track's video to features on the model's ticks, through the very path of the runtime: MediaFile and Preprocessor."""

from __future__ import annotations

import numpy as np

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError
from edgeaff.preprocess import Preprocessor, PreprocessParts, TickInput
from edgeaff.training.corpora.record import UNANNOTATED, Track, fit_rows, frame_times_ns, rows_of_ticks
from edgeaff.training.feature_cache import Features
from edgeaff.types import VideoFrame


def extract_track(track: Track, parts: PreprocessParts, *, descriptor_size: int) -> Features:
    """Returns the features of one track and the label of each tick: that of the video frame which the tick takes.

    Args:
        track: with a video file; of several faces in it the primary one is taken.
        parts: detector, encoder, normaliser and spec, as in the bundle.
        descriptor_size: of the encoder; a track without any face has zeros of this width.

    Returns:
        Features from the first tick of the earliest stream to the last of the latest.

    Raises:
        ArgumentError: the track has no video file, or the parts lack the face encoder.
    """
    if track.media is None or parts.encoder is None:
        raise ArgumentError(
            f"track {track.name} must have a video file and parts a face encoder, got {track.media} and {parts.encoder}; "
            "leave the track out, or load a bundle."
        )
    ticks = _ticks(track, parts)
    nothing_seen = np.zeros(descriptor_size, np.float32)
    nothing_heard = np.zeros(parts.spec.audio_vector_size, np.float32)
    video = [tick.faces[0].descriptor if tick.faces else nothing_seen for tick in ticks]
    audio = [nothing_heard if tick.audio is None else tick.audio for tick in ticks]
    present = [(bool(tick.faces), tick.audio is not None) for tick in ticks]
    labels = _labels(track, parts, [tick.tick for tick in ticks])
    return Features(track.name, track.split, np.stack(video), np.stack(audio), np.array(present), labels)


def _ticks(track: Track, parts: PreprocessParts) -> list[TickInput]:
    ticks: list[TickInput] = []
    assert track.media is not None
    with MediaFile(track.media) as source:
        preprocessor = Preprocessor(parts, video=source.has_video, audio=source.has_audio)
        for unit in source:
            if isinstance(unit, VideoFrame):
                ticks += preprocessor.push_frame(unit.image, pts_ns=unit.pts_ns)
            else:
                ticks += preprocessor.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
        return ticks + preprocessor.finish()


def _labels(track: Track, parts: PreprocessParts, ticks: list[int]) -> np.ndarray:
    """Returns (T, 2) labels of ticks; -5 where no frame is near or the frame is not annotated."""
    assert track.media is not None
    times = frame_times_ns(track.media)
    first, rows = rows_of_ticks(times, parts.spec)
    fitted = fit_rows(track.labels, len(times), name=track.name)
    labels = np.full((len(ticks), 2), UNANNOTATED, dtype=np.float32)
    for position, tick in enumerate(ticks):
        if 0 <= tick - first < len(rows) and rows[tick - first] >= 0:
            labels[position] = fitted[rows[tick - first]]
    return labels
