"""A page that is too slow: it gets the newest, learns how much it missed, and its past fills what room is left."""

from __future__ import annotations

from types import SimpleNamespace

from edgeaff.live.history import PIECE_ROWS, Ring
from edgeaff.live.protocol import Ticks, encode
from edgeaff.live.viewer import MOST_NOTES
from tests.delivery.events import events
from tests.live.watching import Heard


def host(rows: int = 0, capacity: int = 10_000) -> SimpleNamespace:
    ring = Ring(capacity)
    for event in events(rows):
        ring.append(event)
    return SimpleNamespace(ring=ring, join=lambda viewer: None, leave=lambda viewer: None)


def ticks(first: int, count: int = 3) -> bytes:
    return encode(Ticks(first, [[index] for index in range(count)], None, None))


def kinds(viewer: Heard) -> list[str]:
    return [message["type"] for message in viewer.messages]


def test_quick_viewer_gets_every_tick():
    viewer = Heard(host())
    for first in (0, 3, 6):
        viewer.offer_ticks(3, ticks(first))
    assert [message["first"] for message in viewer.messages] == [0, 3, 6] and viewer.skipped == 0


def test_slow_viewer_gets_the_newest_and_a_count():
    viewer = Heard(host())
    viewer.paused()
    for first in (0, 3, 6, 9):
        viewer.offer_ticks(3, ticks(first))
    assert viewer.messages == []
    viewer.resumed()
    assert viewer.messages[0] == {"type": "skipped", "rows": 9, "total": 9} and viewer.messages[1]["first"] == 9
    viewer.paused()
    viewer.offer_ticks(3, ticks(12))
    viewer.offer_ticks(3, ticks(15))
    viewer.resumed()
    assert viewer.messages[2] == {"type": "skipped", "rows": 3, "total": 12} and viewer.messages[3]["first"] == 15


def test_past_comes_newest_first_and_behind_what_is_new():
    viewer = Heard(host(rows=2 * PIECE_ROWS + 10))
    viewer.paused()
    viewer.greet(b'{"type": "hello"}', [b'{"type": "status"}'], 2 * PIECE_ROWS + 10)
    viewer.offer_ticks(3, ticks(2 * PIECE_ROWS + 10))
    viewer.offer_health(b'{"type": "health"}')
    viewer.resumed()
    assert kinds(viewer) == ["hello", "ticks", "status", "health", "history", "history", "history"]
    pieces = viewer.messages[4:]
    assert [piece["first"] for piece in pieces] == [PIECE_ROWS + 10, 10, 0]
    assert [piece["complete"] for piece in pieces] == [False, False, True]


def test_what_waits_for_a_slow_viewer_is_bounded():
    viewer = Heard(host())
    viewer.paused()
    for index in range(1000):
        viewer.offer_ticks(3, ticks(3 * index))
        viewer.offer_note(b'{"type": "status"}')
        viewer.offer_health(b'{"type": "health"}')
        viewer.offer_images([b"image"])
    viewer.resumed()
    texts = [message for message in viewer.messages if isinstance(message, dict)]
    assert [message["type"] for message in texts].count("status") == MOST_NOTES
    assert len(viewer.messages) == MOST_NOTES + 4  # skipped, ticks, health and one image


def test_past_that_was_overwritten_meanwhile_is_not_sent():
    server = host(rows=100, capacity=100)
    viewer = Heard(server)
    viewer.paused()
    viewer.greet(b'{"type": "hello"}', [], 100)
    for event in events(150):
        server.ring.append(event)
    viewer.resumed()
    assert kinds(viewer) == ["hello"]
