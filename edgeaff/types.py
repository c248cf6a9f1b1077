"""Value objects: input (frames, chunks), findings (faces) and output (events).

All times are `pts_ns`: int nanoseconds on the one timeline of the session.
"""

from __future__ import annotations

import enum
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from edgeaff.errors import ArgumentError

BASE_SCHEMA = 1  # of an event without what it knows of people: an older reader takes its lines
EVENT_SCHEMA = 2  # of an event with all fields
MOST_PIXELS = 1 << 27  # of a frame, on any machine
DIMENSIONS = ("valence", "arousal")  # of affect, in the order of every array of values
MODALITIES = ("video", "audio")  # in the order of the model's presence bits


class Status(enum.Enum):
    """The reason why an event has or lacks values: the first that applies, in this order.

    NO_AUDIO: declared audio is missing. NO_SPEECH: audio alone is declared, and nobody speaks.
    """

    STALE = "STALE"
    NO_FACE = "NO_FACE"
    NO_AUDIO = "NO_AUDIO"
    NO_SPEECH = "NO_SPEECH"
    WARMUP = "WARMUP"
    ABSTAIN = "ABSTAIN"
    OK = "OK"

    def __str__(self) -> str:
        """Returns the name alone, as it stands in files."""
        return self.name


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame. image: (H, W, 3) uint8 RGB; pts_ns: its time."""

    pts_ns: int
    image: np.ndarray

    def __repr__(self) -> str:
        return f"VideoFrame(pts_ns={self.pts_ns}, image={self.image.shape} {self.image.dtype})"


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Mono audio. samples: (n,) int16 or float32 in [-1, 1]; pts_ns belongs to samples[0]; sample_rate_hz: of the samples."""

    pts_ns: int
    samples: np.ndarray
    sample_rate_hz: int

    def __repr__(self) -> str:
        return f"AudioChunk(pts_ns={self.pts_ns}, samples={self.samples.shape}, sample_rate_hz={self.sample_rate_hz})"


def check_pts(pts_ns: int) -> int:
    """Returns pts_ns if it is an int of 64 bits.

    Raises:
        ArgumentError: it is not.
    """
    if isinstance(pts_ns, bool) or not isinstance(pts_ns, (int, np.integer)):
        raise ArgumentError(
            f"pts_ns must be an int (nanoseconds), got {pts_ns!r}; multiply seconds by 10**9 and round."
        )
    if not -(2**63) <= pts_ns < 2**63:
        raise ArgumentError(f"pts_ns must fit into 64 bits, got {pts_ns}; pass nanoseconds of a clock.")
    return int(pts_ns)


def check_switches(**switches: bool) -> None:
    """Raises where a switch is neither on nor off.

    Raises:
        ArgumentError: one is something else.
    """
    for name, given in switches.items():
        if not isinstance(given, (bool, np.bool_)):
            raise ArgumentError(
                f"{name} must be True or False, got {given!r}; a Session is pushed to, a Runtime opens sources."
            )


@functools.lru_cache(maxsize=1)
def most_pixels() -> int:
    """Returns the number of pixels a frame may have on this machine: 134,217,728 (16384 x 8192), fewer where memory is below 4 GB."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this system
        return MOST_PIXELS
    return (
        min(MOST_PIXELS, memory // 32) if memory > 0 else MOST_PIXELS
    )  # decoded, as RGB and copied it takes about 12 bytes a pixel


def check_image(image: np.ndarray) -> np.ndarray:
    """Returns an image if it is one that a frame may have.

    Args:
        image: (H, W, 3) uint8 RGB.

    Raises:
        ArgumentError: shape or dtype is another, or it has too many pixels for this machine.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or image.size == 0
    ):
        given = f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}".strip()
        raise ArgumentError(f"image must be (H, W, 3) uint8 RGB, got {given}; convert it, BGR to RGB included.")
    if image.shape[0] * image.shape[1] > most_pixels():
        raise ArgumentError(
            f"image must have at most {most_pixels():,} pixels on this machine, got {image.shape[1]} x {image.shape[0]}; "
            "scale it down first."
        )
    return image


