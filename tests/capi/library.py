"""libedgeaff through ctypes: the structs of edgeaff.h, and a session that gives events as dicts like `AffectEvent.to_dict`."""

from __future__ import annotations

import ctypes
import math
from ctypes import (
    POINTER,
    byref,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int16,
    c_int32,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any

import numpy as np

STATUSES = ("OK", "WARMUP", "NO_FACE", "NO_AUDIO", "STALE", "ABSTAIN", "NO_SPEECH")
NUMBERS = (
    "valence",
    "arousal",
    "valence_raw",
    "arousal_raw",
    "valence_std",
    "arousal_std",
    "video_age_ms",
    "audio_age_ms",
    "video_coverage",
    "audio_coverage",
)
PEOPLE = ("speaking", "valence_relative", "arousal_relative")
PIXELS = {"rgb": 0, "bgr": 1, "gray": 2, "nv12": 3}


class Sized(ctypes.Structure):
    """A struct that begins with its size."""

    def __init__(self, **values: Any) -> None:
        super().__init__(size=ctypes.sizeof(type(self)), **values)


class Error(Sized):
    """edgeaff_error."""

    _fields_ = [("size", c_uint32), ("code", c_int32), ("message", c_char * 248)]


ALLOCATE = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)
RELEASE = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_size_t)
LOG = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)


class Allocator(Sized):
    """edgeaff_allocator."""

    _fields_ = [("size", c_uint32), ("user", c_void_p), ("allocate", ALLOCATE), ("release", RELEASE)]


class Image(Sized):
    """edgeaff_image."""

    _fields_ = [
        ("size", c_uint32),
        ("pixels", c_int32),
        ("width", c_int32),
        ("height", c_int32),
        ("planes", c_void_p * 2),
        ("row_stride", c_ssize_t * 2),
        ("pixel_stride", c_ssize_t),
        ("channel_stride", c_ssize_t),
    ]


class Face(Sized):
    """edgeaff_face."""

    _fields_ = [
        ("size", c_uint32),
        ("reserved", c_int32),
        ("track_id", c_int64),
        ("box", c_double * 4),
        ("score", c_double),
        ("crop", c_void_p),
    ]


class Options(Sized):
    """edgeaff_options."""

    _fields_ = [
        ("size", c_uint32),
        ("video", c_int32),
        ("audio", c_int32),
        ("max_faces", c_int32),
        ("detector_stride", c_int32),
        ("threads", c_int32),
        ("smoothing_valence_seconds", c_double),
        ("smoothing_arousal_seconds", c_double),
        ("staleness_seconds", c_double),
        ("max_skew_seconds", c_double),
        ("event_room", c_int32),
        ("most_width", c_int32),
        ("most_height", c_int32),
        ("most_rate_hz", c_int32),
        ("live", c_int32),
        ("log", LOG),
        ("log_user", c_void_p),
    ]


class Event(Sized):
    """edgeaff_event."""

    _fields_ = [
        ("size", c_uint32),
        ("status", c_int32),
        ("has_face", c_int32),
        ("precision_bits", c_int32),
        ("seq", c_uint64),
        ("pts_ns", c_int64),
        *((name, c_double) for name in NUMBERS),
        ("track_id", c_int64),
        ("box", c_double * 4),
        ("score", c_double),
        *((name, c_double) for name in PEOPLE),
    ]


COUNTS = (
    "frames_used",
    "frames_unused",
    "chunks_used",
    "chunks_unused",
    "frames_not_newer",
    "frames_late",
    "samples_overlapping",
    "samples_filled",
    "samples_not_finite",
    "samples_late",
    "rows_not_newer",
    "audio_restarts",
    "jumps",
    "steps_back",
    "inputs_unconfirmed",
    "inputs_before_jump",
    "values_rejected",
    "events_lost",
)


class Counts(Sized):
    """edgeaff_counts."""

    _fields_ = [("size", c_uint32), ("reserved", c_uint32), *((name, c_uint64) for name in COUNTS)]


