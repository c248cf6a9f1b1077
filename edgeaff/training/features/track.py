"""From a track's video to features on the model's ticks, through the very path of the runtime: MediaFile and Preprocessor."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError
from edgeaff.preprocess import Preprocessor, PreprocessParts, TickInput
from edgeaff.preprocess.inputs import FaceInput
from edgeaff.training.corpora.record import UNANNOTATED, Track, fit_rows, labels_at
from edgeaff.training.features.cache import Features
from edgeaff.types import VideoFrame
from edgeaff.workers import beat

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
        parts: detector, encoder, normalizer and spec, as in the bundle.
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
    numbers, taken, video, audio, present = [], [], [], [], []
    shown_ns: list[int] = []
    for tick, width in _ticks(track, parts, faces=1 if side is None else 2, warn=say, shown_ns=shown_ns):
        face = _face_of(tick.faces, side, width)
        numbers.append(tick.tick)
        taken.append(tick.frame_pts_ns)
        video.append(nothing_seen if face is None else face.descriptor)
        audio.append(nothing_heard if tick.audio is None else tick.audio)
        present.append((face is not None, tick.audio is not None))
    if not numbers:
        raise ArgumentError(
            f"track {track.name} must have a frame or audio, got an empty {track.media}; copy it again."
        )
    shown = np.array(present)
    for column, what in enumerate(("face", "audio")):
        if not shown[:, column].any():
            say(f"no {what} in {track.media.name}")
    ticks = np.array(numbers, dtype=np.int64)
    if track.times_ns is not None:
        labels = labels_at(track, np.array([parts.spec.tick_pts_ns(tick) for tick in numbers], dtype=np.int64))
    else:
        labels = _labels_of_frames(track, taken, np.array(shown_ns, dtype=np.int64), ticks, parts, say)
    return Features(track.name, track.split, np.stack(video), np.stack(audio), shown, labels, ticks)


def _ticks(
    track: Track, parts: PreprocessParts, *, faces: int, warn: Callable[[str], None], shown_ns: list[int]
) -> Iterator[tuple[TickInput, int]]:
    """Yields each tick and the width of the frame; nothing is kept, since crops of a long video fill the memory.

    Args:
        track: with a video file.
        parts: of the preprocessing.
        faces: most per tick.
        warn: called with what is wrong with the file.
        shown_ns: gets the time of every frame, in order.

    Yields:
        Tick and width in pixels.
    """
    assert track.media is not None
    width = 0
    with MediaFile(track.media) as source:
        preprocessor = Preprocessor(parts, video=source.has_video, audio=source.has_audio, max_faces=faces, live=False)
        for unit in source:
            beat()
            if isinstance(unit, VideoFrame):
                width = unit.image.shape[1]
                shown_ns.append(unit.pts_ns)
                ticks = preprocessor.push_frame(unit.image, pts_ns=unit.pts_ns)
            else:
                ticks = preprocessor.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
            yield from ((tick, width) for tick in ticks)
        yield from ((tick, width) for tick in preprocessor.finish())
        for warning in source.warnings:
            warn(warning)


def _face_of(faces: tuple[FaceInput, ...], side: str | None, width: int) -> FaceInput | None:
    """Returns the face of a person.

    Choice: of two faces the one further to the side; a lone face belongs to the side of the image that it is on.

    Args:
        faces: of one tick, primary first.
        side: "left", "right" or None.
        width: of the image, pixels.

    Returns:
        The face, or None.
    """
    if side is None or not faces:
        return faces[0] if faces else None
    centers = [(face.face.box.x0 + face.face.box.x1) / 2 for face in faces]
    if len(faces) == 1:
        return faces[0] if (centers[0] < width / 2) == (side == "left") else None
    pick = np.argmin if side == "left" else np.argmax
    return faces[int(pick(centers))]


def _labels_of_frames(
    track: Track,
    taken: list[int | None],
    shown_ns: np.ndarray,
    ticks: np.ndarray,
    parts: PreprocessParts,
    say: Callable[[str], None],
) -> np.ndarray:
    """Returns (T, 2) labels of ticks, each that of the frame which the tick takes; -5 where it takes none, or one not annotated.

    Args:
        track: with one label row per frame.
        taken: time of the frame that each tick takes, or None.
        shown_ns: (frames,) int64, time of every frame of the file, in order: frame i has row i.
        ticks: (T,) int64 numbers; those after the last frame's have no label.
        parts: of the preprocessing.
        say: called with what is wrong.
    """
    labels = np.full((len(taken), 2), UNANNOTATED, dtype=np.float32)
    if not len(shown_ns):
        return labels
    assert track.media is not None
    frames = len(shown_ns)
    if len(track.labels) and abs(len(track.labels) - frames) > max(FEW_ROWS, ODD_SHARE * frames):
        say(
            f"{len(track.labels)} annotation rows for {frames} frames of {track.media.name}; is it the video annotated?"
        )
    if not len(track.labels) and track.split != "test":
        say("no row in its annotation")
    fitted = fit_rows(track.labels, frames, name=track.name)
    last = parts.spec.frame_tick(int(shown_ns[-1]))
    for position, pts_ns in enumerate(taken):
        if pts_ns is not None and ticks[position] <= last:
            labels[position] = fitted[np.searchsorted(shown_ns, pts_ns)]
    return labels