class FaceBox(NamedTuple):
    """A box in float pixels of the frame, half-open; may reach outside the frame."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class ClockTick:
    """The present instant, passed instead of a frame or chunk while nothing is delivered. pts_ns: int nanoseconds."""

    pts_ns: int


@dataclass(frozen=True, slots=True)
class FaceDetection:
    """One face found in one frame.

    Attributes:
        box: (x0, y0, x1, y1) float pixels.
        score: confidence in [0, 1].
        landmarks: (5, 2) float32 pixels (right eye, left eye, nose, right and left mouth corner of the subject), or None.
    """

    box: FaceBox
    score: float
    landmarks: np.ndarray | None = None


MAX_COORDINATE_PX = 1e5  # of a face box; what lies further out is no face of any image


def is_face(box: Sequence[float], score: float) -> bool:
    """Returns whether box and score are those of a face: finite, x1 > x0, y1 > y0, the score in [0, 1]."""
    x0, y0, x1, y1 = box
    return (
        -MAX_COORDINATE_PX <= x0 < x1 <= MAX_COORDINATE_PX
        and -MAX_COORDINATE_PX <= y0 < y1 <= MAX_COORDINATE_PX
        and 0 <= score <= 1
    )


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face with its identity from the tracker. box: smoothed, float pixels; score: of its last detection."""

    track_id: int
    box: FaceBox
    score: float


@dataclass(frozen=True, slots=True)
class AffectEvent:
    """Apparent valence and arousal at one tick of the model clock (30 Hz), with the evidence behind it.

    Attributes:
        schema: version of this record.
        seq: counts the events of one session from 0.
        pts_ns: time of the tick, nanoseconds on the session timeline; rises except where the clock jumps.
        valence: smoothed value in [-1, 1], or None.
        arousal: smoothed value in [-1, 1], or None.
        valence_raw: value before smoothing, or None.
        arousal_raw: value before smoothing, or None.
        valence_std: standard deviation of the error expected for valence, or None.
        arousal_std: standard deviation of the error expected for arousal, or None.
        status: first status that applies.
        video_age_ms: age of the frame at the tick; None without a frame.
        audio_age_ms: age of the newest unmasked audio at the tick; None without audio.
        video_coverage: share of the last 100 ticks that had a face, in [0, 1].
        audio_coverage: share of the last 100 ticks that had audio, in [0, 1].
        face: the face of the values, or None.
        latency_ms: capture to delivery, set by a live Runtime; None in Session and file mode. Capture is the tick's instant, or
            the time of the tick's frame if that is just before it.
        backend: name of the backend that computed the values.
        dropped_since_last: inputs dropped since the previous event; None in Session.
        speaking: probability that this face speaks, in [0, 1]; None if not requested or unknown.
        valence_relative: valence relative to the usual level of this subject; None if not requested or not known yet.
        arousal_relative: arousal relative to the usual level of this subject; None if not requested or not known yet.

    The last three belong to schema 2. A session without these options emits events of schema 1, whose JSON lacks them.
    """

    schema: int
    seq: int
    pts_ns: int
    valence: float | None
    arousal: float | None
    valence_raw: float | None
    arousal_raw: float | None
    valence_std: float | None
    arousal_std: float | None
    status: Status
    video_age_ms: float | None
    audio_age_ms: float | None
    video_coverage: float | None
    audio_coverage: float | None
    face: TrackedFace | None
    latency_ms: float | None
    backend: str
    dropped_since_last: int | None
    speaking: float | None = None
    valence_relative: float | None = None
    arousal_relative: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields of its schema in order, ready for JSON: status by name, face as a dict, no value as None."""
        row: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.schema == BASE_SCHEMA:
            for name in PEOPLE_FIELDS:
                if row[name] is None:
                    del row[name]
        row["status"] = self.status.value
        if self.face is not None:
            row["face"] = {
                "track_id": self.face.track_id,
                "box": [float(value) for value in self.face.box],
                "score": float(self.face.score),
            }
        return row


PEOPLE_FIELDS = ("speaking", "valence_relative", "arousal_relative")  # of AffectEvent, since schema 2


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A lasting change of one subject's valence or arousal, detected during a run.

    Attributes:
        subject: track id of the face; None if the values have no face.
        pts_ns: time of the tick of detection, nanoseconds on the session timeline.
        what: "valence" or "arousal".
        before: level before the change, in [-1, 1].
        after: level after it, in [-1, 1].
        sureness: probability that the change is not due to chance, in [0, 1].
        delay_ms: time from the start of the change to `pts_ns`.
    """

    subject: int | None
    pts_ns: int
    what: str
    before: float
    after: float
    sureness: float
    delay_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields in order, ready for JSON, behind `"type": "change"`, which no other line has."""
        return {"type": "change", **{item.name: getattr(self, item.name) for item in fields(self)}}


STATUS_SOURCES = ("camera", "mic", "stream", "sink", "reader", "backend", "runtime")
STATUS_KINDS = {
    "lost": "a device, stream, or receiver is gone; it is retried",
    "frozen": "a camera repeats its frame; nothing is delivered until it is reopened",
    "stalled": "an open device delivers nothing",
    "corrupt_input": "unreadable input is dropped and counted",
    "overflow": "audio was lost before edgeaff received it; it shows as a gap",
    "setting_rejected": "a device rejected a setting and runs with another",
    "discarded": "input is dropped because of its time, and counted",
    "late": "input arrives after its ticks were emitted",
    "clock_step": "a clock stepped back by 0.5 to 10 s; input is dropped until it has caught up",
    "clock_jump": "a clock jumped by more than 10 s; the session restarted there",
    "clock_mismatch": "video and audio do not share a clock; one of them is dropped",
    "unusable": "all input of a source is dropped because of its time",
    "no_events": "input arrives but no events are produced",
    "model_output": "values of the model are out of range; the events abstain",
    "dropped": "a consumer is too slow; the events that it misses are counted",
    "failed": "user code raised; the exception is raised where events are read",
    "degraded": "the worker falls behind; it does less work per frame",
    "restored": "one degradation step is undone",
    "suspended": "the process was suspended",
    "recovered": "the condition has ended",
    "ended": "a source has ended",
    "backend_selected": "automatic choice selected a backend after a trial",
    "self_test_failed": "the backend does not reproduce the golden outputs of its bundle",
    "building": "an engine is being built; the current backend runs meanwhile",
    "swapped": "another backend runs from this tick on",
    "swap_refused": "another backend was rejected; the current one continues",
    "notice_shown": "the notice for the people in front of the device was shown",
    "first_face": "the first face of the session was seen",
}


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """A condition of devices, threads or models, as opposed to the subject.

    Attributes:
        time_ns: monotonic clock.
        source: one of `STATUS_SOURCES`, where it happened.
        name: name of the source, for example "camera:0".
        kind: one of `STATUS_KINDS`.
        message: the problem and what to do, one sentence; empty if there is no problem.
        counts: related counters, by name.
    """

    time_ns: int
    source: str
    name: str
    kind: str
    message: str = ""
    counts: Mapping[str, int | float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields in order, ready for JSON."""
        row: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        row["counts"] = dict(self.counts)
        return row


