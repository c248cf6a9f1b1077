"""The measuring code of benchmarks/latency.py, on few ticks."""

import json

import numpy as np
import pytest

from edgeaff.bench import latency, latency_engines, latency_pipelines, latency_stages
from edgeaff.bench.interleave import Timing
from edgeaff.bench.latency_media import Media, make_media, pts_ns
from edgeaff.bench.latency_table import as_markdown
from edgeaff.bundle import ModelBundle

SMALL = latency.Plan(turns=1, rounds=3, camera_seconds=0.4, peers=False, paper=False, hours=0.0005)
KEYS = {"preset", "engine", "precision", "threads", "stride", "mode", "fps", "p50_ms", "cpu_ms", "cpu_share"}


@pytest.fixture(scope="module")
def small():
    """What a short run alone gives, as a reader of the JSON sees it."""
    return json.loads(json.dumps(latency.run(SMALL)))


@pytest.mark.needs_native
def test_rows_of_pipelines_have_what_readers_of_the_json_expect(small):
    assert all(set(row) >= KEYS for row in small["pipelines"])
    first = small["pipelines"][0]
    assert (first["preset"], first["engine"], first["threads"], first["mode"]) == ("edge", "edgeaff", 1, "back_to_back")
    assert {(row["stride"], row["mode"]) for row in small["pipelines"]} >= {(1, "back_to_back"), (1, "camera")}
    camera = next(row for row in small["pipelines"] if row["mode"] == "camera")
    assert camera["fps"] <= 30 and camera["n"] <= 12 and camera["av_skew_p50_ms"] > 0


@pytest.mark.needs_native
def test_stages_scaling_and_waterfall_are_there(small):
    stages = {(row["stage"], row["engine"]) for row in small["stages"]}
    assert {
        ("step", "native"),
        ("step", "onnxruntime"),
        ("face detector", "onnxruntime"),
        ("crop", "edgeaff"),
    } <= stages
    assert all(
        {"min_us", "p50_us", "p90_us", "p99_us", "jitter_us", "cpu_p50_us", "roof_percent", "rss_mib", "error_to_fp32"}
        <= set(row)
        for row in small["stages"]
    )
    scaled = {row["scaling"] for row in small["scaling"]}
    assert {
        "T, attention, newest row",
        "faces",
        "streams",
        "detector stride",
        "threads, face encoder",
        "hours of running",
    } <= scaled
    whole, *parts = small["waterfall"]
    assert {part["name"] for part in parts} >= {"detector", "face encoder", "step", "crop"}
    assert all(0 <= part["start_ms"] <= part["end_ms"] <= whole["end_ms"] for part in parts)


@pytest.mark.needs_native
def test_what_was_not_measured_is_named_and_judged_as_such(small):
    assert {"torch_naive", "torch_cached", "onnxruntime_window", "paper preset"} <= set(small["left_out"])
    bars = {row["bar"]: row for row in small["bars"]}
    assert (
        bars["edge: times torch_naive (CPU)"]["met"] is None and bars["paper, int8, stride 1: fps"]["measured"] is None
    )
    assert bars["RSS MiB"]["measured"] == small["process"]["rss_mib"] and small["process"]["installed_mb"] > 20
    assert small["machine"]["processor"] and small["run"]["date"]


@pytest.mark.needs_native
def test_markdown_holds_every_section_and_states_what_the_engines_are(small):
    text = as_markdown(small)
    for title in (
        "## Stages",
        "## Pipelines, back to back",
        "## Pipelines, camera",
        "## Bars",
        "- no peer took part",
        "## Scaling",
        "- left out: paper preset",
    ):
        assert title in text
    assert small["pipelines"][0]["arrangement"] in text
    assert not any(line.startswith("| paper") and line.endswith("|  |  |") for line in text.splitlines())


@pytest.mark.needs_native
@pytest.mark.needs_torch
@pytest.mark.needs_onnx
def test_all_engines_of_the_edge_preset_give_the_same_values():
    bundle, media = ModelBundle.load(), make_media(5.0)
    engines, left_out = latency_engines.edge_engines(bundle, media, peers=True)
    assert not left_out
    found = latency_pipelines.warm_up(engines, media)  # raises where they do not
    assert {engine.name for engine in engines} == {"edgeaff", "onnxruntime_window", "torch_cached", "torch_naive"}
    assert set(found) == {engine.key for engine in engines}


def test_the_same_word_means_the_same_arrangement_in_both_presets():
    for name in latency_engines.PEERS:
        assert latency_engines.PAPER_WORDS[name] == f"{latency_engines.WORDS[name]} {latency_engines.FABRICATED}"
    assert "nothing kept between ticks" in latency_engines.WORDS["torch_naive"]
    assert all("keeps descriptors and LLDs" in latency_engines.WORDS[name] for name in latency_engines.PEERS[:2])


