"""edgeaff doctor --prove CLIP: the five promises, tried on a clip of the user and on this machine.

| promise | what is tried |
|---|---|
| `preprocessing` | the path of training (`Preprocessor`), with the model stepped by hand, gives the values of the events |
| `streaming` | audio cut into random chunks gives the same events as a whole file, byte for byte as JSON |
| `replay` | a recording of the clip gives the same events again |
| `bundle`, `engine` | the certificate holds: the golden sequences of the bundle, on every backend that is here |
| `evidence` | every value has its age, coverage and standard deviation; a face or speaker that is absent is a status, not a number |
| `privacy` | all of it opened no socket and wrote no file; the recording was in a temporary folder, which is gone |
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.capture.media_file import MediaFile
from edgeaff.cli.doctor.engines import check_bundle
from edgeaff.cli.doctor.finding import FAIL, OK, Finding, guarded
from edgeaff.cli.doctor.privacy import Watch, judge_watch
from edgeaff.delivery.files import event_json
from edgeaff.spec import NANOSECONDS
from edgeaff.types import DIMENSIONS, AffectEvent, AudioChunk, Status, VideoFrame

MOST_SECONDS = 20.0  # of the clip, so that the proof takes less than a minute
MARGIN_NS = NANOSECONDS  # events this close to a cut may depend on what follows it
REPORT = "report this line, with the clip where you may."


def check_promises(path: str, bundle_path: str | None) -> list[Finding]:
    """Returns a finding per promise.

    Args:
        path: a media file.
        bundle_path: None for the bundle that ships.

    Raises:
        MediaError: the clip cannot be read.
        BundleError: the bundle cannot be used.
    """
    clip = Clip(path)
    bundle = ModelBundle.load(bundle_path)
    with Watch() as watch:
        events = clip.whole_events(bundle)
        findings = [
            *guarded("preprocessing", lambda: check_preprocessing(clip, bundle, events)),
            *guarded("streaming", lambda: check_streaming(clip, bundle, events)),
            *guarded("evidence", lambda: check_evidence(events)),
        ]
    findings += guarded("replay", lambda: check_replay(clip, bundle, events))
    findings += guarded("engine", lambda: check_bundle(bundle_path))
    return [*findings, judge_watch(watch, len(events))]


class Clip:
    """The first 20 s of a media file, read again for each proof.

    Attributes:
        path: the file.
        end_ns: events from here on may depend on what comes after the cut; None where the file is read to its end.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with MediaFile(path) as source:
            seconds = source.duration_seconds
        self._cut_ns = None if seconds is not None and seconds <= MOST_SECONDS else int(MOST_SECONDS * NANOSECONDS)
        self.end_ns = None if self._cut_ns is None else self._cut_ns - MARGIN_NS

    def units(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields frames and chunks up to the cut."""
        with MediaFile(self.path) as source:
            for unit in source:
                if self._cut_ns is not None and unit.pts_ns >= self._cut_ns:
                    return
                yield unit

    def kept(self, events: list[AffectEvent]) -> list[AffectEvent]:
        """Returns the events that do not depend on what comes after the cut."""
        return [event for event in events if self.end_ns is None or event.pts_ns < self.end_ns]

    def whole_events(self, bundle: ModelBundle) -> list[AffectEvent]:
        """Returns the events of a Runtime on the file."""
        from edgeaff.runtime import Runtime

        events = []
        with Runtime(bundle, video=Path(self.path)) as runtime:
            for event in runtime:
                if self.end_ns is not None and event.pts_ns >= self.end_ns:
                    break
                events.append(event)
        return events


def pushed(session: Any, units: Iterator[VideoFrame | AudioChunk]) -> list[Any]:
    """Returns everything that comes out of a session or preprocessor.

    Args:
        session: with push_frame, push_audio and finish.
        units: what goes in.
    """
    found = []
    for unit in units:
        if isinstance(unit, VideoFrame):
            found += session.push_frame(unit.image, pts_ns=unit.pts_ns)
        else:
            found += session.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
    return [*found, *session.finish()]


def check_streaming(clip: Clip, bundle: ModelBundle, events: list[AffectEvent]) -> list[Finding]:
    """Returns whether randomly cut audio gives the events of the whole file."""
    from edgeaff.session import Session

    found = clip.kept(pushed(Session(bundle, live=False), _recut(clip.units(), np.random.default_rng(0))))
    difference = _first_difference(found, events)
    if difference:
        return [Finding("streaming", FAIL, f"streaming differs from the file: {difference}", REPORT)]
    text = f"{len(events)} events, audio cut at random: equal to the file, byte for byte"
    return [Finding("streaming", OK, text, "", {"events": len(events)})]


def _recut(units: Iterator[VideoFrame | AudioChunk], rng: np.random.Generator) -> Iterator[VideoFrame | AudioChunk]:
    """Yields the same frames and samples; audio in pieces of 1 sample to the whole chunk."""
    for unit in units:
        if isinstance(unit, VideoFrame):
            yield unit
            continue
        start = 0
        while start < len(unit.samples):
            end = start + int(rng.integers(1, len(unit.samples) + 1))
            pts_ns = unit.pts_ns + start * NANOSECONDS // unit.sample_rate_hz
            yield AudioChunk(pts_ns, unit.samples[start:end], unit.sample_rate_hz)
            start = end


def _first_difference(found: list[AffectEvent], expected: list[AffectEvent]) -> str:
    for one, other in zip(found, expected, strict=False):
        if event_json(one) != event_json(other):
            return f"event {other.seq} at {other.pts_ns / NANOSECONDS:.3f} s"
    return "" if len(found) == len(expected) else f"{len(found)} events for {len(expected)}"


def check_preprocessing(clip: Clip, bundle: ModelBundle, events: list[AffectEvent]) -> list[Finding]:
    """Returns whether the path of training, with the model stepped by hand, gives the values of the events."""
    from edgeaff.backends.face import encoder_backend
    from edgeaff.inference import load_predictor
    from edgeaff.preprocess import Preprocessor, parts_from_bundle

    parts = parts_from_bundle(bundle, backend=encoder_backend(bundle, "default"))
    stride = bundle.manifest.detector.stride
    ticks = pushed(Preprocessor(parts, detector_stride=stride, live=False), clip.units())
    predictor = load_predictor(bundle, "default", threads=1)
    state, compared = predictor.initial_state(), 0
    for tick, event in zip(ticks, events, strict=False):
        state = predictor.initial_state() if tick.restart else state
        video = tick.faces[0].descriptor if tick.faces else None
        prediction, state = predictor.step(state, video, tick.audio)
        for name in DIMENSIONS:
            value = getattr(event, f"{name}_raw")
            compared += value is not None
            if tick.pts_ns != event.pts_ns or (value is not None and value != getattr(prediction, name)):
                text = (
                    f"the path of training differs from the runtime's at {event.pts_ns / NANOSECONDS:.3f} s in {name}"
                )
                return [Finding("preprocessing", FAIL, text, REPORT)]
    text = f"{compared} values: the path of training gives those of the runtime; fingerprint {bundle.spec.fingerprint}"
    return [Finding("preprocessing", OK, text, "", {"values": compared, "fingerprint": bundle.spec.fingerprint})]


def check_replay(clip: Clip, bundle: ModelBundle, events: list[AffectEvent]) -> list[Finding]:
    """Returns whether a recording of the clip gives the same events again."""
    from edgeaff.recording.format import Recording
    from edgeaff.recording.recorder import Recorder
    from edgeaff.recording.replay import first_difference
    from edgeaff.session import Session

    with tempfile.TemporaryDirectory(prefix="edgeaff-") as folder:
        path = os.path.join(folder, "clip.eaffrec")
        with Recorder(path, options={"live": False}) as recorder:
            session = recorder.wrap(Session(bundle, live=False, tap=recorder))
            found = []
            for unit in clip.units():
                if isinstance(unit, VideoFrame):
                    made = session.push_frame(unit.image, pts_ns=unit.pts_ns)
                else:
                    made = session.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
                for event in made:
                    recorder.write(event)
                found += made
            for event in session.finish():
                recorder.write(event)
                found.append(event)
        if recorder.warnings:
            return [Finding("replay", FAIL, f"the recording ended early: {recorder.warnings[0]}", "free the disk.")]
        difference = _first_difference(clip.kept(found), events) or first_difference(
            Recording(path), lambda tap, options: Session(bundle, tap=tap, **options)
        )
        size = os.path.getsize(path)
    if difference:
        return [Finding("replay", FAIL, f"the replay differs: {difference}", REPORT)]
    text = f"{len(found)} events recorded ({size / 1e6:.1f} MB) and replayed: equal"
    return [Finding("replay", OK, text, "", {"events": len(found), "bytes": size})]


def check_evidence(events: list[AffectEvent]) -> list[Finding]:
    """Returns whether every value has its evidence, and every event without a value a status that states why."""
    counts = {status.value: sum(event.status is status for event in events) for status in Status}
    for event in events:
        lack = _lack(event)
        if lack:
            return [Finding("evidence", FAIL, f"event {event.seq}, {event.status.value}: {lack}", REPORT)]
    shares = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return [Finding("evidence", OK, f"every value has age, coverage and deviation: {shares}", "", {"statuses": counts})]


def _lack(event: AffectEvent) -> str:
    """Returns the evidence that an event lacks; empty where it is complete."""
    for name in DIMENSIONS:
        value, std = getattr(event, name), getattr(event, f"{name}_std")
        if value is None:
            continue
        if std is None or not (math.isfinite(value) and -1 <= value <= 1 and math.isfinite(std) and std > 0):
            return f"{name} {value} with deviation {std}"
        if event.video_age_ms is None and event.audio_age_ms is None:
            return f"{name} without the age of any input"
        if event.status in (Status.STALE, Status.ABSTAIN):
            return f"{name} {value} in spite of the status"
    if event.face is None and event.status is Status.OK and event.video_coverage is not None:
        return "status OK without a face"
    if event.valence is None and event.arousal is None and event.status is Status.OK:
        return "status OK without a value"
    for coverage in (event.video_coverage, event.audio_coverage):
        if coverage is not None and not 0 <= coverage <= 1:
            return f"coverage {coverage}"
    return ""