CIRCUMPLEX_LABELS: tuple[tuple[str, float, float], ...] = (
    ("neutral", 0.0, 0.0),
    ("happy", 0.7, 0.2),
    ("excited", 0.55, 0.65),
    ("surprised", 0.15, 0.75),
    ("afraid", -0.25, 0.75),
    ("angry", -0.55, 0.6),
    ("disgusted", -0.7, 0.35),
    ("sad", -0.65, -0.3),
    ("bored", -0.4, -0.6),
    ("tired", -0.05, -0.75),
    ("calm", 0.4, -0.55),
    ("content", 0.65, -0.25),
)


def circumplex(valence: float, arousal: float) -> str:
    """Returns the nearest label of the circumplex of affect. Paper: figure 1.

    Choice: twelve anchors from published drawings of the circumplex, because the paper has a figure without coordinates. A label is a
    reading aid for a point of the plane. It does not state that the person feels that emotion; near the center all labels are close.

    Args:
        valence: in [-1, 1].
        arousal: in [-1, 1].

    Raises:
        ArgumentError: one of them is no number, or outside [-1, 1].
    """
    for name, value in (("valence", valence), ("arousal", arousal)):
        if not isinstance(value, (int, float, np.number)) or not -1 <= value <= 1:
            raise ArgumentError(
                f"{name} must be a number in [-1, 1], got {value!r}; an event without values has none: look at its status."
            )
    return min(CIRCUMPLEX_LABELS, key=lambda row: (row[1] - valence) ** 2 + (row[2] - arousal) ** 2)[0]
