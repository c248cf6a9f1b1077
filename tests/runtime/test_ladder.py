"""The degradation ladder: decisions from simulated load, the work left out by a Session, byte-equal replay of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import first_difference
from edgeaff.runtime.ladder import STEPS, Ladder, Load

from ..preprocess.fakes import Brightness, Identity, OneFace, make

SECOND = 1_000_000_000


class Machine:
    """A worker whose frames cost a given time; full, degraded once and twice."""

    def __init__(self, *, audio_waiting: float = 0.0) -> None:
        self.ladder, self.now, self.audio_waiting = Ladder(), 0, audio_waiting
        self.busy = self.frames = self.replaced = 0.0
        self.steps: list[tuple[int, int]] = []

    def run(self, seconds: int, costs_ms: tuple[float, float, float]) -> list[tuple[int, int]]:
        """Returns (second, step) of every change."""
        start = len(self.steps)
        for _ in range(seconds * 30):
            cost = costs_ms[self.ladder.step] / 1e3
            self.now += SECOND // 30
            self.frames += 1
            self.replaced += max(0.0, 1 - 1 / 30 / cost)
            self.busy += min(cost, 1 / 30)
            load = Load(int(self.busy * SECOND), int(self.frames), int(self.replaced), self.audio_waiting)
            step = self.ladder.observe(self.now, load)
            if step is not None:
                self.steps.append((self.now // SECOND, step))
        return self.steps[start:]


def test_light_load_changes_nothing() -> None:
    assert Machine().run(600, (15.0, 8.0, 6.0)) == []


def test_falling_behind_goes_down_step_by_step_and_stops_where_it_fits() -> None:
    assert [step for _, step in Machine().run(60, (50.0, 25.0, 20.0))] == [1]
    changes = Machine().run(60, (90.0, 60.0, 25.0))
    assert [step for _, step in changes] == [1, 2]
    assert changes[1][0] <= 6  # two windows each


def test_fast_camera_alone_is_no_overload() -> None:
    machine = Machine()
    machine.replaced = 0.0
    for _ in range(30):
        machine.replaced += 500.0
        assert machine.run(1, (10.0, 8.0, 6.0)) == []


def test_audio_that_waits_is_falling_behind() -> None:
    assert [step for _, step in Machine(audio_waiting=0.3).run(10, (15.0, 8.0, 6.0))] == [1, 2]


def test_calm_goes_up_again_after_five_seconds() -> None:
    machine = Machine()
    machine.run(20, (90.0, 60.0, 25.0))
    changes = machine.run(30, (12.0, 8.0, 6.0))
    assert [step for _, step in changes] == [1, 0]
    assert changes[1][0] - changes[0][0] >= 5


def test_step_that_does_not_hold_is_tried_less_and_less_often() -> None:
    machine = Machine()
    changes = machine.run(600, (60.0, 10.0, 6.0))  # at step 1 all looks calm, at step 0 nothing does
    tries = [second for second, step in changes if step == 0]
    gaps = np.diff(tries)
    assert len(tries) < 20 and gaps[-1] >= 60 and all(np.diff(gaps) >= -1)


def test_process_that_stood_still_reports_nothing() -> None:
    machine = Machine()
    machine.run(5, (15.0, 8.0, 6.0))
    machine.now += 5 * SECOND
    machine.replaced += 150
    assert machine.run(30, (15.0, 8.0, 6.0)) == []


# --- what a session leaves out --------------------------------------------------------------------------------------------------


class CountingEncoder(Brightness):
    crops = 0

    def encode_crops(self, crops):
        self.crops += len(crops)
        return super().encode_crops(crops)


def degraded_run(step: int) -> tuple[int, int, list]:
    """Returns calls of the detector, crops encoded and the ticks of 3 s at 30 fps."""
    from edgeaff.preprocess import Preprocessor, PreprocessParts
    from edgeaff.spec import PreprocessSpec

    detector, encoder = OneFace(), CountingEncoder()
    preprocessor = Preprocessor(PreprocessParts(PreprocessSpec(), detector, encoder, Identity()), audio=False)
    preprocessor.degrade(step)
    ticks = []
    for index in range(90):
        image = np.full((120, 160, 3), 40 + index, np.uint8)
        ticks += preprocessor.push_frame(image, pts_ns=index * SECOND // 30)
    return detector.calls, encoder.crops, ticks + preprocessor.finish()


def test_every_step_leaves_out_what_it_states_and_loses_no_face() -> None:
    assert degraded_run(0)[:2] == (90, 90)
    assert degraded_run(1)[:2] == (10, 90)
    calls, crops, ticks = degraded_run(2)
    assert calls == 10 and 45 <= crops <= 46
    assert len(ticks) == 90 and all(tick.faces for tick in ticks)
    ages = {(tick.frame_pts_ns - tick.faces[0].encoded_pts_ns) // 1_000_000 for tick in ticks}
    assert ages <= {0, 33} and len(ages) == 2  # the age of what was measured is reported


@pytest.mark.parametrize("step", [-1, len(STEPS), 1.0, True])
def test_unknown_step_is_an_error(step) -> None:
    with pytest.raises(ArgumentError, match="step must be"):
        make(audio=False).degrade(step)


@pytest.mark.parametrize("seed", range(5))
def test_steps_are_recorded_and_replayed_byte_for_byte(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    with Recorder(tmp_path / "a.eaffrec") as recorder:
        session = recorder.wrap(edgeaff.Session(tap=recorder))
        for index in range(60):
            if random.random() < 0.2:
                session.degrade(int(random.integers(0, 3)))
            image = random.integers(0, 255, (96, 128, 3), np.uint8)
            samples = random.integers(-3000, 3000, 534).astype(np.int16)
            events = session.push_audio(samples, pts_ns=index * 33_375_000, sample_rate_hz=16_000)
            events += session.push_frame(image, pts_ns=index * 33_375_000)
            for event in events:
                recorder.write(event)
        for event in session.finish():
            recorder.write(event)
    recording = Recording(tmp_path / "a.eaffrec")
    assert sum(call.name == "degrade" for call in recording.calls()) > 3
    assert first_difference(recording, lambda tap, options: edgeaff.Session(tap=tap)) == ""