class CallFailed(Exception):
    """A call gave an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Library:
    """The functions of libedgeaff. path: the shared library."""

    def __init__(self, path: Path) -> None:
        self.c = ctypes.CDLL(str(path))
        self.c.edgeaff_message.restype = c_char_p
        self.c.edgeaff_version.restype = c_char_p
        self.c.edgeaff_model_manifest.restype = c_char_p
        for name, kinds in {
            "model_release": [c_void_p],
            "session_destroy": [c_void_p],
            "message": [c_void_p],
            "finish": [c_void_p],
            "reset": [c_void_p],
            "advance": [c_void_p, c_int64],
            "degrade": [c_void_p, c_int32],
            "poll": [c_void_p, POINTER(Event)],
            "counts_of": [c_void_p, POINTER(Counts)],
            "push_frame": [c_void_p, POINTER(Image), c_int64],
            "push_audio_i16": [c_void_p, POINTER(c_int16), c_size_t, c_int32, c_int64],
            "push_audio_f32": [c_void_p, POINTER(c_float), c_size_t, c_int32, c_int64],
            "push_faces": [c_void_p, POINTER(Face), c_int32, c_int64],
            "push_rows": [c_void_p, POINTER(c_float), c_int32, c_int64],
            "model_manifest": [c_void_p, POINTER(c_size_t)],
        }.items():
            getattr(self.c, f"edgeaff_{name}").argtypes = kinds

    def options(self, **changes: Any) -> Options:
        """Returns the defaults with changes."""
        options = Options()
        self.c.edgeaff_options_default(byref(options))
        for name, value in changes.items():
            setattr(options, name, value)
        return options

    def open(self, path: Path, allocator: Allocator | None = None) -> c_void_p:
        """Returns a model."""
        model, error = c_void_p(), Error()
        code = self.c.edgeaff_model_open(str(path).encode(), allocator and byref(allocator), byref(model), byref(error))
        if code < 0:
            raise CallFailed(code, error.message.decode())
        return model

    def open_bytes(self, data: bytes) -> c_void_p:
        """Returns a model."""
        model, error = c_void_p(), Error()
        code = self.c.edgeaff_model_open_bytes(data, c_size_t(len(data)), None, byref(model), byref(error))
        if code < 0:
            raise CallFailed(code, error.message.decode())
        return model

    def session(self, model: c_void_p, options: Options | None = None) -> Session:
        """Returns a session."""
        session, error = c_void_p(), Error()
        code = self.c.edgeaff_session_create(model, options and byref(options), byref(session), byref(error))
        if code < 0:
            raise CallFailed(code, error.message.decode())
        return Session(self, session)


class Session:
    """A session of the library with the calls of `edgeaff.Session`."""

    def __init__(self, library: Library, handle: c_void_p) -> None:
        self._c, self.handle = library.c, handle

    def close(self) -> None:
        """Frees it."""
        self._c.edgeaff_session_destroy(self.handle)

    def _events(self, code: int) -> list[dict[str, Any]]:
        if code < 0:
            raise CallFailed(code, self._c.edgeaff_message(self.handle).decode())
        events = []
        event = Event()
        while self._c.edgeaff_poll(self.handle, byref(event)) == 1:
            events.append(as_dict(event))
        return events

    def push_frame(self, image: np.ndarray, *, pts_ns: int, pixels: str = "rgb") -> list[dict[str, Any]]:
        """Returns the events that a frame completes. image: (H, W, 3), or (H, W) gray, or (H * 3 / 2, W) NV12."""
        height = image.shape[0] * 2 // 3 if pixels == "nv12" else image.shape[0]
        view = Image(pixels=PIXELS[pixels], width=image.shape[1], height=height)
        view.planes[0] = image.ctypes.data
        view.row_stride[0], view.pixel_stride = image.strides[:2]
        view.channel_stride = image.strides[2] if image.ndim == 3 else 0
        return self._events(self._c.edgeaff_push_frame(self.handle, byref(view), pts_ns))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int, sample_rate_hz: int) -> list[dict[str, Any]]:
        """Returns the events that a chunk completes."""
        samples = np.ascontiguousarray(samples)
        call, kind = (
            (self._c.edgeaff_push_audio_i16, c_int16)
            if samples.dtype == np.int16
            else (self._c.edgeaff_push_audio_f32, c_float)
        )
        return self._events(
            call(self.handle, samples.ctypes.data_as(POINTER(kind)), samples.size, sample_rate_hz, pts_ns)
        )

    def push_face(self, faces: list[tuple[Any, np.ndarray]], *, pts_ns: int) -> list[dict[str, Any]]:
        """Returns the events that a frame with known faces completes."""
        rows = (Face * max(len(faces), 1))()
        for row, (face, crop) in zip(rows, faces, strict=False):
            row.__init__(track_id=face.track_id, score=face.score)  # type: ignore[misc]
            row.box[:] = face.box
            row.crop = crop.ctypes.data
        return self._events(self._c.edgeaff_push_faces(self.handle, rows, len(faces), pts_ns))

    def push_lld(self, rows: np.ndarray, *, pts_ns: int) -> list[dict[str, Any]]:
        """Returns the events that final LLD rows complete."""
        rows = np.ascontiguousarray(rows, np.float32)
        return self._events(
            self._c.edgeaff_push_rows(self.handle, rows.ctypes.data_as(POINTER(c_float)), len(rows), pts_ns)
        )

    def advance(self, pts_ns: int) -> list[dict[str, Any]]:
        """Returns the events that go out because of the time."""
        return self._events(self._c.edgeaff_advance(self.handle, pts_ns))

    def finish(self) -> list[dict[str, Any]]:
        """Returns the events held back."""
        return self._events(self._c.edgeaff_finish(self.handle))

    def reset(self) -> None:
        """Forgets the past."""
        self._events(self._c.edgeaff_reset(self.handle))

    def degrade(self, step: int) -> None:
        """Leaves out work."""
        code = self._c.edgeaff_degrade(self.handle, step)
        if code < 0:
            raise CallFailed(code, self._c.edgeaff_message(self.handle).decode())

    @property
    def counts(self) -> dict[str, int]:
        """What became of the input."""
        counts = Counts()
        self._c.edgeaff_counts_of(self.handle, byref(counts))
        return {name: getattr(counts, name) for name in COUNTS}


def as_dict(event: Event) -> dict[str, Any]:
    """Returns an event as `AffectEvent.to_dict` has it, without what only Python states."""
    row: dict[str, Any] = {"seq": event.seq, "pts_ns": event.pts_ns, "status": STATUSES[event.status]}
    for name in NUMBERS:
        value = getattr(event, name)
        row[name] = None if math.isnan(value) else value
    row["face"] = {"track_id": event.track_id, "box": list(event.box), "score": event.score} if event.has_face else None
    return row
