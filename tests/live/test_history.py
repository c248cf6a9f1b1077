"""The ring of the live page, and the same in words."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from edgeaff.live.history import HISTORY_SECONDS, Ring
from edgeaff.live.protocol import COLUMNS, EXACT, VALUES, values_of
from edgeaff.live.text import text_of
from tests.delivery.events import EMPTY, FULL, events


def filled(count: int, capacity: int) -> Ring:
    ring = Ring(capacity)
    for event in events(count):
        ring.append(event)
    return ring


@pytest.mark.parametrize(("count", "capacity"), [(0, 5), (1, 1), (4, 5), (5, 5), (12, 5), (11, 7)])
def test_ring_keeps_the_newest_rows_under_their_numbers(count, capacity):
    ring = filled(count, capacity)
    assert ring.end == count and ring.first == max(0, count - capacity)
    exact, values = ring.rows(ring.first, ring.end)
    assert exact[:, 0].tolist() == list(range(ring.first, count))
    assert values.shape == (count - ring.first, len(VALUES))


def test_row_of_a_message_is_the_event():
    row = dict(zip(COLUMNS, Ring(3).append(FULL), strict=True))
    assert row["pts_ns"] == FULL.pts_ns and row["valence"] == FULL.valence and row["face_x1"] == 30.0
    assert row["latency_ms"] is None


def test_time_of_a_long_uptime_is_exact():
    ring = Ring(2)
    event = replace(FULL, pts_ns=2**52 + 1, seq=2**40 + 1)
    assert ring.append(event)[:2] == [event.seq, event.pts_ns]
    sent = np.frombuffer(base64.b64decode(ring.piece(1).exact), "<f8")
    assert sent.tolist() == [event.seq, event.pts_ns]


@pytest.mark.parametrize(
    ("count", "capacity", "most"), [(0, 5, 4), (3, 5, 4), (9, 20, 4), (50, 20, 7), (40, 20, 20), (41, 20, 5)]
)
def test_pieces_from_the_newest_give_the_whole_past_once(count, capacity, most):
    ring, end, numbers = filled(count, capacity), count, []
    while True:
        piece = ring.piece(end, most=most)
        exact = np.frombuffer(base64.b64decode(piece.exact), "<f8").reshape(piece.rows, len(EXACT))
        values = np.frombuffer(base64.b64decode(piece.values), "<f4").reshape(piece.rows, len(VALUES))
        assert piece.rows <= most and (exact[:, 0] == np.arange(piece.first, piece.first + piece.rows)).all()
        np.testing.assert_array_equal(values[:, 0], np.float32(values_of(FULL)[0]))
        numbers = [*range(piece.first, piece.first + piece.rows), *numbers]
        end = piece.first
        if piece.complete:
            break
    assert numbers == list(range(ring.first, count))


def test_ten_minutes_of_one_face_take_less_than_three_megabytes():
    ring = Ring(HISTORY_SECONDS * 30)
    assert ring._exact.nbytes + ring._values.nbytes < 3_000_000


def test_text_has_one_line_for_each_second():
    ring = Ring(1000)
    for event in events(95):
        ring.append(replace(event, latency_ms=12.4))
    ring.append(replace(EMPTY, seq=95, pts_ns=round(95e9 / 30)))
    lines = text_of(ring, title="title").splitlines()
    assert lines[0] == "title" and len(lines) == 2 + 4
    assert "+0.10 +/- 0.39" in lines[2] and lines[2].endswith("12 ms")
    assert "STALE" in lines[-1] and lines[-1].count("no value") == 2


def test_text_before_the_first_tick_is_one_line():
    assert text_of(Ring(5), title="title").splitlines()[-1] == "no tick yet"
