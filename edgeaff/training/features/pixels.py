"""Tracks for the systems that learn from pixels: crops read from the corpus when they are needed, log-mel of the audio.

Crops are the images of the corpus, as the published systems took them; their ticks and labels are those of the runtime
(`rows_of_ticks`). A tick without a frame keeps the last one for half a second, then sees black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.features.resample import Resampler
from edgeaff.parsing.boundary import boundary
from edgeaff.spec import NANOSECONDS, SAMPLE_RATE_HZ, PreprocessSpec
from edgeaff.training.corpora.affwild2 import crop_files
from edgeaff.training.corpora.record import UNANNOTATED, Track, fit_rows, rows_of_ticks
from edgeaff.training.features.log_mel import log_mel
from edgeaff.training.models.registry import System
from edgeaff.types import VideoFrame

STALE_TICKS = 15  # half a second: as long as the runtime holds a face
MEL_LEAST_STD = 1e-3


@lru_cache(maxsize=60_000)
def read_crop(path: Path, size: int) -> np.ndarray:
    """Returns a frame, (size, size) uint8 if it is gray, else (size, size, 3) RGB; the newest 60,000 are kept.

    Args:
        path: of the frame.
        size: side in pixels; another size is resized by area.

    Returns:
        The image.

    Raises:
        MediaError: the file cannot be read.
    """
    from PIL import Image

    with boundary(MediaError, f"{path} must be a crop that can be read", "unpack it again."), Image.open(path) as image:
        frame = image if image.mode == "L" else image.convert("RGB")
        scaled = frame if frame.size == (size, size) else frame.resize((size, size), Image.Resampling.BOX)
        values = np.asarray(scaled)
    gray = values.ndim == 3 and bool((values[..., :1] == values).all())
    return np.ascontiguousarray(values[..., 0] if gray else values)


@dataclass(frozen=True, slots=True)
class PixelTrack:
    """One track on the model's ticks.

    Attributes:
        name: of the track.
        split: "train", "valid" or "test".
        labels: (T, 2) float32, -5 = not annotated.
        crops: file of each tick, None where no face is.
        mel: (T, 200) float32 log-mel, normalized.
        heard: (T,) bool, audio is there.
    """

    name: str
    split: str
    labels: np.ndarray
    crops: tuple[Path | None, ...]
    mel: np.ndarray
    heard: np.ndarray

    def inputs(self, system: System, cut: slice, keep: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Returns the keyword inputs of one sequence.

        Args:
            system: of the registry, from pixels.
            cut: ticks.
            keep: (T, 2) bool, what is left of video and audio; the rest is zeros.

        Returns:
            keyword -> (T, ...) float32; crops in [-1, 1].

        Raises:
            ArgumentError: the system does not learn from pixels.
        """
        if not system.from_pixels:
            raise ArgumentError(
                f"system must learn from pixels, got {system.name}; extract features for it and pass those."
            )
        files = self.crops[cut]
        kept = np.ones((len(files), 2), dtype=bool) if keep is None else keep
        size = system.inputs["crops"][-1]
        crops = np.zeros((len(files), 3, size, size), np.float32)
        for tick, path in enumerate(files):
            if path is not None and kept[tick, 0]:
                frame = read_crop(path, size)
                crops[tick] = (frame if frame.ndim == 2 else frame.transpose(2, 0, 1)) * (2.0 / 255.0) - 1.0
        available = {"crops": crops, "mel": self.mel[cut] * kept[:, 1:]}
        return {name: available[name] for name in system.inputs}


def _audio(media: Path) -> np.ndarray:
    """Returns the audio of a file, (n,) float32 at 16 kHz, the first sample at time 0; empty without audio."""
    with MediaFile(media) as source:
        if not source.has_audio:
            return np.empty(0, np.float32)
    with MediaFile(media, video=False) as source:
        pieces, resampler, start_ns = [], None, 0
        for chunk in source:
            if isinstance(chunk, VideoFrame):
                continue
            if resampler is None:
                resampler, start_ns = Resampler(chunk.sample_rate_hz), chunk.pts_ns
            pieces.append(resampler.push(chunk.samples))
        if resampler is None:
            return np.empty(0, np.float32)
        samples = np.concatenate([*pieces, resampler.finish()])
    shift = round(start_ns * SAMPLE_RATE_HZ / NANOSECONDS)
    return np.pad(samples, (shift, 0)) if shift >= 0 else samples[-shift:]


def read_pixel_track(track: Track, spec: PreprocessSpec) -> PixelTrack:
    """Returns a track with its crops; log-mel is not normalized yet.

    Args:
        track: with a video file and a folder of crops.
        spec: whose clock counts.

    Returns:
        The track from the tick of its first frame to that of its last.

    Raises:
        ArgumentError: the video or the crops are missing.
    """
    if track.media is None or track.crops is None:
        raise ArgumentError(
            f"track {track.name} must have a video and crops, got {track.media} and {track.crops}; leave it out."
        )
    times = MediaFile(track.media, audio=False).frame_times_ns()
    ticks, rows = rows_of_ticks(times, spec)
    files = dict(crop_files(track.crops))
    fitted = fit_rows(track.labels, len(times), name=track.name)
    labels = np.where(rows[:, None] >= 0, fitted[np.maximum(rows, 0)], UNANNOTATED).astype(np.float32)
    newest: Path | None = None
    seen_at, crops = int(ticks[0]) - STALE_TICKS - 1, []
    for tick, row in zip(ticks, rows, strict=True):
        if int(row) in files:
            newest, seen_at = files[int(row)], int(tick)
        crops.append(newest if tick - seen_at <= STALE_TICKS else None)
    samples = _audio(track.media)
    ticks_ns = np.rint(ticks * NANOSECONDS / spec.model_rate_hz).astype(np.int64)
    mel = log_mel(samples, ticks_ns, rate_hz=spec.model_rate_hz)
    heard = ticks_ns <= len(samples) * NANOSECONDS // SAMPLE_RATE_HZ
    return PixelTrack(track.name, track.split, labels, tuple(crops), mel, heard)


def normalize_mel(tracks: Sequence[PixelTrack]) -> list[PixelTrack]:
    """Returns the tracks with log-mel on the scale of the training tracks; where no audio is, zeros.

    Args:
        tracks: of all splits; the statistics are of "train" alone.

    Returns:
        The tracks, in order.

    Raises:
        ArgumentError: no training track has audio.
    """
    heard = [track.mel[track.heard] for track in tracks if track.split == "train" and track.heard.any()]
    if not heard:
        raise ArgumentError("tracks must hold training tracks with audio, got none; pass the whole corpus.")
    rows = np.concatenate(heard)
    mean, std = rows.mean(axis=0), np.maximum(rows.std(axis=0), MEL_LEAST_STD)
    return [
        PixelTrack(
            track.name,
            track.split,
            track.labels,
            track.crops,
            ((track.mel - mean) / std * track.heard[:, None]).astype(np.float32),
            track.heard,
        )
        for track in tracks
    ]
