"""From a track's video to features on the model's ticks, through the very path of the runtime: MediaFile and Preprocessor."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError
from edgeaff.preprocess import Preprocessor, PreprocessParts, TickInput
from edgeaff.preprocess.inputs import FaceInput
from edgeaff.training.corpora.record import UNANNOTATED, Track, fit_rows, frame_times_ns, labels_at, rows_of_ticks
from edgeaff.training.features.cache import Features
from edgeaff.types import VideoFrame

FEW_ROWS, ODD_SHARE = 5, 0.01  # real annotations are a row or a few off; more of a difference is worth a word


def extract_track(
    track: Track,
    parts: PreprocessParts,
    *,
    descriptor_size: int,
    side: str | None = None,
    warn: Callable[[str], None] | None = None,
) -> Features:
    """Returns the features of one track and the label of each tick: that of the video frame which the tick takes.

    Args:
        track: with a video file.
        parts: detector, encoder, normaliser and spec, as in the bundle.
        descriptor_size: of the encoder; a track without any face has zeros of this width.
        side: "left" or "right": which of two people in the video the track is; None = the primary face.
        warn: called with what is wrong with the video but does not prevent features, one sentence each.

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
    say = warn or (lambda _: None)
    nothing_seen = np.zeros(descriptor_size, np.float32)
    nothing_heard = np.zeros(parts.spec.audio_vector_size, np.float32)
    numbers, video, audio, present = [], [], [], []
    for tick, width in _ticks(track, parts, faces=1 if side is None else 2, warn=say):
        face = _face_of(tick.faces, side, width)
        numbers.append(tick.tick)
        video.append(nothing_seen if face is None else face.descriptor)
        audio.append(nothing_heard if tick.audio is None else tick.audio)
        present.append((face is not None, tick.audio is not None))
    if not numbers:
        raise ArgumentError(
            f"track {track.name} must have a frame or sound, got an empty {track.media}; copy it again."
        )
    shown = np.array(present)
    for column, what in enumerate(("face", "sound")):
        if not shown[:, column].any():
            say(f"no {what} in {track.media.name}")
    labels = _labels(track, parts, numbers, say)
    ticks = np.array(numbers, dtype=np.int64)
    return Features(track.name, track.split, np.stack(video), np.stack(audio), shown, labels, ticks)


def _ticks(
    track: Track, parts: PreprocessParts, *, faces: int, warn: Callable[[str], None]
) -> Iterator[tuple[TickInput, int]]:
    """Yields each tick and the width of the picture; nothing is kept, since crops of a long video fill the memory."""
    assert track.media is not None
    width = 0
    with MediaFile(track.media) as source:
        preprocessor = Preprocessor(
            parts, video=source.has_video, audio=source.has_audio, max_faces=faces, live=False
        )
        for unit in source:
            if isinstance(unit, VideoFrame):
                width = unit.image.shape[1]
                ticks = preprocessor.push_frame(unit.image, pts_ns=unit.pts_ns)
            else:
                ticks = preprocessor.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
            yield from ((tick, width) for tick in ticks)
        yield from ((tick, width) for tick in preprocessor.finish())
        for warning in source.warnings:
            warn(warning)


def _face_of(faces: tuple[FaceInput, ...], side: str | None, width: int) -> FaceInput | None:
    """Returns the face of a person.

    Choice: of two faces the one further to the side; a lone face belongs to the side of the picture that it is on.

    Args:
        faces: of one tick, primary first.
        side: "left", "right" or None.
        width: of the picture, pixels.

    Returns:
        The face, or None.
    """
    if side is None or not faces:
        return faces[0] if faces else None
    centres = [(face.face.box.x0 + face.face.box.x1) / 2 for face in faces]
    if len(faces) == 1:
        return faces[0] if (centres[0] < width / 2) == (side == "left") else None
    pick = np.argmin if side == "left" else np.argmax
    return faces[int(pick(centres))]


def _labels(track: Track, parts: PreprocessParts, ticks: list[int], say: Callable[[str], None]) -> np.ndarray:
    """Returns (T, 2) labels of ticks; -5 where no frame is near or the frame is not annotated."""
    assert track.media is not None
    if track.times_ns is not None:
        return labels_at(track, np.array([parts.spec.tick_pts_ns(tick) for tick in ticks], dtype=np.int64))
    times = frame_times_ns(track.media)
    labels = np.full((len(ticks), 2), UNANNOTATED, dtype=np.float32)
    if len(times) == 0:
        return labels
    first, rows = rows_of_ticks(times, parts.spec)
    if len(track.labels) and abs(len(track.labels) - len(times)) > max(FEW_ROWS, ODD_SHARE * len(times)):
        say(
            f"{len(track.labels)} annotation rows for {len(times)} frames of {track.media.name}; is it the video annotated?"
        )
    if not len(track.labels) and track.split != "test":
        say("no row in its annotation")
    fitted = fit_rows(track.labels, len(times), name=track.name)
    for position, tick in enumerate(ticks):
        if 0 <= tick - first < len(rows) and rows[tick - first] >= 0:
            labels[position] = fitted[rows[tick - first]]
    return labels
