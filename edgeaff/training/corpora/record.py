"""One record for every corpus: a track is one person in one recording, with labels per video frame or at instants.

Aff-Wild2 labels frames (`times_ns` None), RECOLA, SEWA, MuSe and AFEW-VA instants, OMG-Emotion stretches (two rows with one label),
acted corpora whole clips (one row). `labels_at` brings all but the first to the ticks of the model.
"""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.measures import annotated
from edgeaff.ops.core import FrameTimeline
from edgeaff.spec import JUMP_NS, NANOSECONDS, PreprocessSpec

logger = logging.getLogger(__name__)
UNANNOTATED = -5.0


@dataclass(frozen=True, slots=True)
class Track:
    """One person in one video.

    Attributes:
        name: unique in its corpus; names submission files.
        split: "train", "valid" or "test".
        labels: (T, 2) float32 valence, arousal; -5 = not annotated.
        media: file with video, audio or both, or None.
        crops: folder of face images `00001.jpg` ..., 1-based by frame, or None.
        times_ns: (T,) int64 rising, instants of the rows; None = row i belongs to video frame i.
        subject: who it is, unique in its corpus, or "".
        category: emotion that was acted or voted for, or "".
    """

    name: str
    split: str
    labels: np.ndarray
    media: Path | None = None
    crops: Path | None = None
    times_ns: np.ndarray | None = None
    subject: str = ""
    category: str = ""

    @property
    def valid(self) -> np.ndarray:
        """(T,) bool, rows where valence and arousal are both annotated."""
        return annotated(self.labels)


def canonical_name(name: str) -> str:
    """Returns a name in composed form (NFC): file systems and archives hand the same name out composed or decomposed."""
    return unicodedata.normalize("NFC", name)


def size_of(media: Path) -> int:
    """Returns the bytes of a file; 0 where it cannot be looked at, as a link that leads nowhere."""
    try:
        return media.stat().st_size
    except OSError:
        return 0


def fit_rows(labels: np.ndarray, frames: int, *, name: str = "track") -> np.ndarray:
    """Returns labels with one row per frame: cut, or filled with not-annotated rows; a difference is logged.

    Real annotation files are often one row short or long of the decoded frames, so equality is never asked for.

    Args:
        labels: (T, 2) float32.
        frames: number of frames.
        name: for the log.

    Returns:
        (frames, 2) float32.
    """
    rows = len(labels)
    if rows == frames:
        return labels
    logger.info("%s: %d rows for %d frames; cut or filled at the end", name, rows, frames)
    missing = np.full((max(0, frames - rows), 2), UNANNOTATED, dtype=np.float32)
    return np.concatenate([labels[:frames], missing])


def labels_at(track: Track, pts_ns: np.ndarray, *, rater_delay_seconds: float = 0.0) -> np.ndarray:
    """Returns the labels at some instants, linear between ratings; outside them, and next to a gap, not annotated.

    Args:
        track: with `times_ns`; a single row is the label of the whole recording.
        pts_ns: (T,) int64 instants.
        rater_delay_seconds: raters react late (2 to 4 s in RECOLA): the label of an instant is read that much later.

    Returns:
        (T, 2) float32, -5 = not annotated.

    Raises:
        ArgumentError: the rows belong to video frames.
    """
    if track.times_ns is None:
        raise ArgumentError(
            f"track {track.name} must have times_ns, got labels per video frame; use rows_of_ticks for it."
        )
    wanted = np.asarray(pts_ns, dtype=np.int64) + round(rater_delay_seconds * NANOSECONDS)
    labels = np.full((len(wanted), 2), UNANNOTATED, dtype=np.float32)
    if not track.valid.any():
        return labels
    if len(track.labels) == 1:
        return np.repeat(track.labels, len(wanted), axis=0)
    right = np.searchsorted(track.times_ns, wanted, side="left").clip(0, len(track.times_ns) - 1)
    exact = track.times_ns[right] == wanted
    left = np.where(exact, right, (right - 1).clip(0))
    within = (wanted >= track.times_ns[0]) & (wanted <= track.times_ns[-1])
    inside = within & track.valid[left] & track.valid[right]
    for column in range(2):
        values = np.interp(wanted, track.times_ns, track.labels[:, column])
        labels[inside, column] = values[inside]
    return labels


def rows_of_ticks(times_ns: np.ndarray, spec: PreprocessSpec) -> tuple[np.ndarray, np.ndarray]:
    """Returns which frame, and so which label row, every tick of the model clock takes: the very rule of the runtime.

    Args:
        times_ns: (frames,) int64 rising, of `MediaFile.frame_times_ns`.
        spec: of the model.

    Returns:
        (ticks,) int64 tick numbers from that of the first frame to that of the last, without those inside gaps of more than 10 s, and
        (ticks,) int64 frame indices; -1 = no frame is near.

    Raises:
        ArgumentError: there is no frame.
    """
    if len(times_ns) == 0:
        raise ArgumentError("times_ns must hold at least one frame, got none; leave out tracks without video.")
    ticks: list[int] = []
    rows: list[int] = []
    gaps = np.flatnonzero(np.diff(times_ns) > JUMP_NS) + 1
    for part in np.split(np.arange(len(times_ns)), gaps):
        instants = [int(times_ns[frame]) for frame in part]
        timeline = FrameTimeline(spec, lambda _, index: index)
        waiting = 0
        for tick in range(spec.frame_tick(instants[0]), spec.frame_tick(instants[-1]) + 1):
            while waiting < len(part) and spec.frame_tick(instants[waiting]) <= tick:
                timeline.push(instants[waiting], int(part[waiting]))
                waiting += 1
            taken = timeline.take(tick)
            ticks.append(tick)
            rows.append(-1 if taken is None else taken.result)
    return np.array(ticks, dtype=np.int64), np.array(rows, dtype=np.int64)
