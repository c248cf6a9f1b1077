"""The measuring code of benchmarks/lld.py, on little audio."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import lld as bench
from edgeaff.features import lld_stream

ROOT = Path(__file__).parents[2]


def test_the_voice_is_mostly_voiced():
    rows = bench.run_stream(lld_stream.LldStream, bench.voice(2.0), 16_000)
    assert 0.5 < (rows[:, 0] > 0).mean() < 1.0


def test_chunks_of_a_video_frame_give_the_same_rows():
    samples = bench.voice(1.0)
    parts = bench.run_stream(lld_stream.LldStream, samples, bench.FRAME_SAMPLES)
    np.testing.assert_array_equal(parts, bench.run_stream(lld_stream.LldStream, samples, len(samples)))


def test_delay_keeps_the_promise():
    found = bench.measure_delay(1.5)
    assert 30 <= found["median_ms"] <= found["worst_ms"] <= found["promised_ms"] == 110


def test_cpu_of_every_extractor_is_positive():
    found = bench.measure_cpu(2.0, 1)
    assert "numpy" in found
    assert all(row["cpu_us_per_hop"]["median"] > 0 for row in found.values())


@pytest.mark.slow
def test_memory_of_the_stream_is_flat():
    assert bench.measure_memory("numpy", 1)["added_mib"] < 8


@pytest.mark.peer
def test_agreement_is_within_the_bar():
    found = bench.measure_agreement(bench.recordings())
    assert found["numpy"]["same_voicing_decision"] >= 0.999
    assert all(row["above_1e-4"] <= 0.001 for row in found["numpy"]["columns"].values())


@pytest.mark.needs_shared
@pytest.mark.needs_media
def test_real_voices_are_read_at_16_khz(shared):
    found = bench.real_voices(shared / "data" / "affect" / "emodb", 200)
    assert len(found) == 3
    assert all(samples.dtype == np.int16 and 1 < len(samples) / bench.RATE_HZ < 20 for samples in found.values())


@pytest.mark.slow
def test_script_writes_its_json(tmp_path, monkeypatch, capsys):
    target = tmp_path / "lld.json"
    options = ["--seconds", "2", "--rounds", "1", "--frames", "10", "--minutes", "1", "--json", str(target)]
    monkeypatch.setattr(sys, "argv", ["lld.py", *options])
    runpy.run_path(str(ROOT / "benchmarks" / "lld.py"), run_name="__main__")
    found = json.loads(target.read_text())
    assert {"machine", "versions", "agreement", "cpu", "video_frame_cpu_us", "delay", "memory"} <= set(found)
    assert "us/hop" in capsys.readouterr().out
