"""The arithmetic of the soak: slope, growth, missed ticks, bars; and the matrix is as large as promised."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.soak.__main__ import CELLS, failures
from tests.soak.realtime import Series, Ticks
from tests.soak.trial import RECOVERY_LIMIT_SECONDS, Failure, run_cell
from tests.test_types import EVENT


def series(megabytes_per_hour: float, *, warm_up: float = 0.0, queue_growth: float = 0.0) -> Series:
    made = Series.of_size(1800)
    made.count = 1800
    made.seconds = np.arange(1800.0)
    noise = np.random.default_rng(0).normal(0, 0.05, 1800)
    made.rss_mib = 190 + megabytes_per_hour / 1.048576 * made.seconds / 3600 + noise
    made.rss_mib[:600] -= warm_up * np.linspace(1, 0, 600)
    made.queues[:, 2] = np.round(3 + queue_growth * made.seconds / 1800 + np.arange(1800) % 2)
    return made


@pytest.mark.parametrize("slope", [-0.5, 0.0, 1.0, 60.0])
def test_slope_is_that_of_the_last_two_thirds(slope: float) -> None:
    assert series(slope, warm_up=20.0).rss_slope_mb_per_hour() == pytest.approx(slope, abs=0.1)


def test_growth_of_a_queue_is_seen_and_its_trembling_is_not() -> None:
    assert series(0.0).queue_growth() == 0
    assert series(0.0, queue_growth=60.0).queue_growth() > 10


def test_missed_ticks_and_latency_are_counted_once_warm() -> None:
    ticks = Ticks(np.zeros(100))
    for tick, age in ((10, 5.0), (11, 5.0), (11, 40.0), (14, 0.0)):
        pts = round(tick * 1e9 / 30)
        ticks.note(dataclasses.replace(EVENT, pts_ns=pts, latency_ms=10.0, video_age_ms=age), warm=tick > 10)
    assert ticks.missed == 2 and ticks.count == 3 and list(ticks.latency_ms[:3]) == [10.0, 50.0, 10.0]


def result(**changes: float) -> dict:
    good = {"seconds": 1800.0, "rss_slope_mb_per_hour": 0.4, "missed_ticks": 0, "queue_growth": 0.0, "p99_ms": 40.0}
    return {**good, "faults": {"lost/camera": {"passed": True, "recovery_s": 0.2}}, **changes}


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 0),
        ({"rss_slope_mb_per_hour": 1.1}, 1),
        ({"rss_slope_mb_per_hour": 90.0, "p99_ms": 200.0, "seconds": 60.0}, 0),
        ({"missed_ticks": 1, "seconds": 60.0}, 1),
        ({"queue_growth": 2.0, "p99_ms": 61.0}, 2),
        ({"faults": {"lost/mic": {"passed": False, "recovery_s": 0.0, "detail": "no recovery"}}}, 1),
    ],
)
def test_bars(changes: dict, count: int) -> None:
    assert len(failures(result(**changes))) == count


def test_cell_that_raises_or_is_slow_has_failed_with_its_reason() -> None:
    def raises(rig: object) -> float:
        raise Failure("no recovery from lost")

    assert run_cell(lambda rig: 0.5, None).passed
    assert not run_cell(raises, None).passed and "no recovery" in run_cell(raises, None).detail
    assert not run_cell(lambda rig: RECOVERY_LIMIT_SECONDS, None).passed


def test_matrix_covers_every_cause_and_source() -> None:
    names = [name.split("/") for name in CELLS]
    causes, sources = {cause for cause, _ in names}, {source for _, source in names}
    assert len(CELLS) >= 20 and {"camera", "mic", "stream", "sink"} <= sources
    assert causes >= {
        "lost",
        "frozen",
        "stalled",
        "garbage",
        "slow consumer",
        "raising callback",
        "full disk",
        "killed broker",
        "16-kHz refusal",
        "suspended 5 s",
        "clock set back an hour",
        "clock set forward an hour",
        "two clocks",
        "killed worker",
    }
