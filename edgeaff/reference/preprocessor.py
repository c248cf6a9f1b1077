"""The preprocessor in plain Python: gate and segments behind the checks of `edgeaff.preprocess.Preprocessor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeaff.preprocess.core import Core, Setup, require_parts
from edgeaff.preprocess.inputs import InputCounts, TickInput
from edgeaff.preprocess.preprocessor import Preprocessor as NativePreprocessor
from edgeaff.reference.gate import ClockGate, Delivery
from edgeaff.reference.segment import Segment
from edgeaff.spec import NANOSECONDS
from edgeaff.types import TrackedFace


class Preprocessor(NativePreprocessor):
    """`edgeaff.preprocess.Preprocessor` with the readable core."""

    @classmethod
    def like(cls, other: NativePreprocessor) -> Preprocessor:
        """Returns one with the options and parts of another, without its past."""
        setup = other._setup
        options = {
            name: getattr(setup, name)
            for name in ("video", "audio", "live", "keep_crops", "max_faces", "detector_stride")
        }
        return cls(
            setup.parts,
            staleness_seconds=setup.staleness_ns / NANOSECONDS,
            max_skew_seconds=setup.skew_ns / NANOSECONDS,
            **options,
        )

    def _make_core(self) -> Core:
        return ReferenceCore(self._setup, self.counts)


class ReferenceCore:
    """What csrc/core/preprocessor.cc does: inputs through the gate into segments, ticks out.

    Args:
        setup: options and parts.
        counts: where repairs and losses are counted.
    """

    def __init__(self, setup: Setup, counts: InputCounts) -> None:
        require_parts(setup)
        self._setup, self._counts, self._spec = setup, counts, setup.parts.spec
        self._gate = ClockGate(confirm=setup.live)
        self.reset()

    def reset(self) -> None:
        """Starts again; the counts go on."""
        self._drop(self._gate.drop_held())
        self._gate = ClockGate(confirm=self._setup.live)
        self._degraded = 0
        self.segment = Segment(self._setup, self._counts)

    def push_frame(self, image: np.ndarray, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that an image completes."""
        return self._offer(Delivery("image", pts_ns, pts_ns, image))

    def push_faces(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], pts_ns: int) -> list[TickInput]:
        """Returns the ticks that a frame whose faces are known completes."""
        return self._offer(Delivery("faces", pts_ns, pts_ns, tuple(faces)))

    def push_samples(self, samples: np.ndarray, rate_hz: int, pts_ns: int, end_ns: int) -> list[TickInput]:
        """Returns the ticks that samples complete."""
        return self._offer(Delivery("samples", pts_ns, end_ns, samples, rate_hz))

    def push_rows(self, rows: np.ndarray, pts_ns: int, end_ns: int) -> list[TickInput]:
        """Returns the ticks that LLD rows complete."""
        return self._offer(Delivery("rows", pts_ns, end_ns, rows))

    def advance(self, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that are due as the time has come."""
        return self._offer(Delivery("clock", pts_ns, pts_ns))

    def finish(self) -> list[TickInput]:
        """Returns the ticks held back."""
        self._drop(self._gate.drop_held())
        return self.segment.finish()

    def degrade(self, step: int) -> None:
        """Leaves out work from the next frame on."""
        self._degraded = step
        self.segment.degrade(step)

    def replace_encoder(self, encoder: Any) -> None:
        """Does nothing: the face encoder is called, on the graph that it has."""

    def _offer(self, item: Delivery) -> list[TickInput]:
        verdict = self._gate.offer(item)
        self._drop(verdict.dropped)
        ticks: list[TickInput] = []
        if verdict.restart:
            ticks += self.segment.finish()
            self._restart(verdict.deliver)
        for one in verdict.deliver:
            ticks += self.segment.deliver(one)
        return ticks

    def _restart(self, following: tuple[Delivery, ...]) -> None:
        """Begins a new segment; after a jump forward its ticks stay above those that have gone."""
        self._counts.jumps += 1
        earliest = self.segment.scheduler.current_tick()
        if earliest is not None and any(self._spec.frame_tick(one.start_ns) < earliest for one in following):
            earliest = None  # a jump back
        self.segment = Segment(self._setup, self._counts, earliest_tick=earliest)
        self.segment.degrade(self._degraded)

    def _drop(self, dropped: tuple[Delivery, ...]) -> None:
        for one in dropped:
            self._counts.inputs_unconfirmed += 1
            self._counts.note(one.kind, used=False)
