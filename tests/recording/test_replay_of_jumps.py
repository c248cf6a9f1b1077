"""A recording of a session whose clock stepped, jumped and was damaged replays to the same events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import first_difference
from edgeaff.types import AffectEvent
from tests.preprocess.fakes import SECOND, frame

from .test_recorder import SumSession, make_session


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("raw", [True, False])
def test_jumps_steps_and_damaged_times_replay_to_the_same_events(tmp_path: Path, live: bool, raw: bool) -> None:
    path, rng = tmp_path / "jumps.eaffrec", np.random.default_rng(3)
    with Recorder(path, options={"live": live}, raw=raw) as recorder:
        session, clock, count = recorder.wrap(SumSession(recorder, live=live)), 0, 0

        def deliver(events: list[AffectEvent]) -> int:
            for event in events:
                recorder.write(event)
            return len(events)

        for index in range(150):
            clock += {40: -3600, 70: 30, 100: -4, 120: 16}.get(index, 0) * SECOND + SECOND // 30
            damaged = 10**17 if index % 11 == 10 else 0
            samples = rng.normal(0, 3000, 640).astype(np.int16)
            count += deliver(session.push_frame(frame(1 + index), pts_ns=clock + damaged))
            count += deliver(session.push_audio(samples, pts_ns=clock, sample_rate_hz=16_000))
        count += deliver(session.finish())
        assert session._preprocessor.counts.jumps >= 3
    assert count > 100 and first_difference(Recording(path), make_session) == ""
