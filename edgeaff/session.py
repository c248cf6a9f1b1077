"""Session: the sans-IO core. Frames and samples in, events out; no thread, no clock, no I/O, the same data give the same events.

```
frame -> face -> descriptor -+
                             +-> tick -> predictor -> event
samples -> LLD --------------+
```
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from edgeaff.backends.face import encoder_backend
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.features.face import FaceEncoder
from edgeaff.inference import (
    Coverage,
    Predictor,
    Uncertainty,
    load_predictor,
    std_in_range,
    try_tick,
    value_in_range,
)
from edgeaff.people.follow import Following, follower_of
from edgeaff.preprocess import (
    FaceInput,
    InputCounts,
    InputTap,
    Preprocessor,
    TickInput,
    parts_from_bundle,
    trial_inputs,
)
from edgeaff.smoothing import Smoother, check_smoothing
from edgeaff.spec import NANOSECONDS
from edgeaff.types import BASE_SCHEMA, EVENT_SCHEMA, AffectEvent, Status, TrackedFace, check_switches

if TYPE_CHECKING:
    from edgeaff.backend_choice import Choice
    from edgeaff.backend_swap import PreparedBackend, TickPair
    from edgeaff.people.identity import Identities
    from edgeaff.people.speaker import ActiveSpeaker

WARMUP_NS = NANOSECONDS // 2
FORGET_TRACK_NS = NANOSECONDS // 2


@dataclass
class Subject:
    """The state that belongs to one face: predictor, its last inputs, coverage, smoothing, first evidence."""

    state: Any
    valence: Smoother
    arousal: Smoother
    history: deque[TickPair] = field(default_factory=deque)
    video_coverage: Coverage = field(default_factory=Coverage)
    audio_coverage: Coverage = field(default_factory=Coverage)
    first_evidence_ns: int | None = None
    last_seen_ns: int = 0

    def copy(self) -> Subject:
        """Returns a copy with the same predictor state; who lets both go on copies that (`Predictor.copy_state`)."""
        return Subject(
            self.state, copy.copy(self.valence), copy.copy(self.arousal), self.history.copy(), self.video_coverage.copy(),
            self.audio_coverage.copy(), self.first_evidence_ns, self.last_seen_ns,
        )  # fmt: skip


class Estimate(NamedTuple):
    """The result of one subject's tick, before the status decides what is given out. valid: every number is in its range."""

    valence: float
    arousal: float
    valence_std: float
    arousal_std: float
    video_coverage: float
    audio_coverage: float
    valid: bool