@pytest.mark.needs_native
def test_without_a_portrait_all_stages_work():
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    media = Media("noise, box given", [noise], np.zeros(16_000, np.int16))
    engines, _ = latency_engines.edge_engines(ModelBundle.load(), media, peers=False)
    latency_pipelines.warm_up(engines, media)  # raises where no face comes out


@pytest.mark.needs_native
def test_a_stage_that_refuses_is_left_out_and_named():
    found = latency_stages.StageList()

    def refuse():
        raise RuntimeError("no such engine")

    found.add("step", "other", refuse)
    assert not found.stages and found.left_out == {"step on other": "no such engine"}


def test_error_is_relative_to_the_float32_row_of_onnxruntime():
    arrays = {"onnxruntime": np.array([3.0, 4.0]), "other": np.array([3.0, 4.5])}
    stages = [
        latency_stages.Stage("step", name, lambda value=value: {"y": value}, "fp32") for name, value in arrays.items()
    ]
    assert latency_stages.error_to_fp32(stages[1], stages) == 0.1
    assert latency_stages.error_to_fp32(stages[0], stages) is None


def test_share_of_the_roof_is_work_over_the_best_time():
    stage = latency_stages.Stage("net", "x", lambda: None, "fp32", macs=50_000_000)
    timing = Timing(np.array([1_000.0, 2_000.0]), np.array([1_000.0, 2_000.0]))
    assert latency_stages.roof_percent(stage, timing, {"fp32": 200.0}) == 50.0
    assert latency_stages.roof_percent(stage, timing, {}) is None


def test_no_speedup_is_stated_when_the_processor_was_shared():
    alone = Timing(np.array([100.0, 100.0]), np.array([100.0, 98.0]))
    shared = Timing(np.array([400.0, 400.0]), np.array([200.0, 200.0]))
    assert latency_pipelines.speedup(shared, alone) is None
    slow, fast = Timing(np.array([200.0]), np.array([200.0])), Timing(np.array([50.0]), np.array([50.0]))
    assert latency_pipelines.speedup(slow, fast) == 4.0
    assert latency_pipelines.speedup(slow, Timing(np.full(4, 50.0), np.full(4, 50.0)), wall=True) == 4.0


def test_bars_are_judged_in_the_right_direction():
    rows = [
        {"preset": "edge", "engine": "edgeaff", "mode": "back_to_back", "stride": 2, "cpu_ms": 4.0, "fps": 150.0},
        {"preset": "paper", "engine": "edgeaff", "mode": "back_to_back", "stride": 1, "cpu_ms": 50.0, "fps": 36.0},
    ]
    ratios = [{"preset": "edge", "stride": 2, "peer": "torch_naive", "cpu": 14.0, "wall": 20.0}]
    process = {"import_seconds": 0.1, "import_session_seconds": 0.3, "rss_mib": 100.0, "installed_mb": 100.0}
    met = {row["bar"]: row["met"] for row in latency.judge(rows, ratios, process)}
    assert (
        met["edge: CPU ms per tick"] and not met["edge: ticks per second"] and not met["edge: times torch_naive (CPU)"]
    )
    assert met["import seconds"] and not met["import of Session, seconds"] and met["paper, int8, stride 1: fps"]
    assert met["edge: times onnxruntime_window (CPU)"] is None and met["paper, int8, stride 5: fps"] is None


def test_audio_is_whole_and_images_are_30_a_second():
    media = Media("x", [np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)], np.arange(16_000, dtype=np.int16))
    np.testing.assert_array_equal(np.concatenate([media.audio(tick) for tick in range(30)]), media.samples)
    np.testing.assert_array_equal(media.audio(30), media.audio(0))
    assert pts_ns(30) == 1_000_000_000
    audio, image = media.take(2)
    assert (
        image.max() == 1 and image is media.image(0) and image.max() == 0 and len(audio) == 534
    )  # one buffer, written again


@pytest.mark.needs_native
def test_markdown_explains_its_columns_and_shows_what_a_device_states_of_itself(small):
    columns = set(
        "".join(line for line in as_markdown(small).splitlines() if line.startswith("- "))
        .replace(":", " ")
        .replace(",", " ")
        .split()
    )
    assert {
        "n",
        "p50",
        "jitter",
        "cpu_share",
        "real_time_factor",
        "roof_percent",
        "rss_mib",
        "error_to_fp32",
        "av_skew",
    } <= columns
    assert "| rails_w |" not in as_markdown(small)
    rows = [{**row, "rails_w": {"VDD_IN": 6.0}, "joules_per_value": 0.2} for row in small["pipelines"]]
    device = {"nvpmodel": "pmode:0001", "gpu_mhz": 625}
    text = as_markdown({**small, "pipelines": rows, "machine": {**small["machine"], "device": device}})
    assert "nvpmodel: pmode:0001; gpu_mhz: 625" in text
    assert "| rails_w | joules_per_value |" in text and "| {'VDD_IN': 6.0} | 0.2 |" in text
