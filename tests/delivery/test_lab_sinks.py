"""OSC on the loopback, read by python-osc."""

from __future__ import annotations

import socket

import pytest

from edgeaff.delivery.open import open_sink
from tests.delivery.events import EMPTY, FULL

pytestmark = pytest.mark.needs_lab


def test_osc_bundle_carries_values_and_time():
    from pythonosc.osc_bundle import OscBundle

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sink = open_sink(f"osc://127.0.0.1:{receiver.getsockname()[1]}/lab")
        sink.write(FULL)
        sink.write(EMPTY)
        first, second = (OscBundle(receiver.recv(4096)) for _ in range(2))
        sink.close()
    messages = {message.address: message.params for message in first}
    assert messages["/lab/tick"] == [FULL.pts_ns, FULL.seq, 7, "OK"]
    assert messages["/lab/valence"] == [FULL.valence, FULL.valence_std]
    assert messages["/lab/arousal"] == [FULL.arousal, FULL.arousal_std]
    assert messages["/lab/speaking"] == [0.75] and messages["/lab/arousal_relative"] == [-0.125]
    assert {message.address: message.params for message in second} == {"/lab/tick": [EMPTY.pts_ns, 1, -1, "STALE"]}