class Session(Following):
    """Turns pushed frames and samples into events, deterministically.

    ```
    session = edgeaff.Session()
    for image, samples, t in firmware_loop():
        events = session.push_frame(image, pts_ns=t)
        events += session.push_audio(samples, pts_ns=t, sample_rate_hz=48_000)
    events = session.finish()
    ```
    Args:
        bundle: a ModelBundle, a path, or None for the one that ships.
        video: whether video is declared; a modality switched off is never waited for.
        audio: whether audio is declared.
        backend: "default" (the bundle's), "onnxruntime", "openvino", "native" or "tensorrt" (docs/tensorrt.md), or "auto": the fastest
            in a short trial, see `choice`.
        face_backend: what runs the face encoder; None for the one that goes with `backend` ("auto" chooses it apart).
        max_faces: most faces with their own events per tick.
        detector_stride: run the detector on every n-th taken frame; None for the bundle's choice.
        smoothing: None for the bundle's time constants, or (valence_seconds, arousal_seconds); 0 switches one off.
        staleness_seconds: status STALE after so long without any delivery.
        max_skew_seconds: how far one modality may run ahead before ticks stop waiting for the other.
        live: whether a jump of the clock by more than 10 s needs a second input that confirms it; False for files, where every
            frame counts (docs/live.md, "Clocks").
        threads: most threads of one run of a graph.
        active_speaker: state how likely each face speaks (`AffectEvent.speaking`), and count the voice as evidence for the face that
            does (docs/people.md): a face that is silent while somebody speaks gets other values. Needs video and audio.
        identity: give a face that comes back its track id again, by a signature kept in memory until reset; biometric data, so off
            by default (docs/privacy.md).
        stride: compute every n-th tick, hold the value in between; for bundles with the graph affect_append.
        baseline: True also states values relative to what is usual for the subject; a Baseline, or the path of its file, goes on
            from there (docs/baseline.md).
        changes: look for lasting changes, see `take_changes`.
        self_test: replay golden ticks (half a second at most): "refuse" or "warn" when they come out otherwise, or "off".
        detector: another face detector with the bundle's detector id, for example one that runs elsewhere.
        tap: what records or replaces crops and LLDs (a Recorder or a ReplayTap).

    Attributes:
        bundle: the backend.
        choice: what `backend="auto"` measured and chose; None with any other.
        warnings: what the test at load found wrong, and the first values that were out of range, one sentence each.

    Raises:
        ArgumentError: an option is out of range.
        BundleError: the bundle cannot be used.
        SpecMismatchError: bundle, detector and this edgeaff disagree on the preprocessing.

    A Session belongs to the process that made it: in a forked child every push is a SessionStateError.
    """

    _preprocessor_type = Preprocessor

    def __init__(
        self,
        bundle: ModelBundle | str | os.PathLike[str] | None = None,
        *,
        video: bool = True,
        audio: bool = True,
        backend: str = "default",
        face_backend: str | None = None,
        max_faces: int = 1,
        detector_stride: int | None = None,
        smoothing: tuple[float, float] | None = None,
        staleness_seconds: float = 0.5,
        max_skew_seconds: float = 0.25,
        live: bool = True,
        threads: int = 1,
        stride: int = 1,
        active_speaker: bool = False,
        identity: bool = False,
        baseline: Any = None,
        changes: bool = False,
        self_test: str = "off",
        detector: Any = None,
        tap: InputTap | None = None,
    ) -> None:
        switches = {"active_speaker": active_speaker, "identity": identity, "changes": changes}
        check_switches(video=video, audio=audio, live=live, **switches)
        self.bundle = bundle if isinstance(bundle, ModelBundle) else ModelBundle.load(bundle)
        manifest, self._face_backend_given = self.bundle.manifest, face_backend is not None
        self.choice: Choice | None = None
        if backend == "auto":
            from edgeaff.backend_choice import choose_backend

            self.choice = choose_backend(self.bundle, threads=threads, stride=stride)
            backend, face_backend = self.choice.backend, face_backend or self.choice.face_backend
        self._predictor: Predictor = load_predictor(self.bundle, backend, threads=threads, stride=stride)
        self.warnings = [] if self_test == "off" else _check_golden(self.bundle, self._predictor, self_test)
        self._engine_options: dict[str, Any] = {"threads": threads, "stride": stride}
        face_backend = face_backend or encoder_backend(self.bundle, backend)
        made_of = {"video": video, "audio": audio, "detector": detector, "backend": face_backend, "threads": threads}
        parts = parts_from_bundle(self.bundle, **made_of)
        try_tick(self._predictor, *trial_inputs(parts, self.bundle))
        self._preprocessor = self._preprocessor_type(
            dataclasses.replace(parts, tap=tap),
            keep_crops=active_speaker or identity,
            video=video,
            audio=audio,
            max_faces=max_faces,
            detector_stride=manifest.detector.stride if detector_stride is None else detector_stride,
            staleness_seconds=staleness_seconds,
            max_skew_seconds=max_skew_seconds,
            live=bool(live),
        )
        self._uncertainty = Uncertainty(manifest.uncertainty)
        self._smoothing = check_smoothing(smoothing, manifest.smoothing)
        self._schema = EVENT_SCHEMA if active_speaker else BASE_SCHEMA
        self._identities = _make_identities() if identity and video else None
        self._speaker = _make_speaker(self.bundle) if active_speaker and video and audio else None
        self._max_faces, self._seq, self._rejected = max_faces, 0, False
        self._follower = follower_of(baseline, bool(changes), model_id=manifest.model_id, max_faces=max_faces)
        self._restart()

    def __reduce__(self) -> NoReturn:
        """Refuses to be copied or pickled: engines belong to one process.

        Raises:
            SessionStateError: always.
        """
        raise SessionStateError(
            "Session must stay where it was made, got a request to copy or pickle it; make one of the same bundle there."
        )

    # --- what goes in -------------------------------------------------------------------------------------------------------

    def push_frame(self, image: np.ndarray, *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that this frame completes.

        Args:
            image: (H, W, 3) uint8 RGB; the buffer may be reused after the call.
            pts_ns: time of the frame, int nanoseconds.
        """
        self._require_own_process()
        return self._events(self._preprocessor.push_frame(image, pts_ns=pts_ns))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int, sample_rate_hz: int) -> list[AffectEvent]:
        """Returns the events that this audio completes. samples: (n,) int16 or float32, mono; pts_ns: time of samples[0]."""
        self._require_own_process()
        return self._events(self._preprocessor.push_audio(samples, pts_ns=pts_ns, sample_rate_hz=sample_rate_hz))

    def push_face(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that a frame with known faces completes. faces: (face, (96, 96, 3) uint8 RGB crop) pairs."""
        self._require_own_process()
        return self._events(self._preprocessor.push_face(faces, pts_ns=pts_ns))

    def push_lld(self, rows: np.ndarray, *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that final LLD rows complete. rows: (n, 65) float32, 10 ms apart; pts_ns: start of rows[0]."""
        self._require_own_process()
        return self._events(self._preprocessor.push_lld(rows, pts_ns=pts_ns))

    def advance(self, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that go out because time has come to pts_ns without any delivery."""
        self._require_own_process()
        return self._events(self._preprocessor.advance(pts_ns))

    def degrade(self, step: int) -> None:
        """Leaves out work from the next frame on. A live Runtime calls it when it falls behind; a Session never does by itself.

        Args:
            step: 0 nothing; 1 the detector runs every 0.3 s and the active speaker is judged every 0.1 s; 2 and faces are encoded on
                every second frame.
        """
        self._require_own_process()
        self._preprocessor.degrade(step)
        if self._speaker is not None:
            self._speaker.sparse = step > 0

    def finish(self) -> list[AffectEvent]:
        """Returns the events held back. After it only reset() is allowed."""
        self._require_own_process()
        return self._events(self._preprocessor.finish())

    def reset(self) -> None:
        """Starts again: no past, seq from 0."""
        self._require_own_process()
        self._preprocessor.reset()
        self._follower.reset()
        self._seq = 0
        self._restart()

    def swap_backend(self, backend: str | PreparedBackend) -> None:
        """Lets another backend go on from here: the next tick is its own, the values continue, no event comes or goes.

        Args:
            backend: a name, which is loaded and tested now, or what `edgeaff.backend_swap.prepare` made of this bundle.

        Raises:
            ArgumentError: the backend is unknown, or was prepared for another bundle.
            BackendUnavailableError: it is not installed, or has no device here; the session goes on as before.
            BundleError: it fails its self-test; the session goes on as before.
        """
        from edgeaff.backend_swap import PreparedBackend, prepare, require_same_descriptors, transfer_state

        self._require_own_process()
        if not isinstance(backend, (str, PreparedBackend)):
            raise ArgumentError(
                f"backend must be a name, or what edgeaff.backend_swap.prepare made, got {backend!r}; name one."
            )
        candidate = prepare(self.bundle, backend, **self._engine_options) if isinstance(backend, str) else backend
        if (candidate.bundle.manifest, candidate.bundle.members) != (self.bundle.manifest, self.bundle.members):
            raise ArgumentError(
                f"backend must be prepared for {self.bundle!r}, got one for {candidate.bundle!r}; prepare it from the same file."
            )
        encoder, graph = self._preprocessor.parts.encoder, candidate.encoder
        graph = None if self._face_backend_given else graph
        if not isinstance(encoder, FaceEncoder) or graph is None or graph.backend == encoder.graph.backend:
            encoder = None
        else:
            require_same_descriptors(encoder.graph, graph, self.bundle.spec.crop_size_px)
        subjects = (self._nobody, *self._subjects.values())
        states = [transfer_state(self._predictor, candidate.predictor, one.state, one.history) for one in subjects]
        for subject, state in zip(subjects, states, strict=True):
            subject.state = state
        self._predictor = candidate.predictor
        if encoder is not None and graph is not None:
            encoder.graph = graph
            self._preprocessor.encoder_changed()

    @property
    def counts(self) -> InputCounts:
        """What was repaired or dropped so far, by cause."""
        return self._preprocessor.counts

    @property
    def backend(self) -> str:
        """What computes the numbers."""
        return self._predictor.backend

    # --- from ticks to events -----------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._nobody = self._new_subject()
        self._subjects: dict[int, Subject] = {}
        self._speaking: dict[int, float | None] = {}
        for part in (self._identities, self._speaker):
            if part is not None:
                part.reset()

    def _new_subject(self) -> Subject:
        valence_seconds, arousal_seconds = self._smoothing
        history: deque[TickPair] = deque(maxlen=self._predictor.memory_ticks)
        return Subject(self._predictor.initial_state(), Smoother(valence_seconds), Smoother(arousal_seconds), history)

    def _one_more(self) -> Subject:
        """Returns a subject that goes on from what nobody in particular has heard."""
        subject = self._nobody.copy()
        subject.state = self._predictor.copy_state(subject.state)
        return subject

    def _events(self, ticks: list[TickInput]) -> list[AffectEvent]:
        return self._follower.follow([event for tick in ticks for event in self._tick_events(tick)])

    def _tick_events(self, tick: TickInput) -> list[AffectEvent]:
        if tick.restart:
            self._restart()
        if self._identities is not None:
            tick = self._identities.push(tick)
        if self._speaker is not None:
            self._speaking = self._speaker.push(tick)
        if self._max_faces == 1:
            face = tick.faces[0] if tick.faces else None
            tick = tick if face is None else self._heard_by(face.face.track_id, tick)
            return [self._event(tick, face, self._step(self._nobody, tick, face), self._nobody)]
        return self._several(tick)

    def _several(self, tick: TickInput) -> list[AffectEvent]:
        """Returns one event per face; a new face starts from the state that has heard everything and seen nobody."""
        seen = {face.face.track_id: face for face in tick.faces}
        for track_id in [
            known for known, subject in self._subjects.items() if tick.pts_ns - subject.last_seen_ns > FORGET_TRACK_NS
        ]:
            del self._subjects[track_id]
        for track_id in seen:
            if track_id not in self._subjects:
                self._subjects[track_id] = self._one_more() if self._speaker is None else self._new_subject()
        without_face = self._step(self._nobody, tick, None)
        events = []
        for track_id, subject in self._subjects.items():
            estimate = self._step(subject, self._heard_by(track_id, tick), seen.get(track_id))
            if track_id in seen:
                subject.last_seen_ns = tick.pts_ns
                events.append((list(seen).index(track_id), seen[track_id], estimate, subject))
        if not events:
            return [self._event(tick, None, without_face, self._nobody)]
        return [
            self._event(self._heard_by(face.face.track_id, tick), face, estimate, subject)
            for _, face, estimate, subject in sorted(events, key=lambda row: row[0])
        ]

    def _heard_by(self, track_id: int, tick: TickInput) -> TickInput:
        """Returns the tick as one face has it: without the voice where somebody else speaks."""
        if self._speaker is None or tick.audio is None or self._speaker.hears(track_id):
            return tick
        return dataclasses.replace(tick, audio=None)

    def _step(self, subject: Subject, tick: TickInput, face: FaceInput | None) -> Estimate:
        video = face.descriptor if face is not None else None
        prediction, subject.state = self._predictor.advance(subject.state, video, tick.audio)
        subject.history.append((video, tick.audio))
        if subject.first_evidence_ns is None and (face is not None or tick.audio is not None):
            subject.first_evidence_ns = tick.pts_ns
        video_coverage = subject.video_coverage.push(face is not None)
        audio_coverage = subject.audio_coverage.push(tick.audio is not None)
        valence, arousal = value_in_range(prediction.valence), value_in_range(prediction.arousal)
        valence_std, arousal_std = prediction.valence_std, prediction.arousal_std
        if face is None or valence_std is None or arousal_std is None:
            valence_std, arousal_std = self._uncertainty.std(video_coverage, audio_coverage)
        valence_std, arousal_std = std_in_range(valence_std), std_in_range(arousal_std)
        if valence is None or arousal is None or valence_std is None or arousal_std is None:
            self._reject(subject, f"{prediction} with standard deviations {valence_std} and {arousal_std}")
            return Estimate(0.0, 0.0, 0.0, 0.0, video_coverage, audio_coverage, False)
        return Estimate(valence, arousal, valence_std, arousal_std, video_coverage, audio_coverage, True)

    def _reject(self, subject: Subject, found: str) -> None:
        """Counts a tick whose numbers are out of range, and lets the subject begin without a past: NaN may be in its state."""
        self.counts.values_rejected += 1
        if not self._rejected:
            self._rejected = True
            self.warnings.append(
                f"The model {self.bundle.manifest.model_id} on {self.backend} gave {found}; such events abstain. Run "
                "`edgeaff models verify`, and choose another backend or bundle."
            )
        subject.state = self._predictor.initial_state()
        subject.history.clear()

    def _status(self, tick: TickInput, face: FaceInput | None, estimate: Estimate, subject: Subject) -> Status:
        if tick.stale:
            return Status.STALE
        if not estimate.valid and (face is not None or tick.audio is not None):
            return Status.ABSTAIN
        if self._preprocessor.video and face is None:
            return Status.NO_FACE
        if self._preprocessor.audio and tick.lld is None:
            return Status.NO_AUDIO
        if face is None and tick.audio is None:
            return Status.NO_SPEECH
        if subject.first_evidence_ns is None or tick.pts_ns - subject.first_evidence_ns < WARMUP_NS:
            return Status.WARMUP
        if min(estimate.valence_std, estimate.arousal_std) > self._uncertainty.abstain_above_std:
            return Status.ABSTAIN
        return Status.OK

    def _may_say(
        self, status: Status, face: FaceInput | None, tick: TickInput, estimate: Estimate
    ) -> tuple[bool, bool]:
        """Returns whether valence and arousal may be stated."""
        if status in (Status.STALE, Status.ABSTAIN) or (face is None and tick.audio is None):
            return False, False
        if face is None:
            return estimate.valence_std <= self._uncertainty.audio_only_valence_max_std, True
        return True, True

    def _event(self, tick: TickInput, face: FaceInput | None, estimate: Estimate, subject: Subject) -> AffectEvent:
        status = self._status(tick, face, estimate, subject)
        say_valence, say_arousal = self._may_say(status, face, tick, estimate)
        valence = estimate.valence if say_valence else None
        arousal = estimate.arousal if say_arousal else None
        event = AffectEvent(
            schema=self._schema,
            seq=self._seq,
            pts_ns=tick.pts_ns,
            valence=subject.valence.push(tick.pts_ns, valence),
            arousal=subject.arousal.push(tick.pts_ns, arousal),
            valence_raw=valence,
            arousal_raw=arousal,
            valence_std=estimate.valence_std if say_valence else None,
            arousal_std=estimate.arousal_std if say_arousal else None,
            status=status,
            video_age_ms=age_ms(tick.pts_ns, tick.frame_pts_ns if face is None else face.encoded_pts_ns),
            audio_age_ms=age_ms(tick.pts_ns, tick.audio_center_ns),
            video_coverage=estimate.video_coverage if self._preprocessor.video else None,
            audio_coverage=estimate.audio_coverage if self._preprocessor.audio else None,
            face=face.face if face is not None else None,
            latency_ms=None,
            backend=self._predictor.backend,
            dropped_since_last=None,
            speaking=None if face is None else self._speaking.get(face.face.track_id),
        )
        self._seq += 1
        return event


def _check_golden(bundle: ModelBundle, predictor: Predictor, policy: str) -> list[str]:
    from edgeaff.golden import check_at_load

    return check_at_load(bundle, predictor, policy)


def _make_identities() -> Identities:
    from edgeaff.people.identity import Identities

    return Identities()


def _make_speaker(bundle: ModelBundle) -> ActiveSpeaker:
    from edgeaff.people.speaker import ActiveSpeaker

    return ActiveSpeaker(bundle.spec)


def age_ms(now_ns: int, then_ns: int | None) -> float | None:
    """Returns the age in milliseconds, rounded to 1 us; 0 for a frame just after its tick; None without one."""
    return None if then_ns is None else max(0.0, round((now_ns - then_ns) / 1e6, 3))
