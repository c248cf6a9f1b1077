"""Events for the tests of sinks."""

from __future__ import annotations

from dataclasses import replace

from edgeaff.types import EVENT_SCHEMA, AffectEvent, FaceBox, Status, TrackedFace

FULL = AffectEvent(
    schema=EVENT_SCHEMA,
    seq=0,
    pts_ns=33_333_333,
    valence=0.1,
    arousal=-0.25,
    valence_raw=0.125,
    arousal_raw=-0.5,
    valence_std=0.2,
    arousal_std=0.3,
    status=Status.OK,
    video_age_ms=3.5,
    audio_age_ms=12.0,
    video_coverage=1.0,
    audio_coverage=0.5,
    face=TrackedFace(7, FaceBox(1.0, 2.5, 30.0, 40.25), 0.875),
    latency_ms=None,
    backend="onnxruntime",
    dropped_since_last=None,
    speaking=0.75,
    valence_relative=0.0625,
    arousal_relative=-0.125,
)
EMPTY = replace(
    FULL,
    seq=1,
    pts_ns=66_666_667,
    status=Status.STALE,
    face=None,
    **dict.fromkeys(["valence", "arousal", "valence_raw", "arousal_raw", "valence_std", "arousal_std"]),
    **dict.fromkeys(["video_age_ms", "audio_age_ms", "speaking", "valence_relative", "arousal_relative"]),
)


def events(count: int) -> list[AffectEvent]:
    return [replace(FULL, seq=index, pts_ns=round(index * 1e9 / 30)) for index in range(count)]
