"""The Lab Streaming Layer on the loopback, read by pylsl."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from edgeaff.types import Status, StatusEvent
from tests.delivery.events import FULL

pytestmark = [pytest.mark.system, pytest.mark.needs_lab]


def test_lsl_outlet_carries_values_on_the_lsl_clock():
    import pylsl

    from edgeaff.delivery.lsl import LslSink

    sink = LslSink("edgeaff-test", live=True)
    try:
        (found,) = pylsl.resolve_byprop("name", "edgeaff-test", timeout=10)
        (marks,) = pylsl.resolve_byprop("name", "edgeaff-test-markers", timeout=10)
        inlet, markers = pylsl.StreamInlet(found), pylsl.StreamInlet(marks)
        inlet.open_stream(timeout=10)
        markers.open_stream(timeout=10)
        info = inlet.info(timeout=10)
        assert info.nominal_srate() == 30
        assert info.desc().child("channels").child("channel").child_value("label") == "valence"
        now_ns = time.monotonic_ns()
        sink.write(replace(FULL, pts_ns=now_ns))
        sink.write_status(StatusEvent(now_ns, "camera", "camera:0", "lost"))
        sample, stamp = inlet.pull_sample(timeout=10)
        assert sample[:4] == [FULL.valence, FULL.arousal, FULL.valence_std, FULL.arousal_std]
        assert sample[7:] == [
            list(Status).index(Status.OK),
            FULL.speaking,
            FULL.valence_relative,
            FULL.arousal_relative,
        ]
        assert abs(stamp - (pylsl.local_clock() - (time.monotonic_ns() - now_ns) / 1e9)) <= 1e-3
        assert [markers.pull_sample(timeout=10)[0] for _ in range(2)] == [["OK"], ["camera/camera:0/lost"]]
    finally:
        sink.close()
