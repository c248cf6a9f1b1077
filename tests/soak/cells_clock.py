"""The fault matrix, clocks: pushed frames and audio whose clock steps, or who do not share one."""

from __future__ import annotations

import threading
import time

import numpy as np

import edgeaff
from tests.soak.rig import Rig
from tests.soak.trial import Cell, Trial, bundle, running

SECOND = 1_000_000_000
FRAME_SECONDS, CHUNK = 1 / 30, 480  # 10 ms at 48 kHz


class PushedPair:
    """Pushes frames and audio in real time, stamped with the wall clock plus an offset of each.

    Attributes:
        offsets_ns: what is added to the times of "video" and "audio"; may be changed meanwhile.
    """

    def __init__(self, runtime: edgeaff.Runtime) -> None:
        self.runtime, self.offsets_ns = runtime, {"video": 0, "audio": 0}
        self._image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def step(self, seconds: float, *modalities: str) -> float:
        """Steps the clock of some modalities; returns when (monotonic)."""
        for modality in modalities or tuple(self.offsets_ns):
            self.offsets_ns[modality] += round(seconds * SECOND)
        return time.monotonic()

    def _work(self) -> None:
        start, chunks, frames = time.monotonic(), 0, 0
        while not self._stop.wait(0.005):
            now = time.time_ns()
            passed = time.monotonic() - start
            while chunks * CHUNK < passed * 48_000:
                begin = now - round((passed - chunks * CHUNK / 48_000) * SECOND)
                samples = (3000 * np.sin(np.arange(CHUNK) * 0.02)).astype(np.int16)
                self.runtime.push_audio(samples, pts_ns=begin + self.offsets_ns["audio"])
                chunks += 1
            if frames * FRAME_SECONDS < passed:
                self.runtime.push_frame(self._image, pts_ns=now + self.offsets_ns["video"])
                frames = int(passed / FRAME_SECONDS) + 1

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join(2.0)


def clock_cell(seconds: float, kind: str, *, waits: float = 0.0) -> Cell:
    """Returns the cell of a clock that steps. waits: how long input is dropped until the clock has caught up."""

    def cell(rig: Rig) -> float:
        sources = {"video": edgeaff.PushVideo(), "audio": edgeaff.PushAudio(sample_rate_hz=48_000)}
        runtime = edgeaff.Runtime(bundle(), **sources)
        pair = PushedPair(runtime)
        try:
            with running(Trial(runtime, "video", "audio", jumps=True)) as trial:
                stepped = pair.step(seconds)
                trial.expect(kind, "runtime")
                trial.must(runtime.stats().inputs[_COUNTERS[kind]] >= 1, f"{_COUNTERS[kind]} is not counted")
                return trial.recover(kind, "runtime", stepped + waits)
        finally:
            pair.close()

    return cell


def two_clocks(rig: Rig) -> float:
    """The clock of the audio steps by an hour: it is reported, the runtime is unhealthy, and all is well when it is back."""
    sources = {"video": edgeaff.PushVideo(), "audio": edgeaff.PushAudio(sample_rate_hz=48_000)}
    runtime = edgeaff.Runtime(bundle(), **sources)
    pair = PushedPair(runtime)
    try:
        with running(Trial(runtime, "video", "audio", jumps=True)) as trial:
            pair.step(3600.0, "audio")
            trial.follow(3.0, lambda: any(event.kind == "clock_mismatch" for event in trial.reported))
            reported = next((event for event in trial.reported if event.kind == "clock_mismatch"), None)
            trial.must(reported, "clock_mismatch was not reported")
            trial.must(not runtime.health().healthy, "the runtime is healthy")
            repaired = pair.step(-3600.0, "audio")
            recovery = trial.recover("clock_mismatch", reported.source if reported is not None else "", repaired)
            trial.must(trial.follow(2.0, lambda: runtime.health().healthy), "the runtime stays unhealthy")
            return recovery
    finally:
        pair.close()


_COUNTERS = {"clock_jump": "jumps", "clock_step": "steps_back"}
CELLS: dict[str, Cell] = {
    "clock set back an hour/push": clock_cell(-3600.0, "clock_jump"),
    "clock set forward an hour/push": clock_cell(3600.0, "clock_jump"),
    "clock set back 2 s/push": clock_cell(-2.0, "clock_step", waits=2.0),
    "two clocks/push": two_clocks,
}
