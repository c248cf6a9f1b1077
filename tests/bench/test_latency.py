"""The measuring code of benchmarks/latency.py, on few ticks."""

import json

import numpy as np
import pytest

from edgeaff.bench import latency
from edgeaff.bench.interleave import Timing
from edgeaff.bench.latency_media import Media, make_media, pts_ns
from edgeaff.bench.latency_table import as_markdown
from edgeaff.bundle import ModelBundle
from edgeaff.inference import WindowPredictor


@pytest.mark.needs_native
def test_run_gives_the_rows_that_readers_of_the_json_expect():
    found = json.loads(json.dumps(latency.run(ticks=40, rounds=3, camera_seconds=0.4, peers=False)))
    back_to_back, camera = found["pipelines"]
    keys = {"preset", "engine", "precision", "threads", "stride", "mode", "fps", "p50_ms", "cpu_ms", "cpu_share"}
    assert keys <= set(back_to_back) and keys <= set(camera)
    assert (back_to_back["engine"], back_to_back["mode"], camera["mode"]) == ("edgeaff", "back_to_back", "camera")
    assert back_to_back["n"] == 40
    assert camera["n"] == 12 and camera["fps"] <= 30
    stages = {(row["stage"], row["engine"]) for row in found["stages"]}
    assert {("step", "native"), ("step", "onnxruntime"), ("detector", "onnxruntime"), ("crop", "native")} <= stages
    assert {"torch_naive", "onnxruntime_window", "paper preset"} <= set(found["left_out"])
    assert found["bars"]["vs_torch_naive"] == {"bar": 15.0, "measured": None, "met": None}
    assert 20 < found["process"]["rss_mib"] < 1_000 and found["process"]["installed_mb"] > 20
    assert "| edgeaff | back_to_back | 40 |" in as_markdown(found)


@pytest.mark.needs_native
@pytest.mark.needs_torch
@pytest.mark.needs_onnx
def test_torch_window_has_the_weights_of_the_bundle_and_gives_the_values_of_the_step():
    from edgeaff.bench.latency_peers import TorchWindow, load_edge

    bundle, media = ModelBundle.load(), make_media(5.0)
    predictors, _ = latency.make_predictors(bundle, peers=False)
    predictors["torch_naive"] = WindowPredictor(TorchWindow(load_edge(bundle)))
    sessions = {name: latency.open_session(bundle, media, one) for name, one in predictors.items()}
    assert latency.warm_up(sessions, media) <= latency.SAME_VALUE


@pytest.mark.needs_native
def test_without_a_portrait_all_stages_work():
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    media = Media("noise, box given", [noise], np.zeros(16_000, np.int16))
    bundle = ModelBundle.load()
    predictors, _ = latency.make_predictors(bundle, peers=False)
    sessions = {name: latency.open_session(bundle, media, one) for name, one in predictors.items()}
    assert latency.warm_up(sessions, media) == 0.0  # raises where no face comes out


def test_no_speedup_is_printed_when_the_processor_was_shared():
    alone = Timing(np.array([100.0, 100.0]), np.array([100.0, 98.0]))
    shared = Timing(np.array([400.0, 400.0]), np.array([200.0, 200.0]))
    assert latency.speedup(shared, alone) is None
    assert latency.speedup(Timing(np.array([200.0]), np.array([200.0])), Timing(np.array([50.0]), np.array([50.0]))) == 4.0


def test_bars_are_judged_in_the_right_direction():
    process = {"import_seconds": 0.1, "import_session_seconds": 0.3, "rss_mib": 100.0, "installed_mb": 100.0}
    rows = latency.judge({"cpu_ms": 4.0, "fps": 150.0}, process, {"vs_torch_naive": 16.0})
    met = {name: row["met"] for name, row in rows.items()}
    assert met == {
        "cpu_ms_per_tick": True, "ticks_per_second": False, "import_seconds": True,
        "import_session_seconds": False, "rss_mib": True, "installed_mb": True, "vs_torch_naive": True, "vs_onnxruntime_window": None,
    }  # fmt: skip


def test_sound_is_whole_and_pictures_are_30_a_second():
    media = Media("x", [np.zeros((2, 2, 3), np.uint8)], np.arange(16_000, dtype=np.int16))
    np.testing.assert_array_equal(np.concatenate([media.sound(tick) for tick in range(30)]), media.samples)
    np.testing.assert_array_equal(media.sound(30), media.sound(0))
    assert pts_ns(30) == 1_000_000_000
