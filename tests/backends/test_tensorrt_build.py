"""Engines built by TensorRT or TensorRT-RTX without a GPU, the child process that builds them, and the cache."""

from __future__ import annotations

import json
import stat
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgeaff.backends import tensorrt_build
from edgeaff.backends.tensorrt_build import (
    BuildRequest,
    Engine,
    EngineCache,
    build_engine,
    find_toolchain,
    import_toolchain,
)
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError

pytestmark = pytest.mark.needs_onnx
TARGETS = ("sm_86", "sm_120")


@cache
def bundle() -> ModelBundle:
    return ModelBundle.load()


@cache
def window() -> bytes:
    """The paper's window graph at a small size, untrained: a build does not depend on the values of weights."""
    import torch

    from edgeaff.export.window import export_window
    from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig

    torch.manual_seed(0)
    config = TransformerConfig(video_size=24, audio_size=20, size=64, num_heads=4, ffn_size=32, layers=1)
    return export_window(AudioVideoTransformer(config).eval(), ticks=100)


@cache
def window_graph(precision: str) -> bytes:
    from edgeaff.backends.tensorrt import prepare_model
    from edgeaff.export.qdq import quantize_static

    if precision != "int8":
        return prepare_model(window(), {"fp32": "float32", "fp16": "float16"}[precision])
    rng = np.random.default_rng(0)
    feeds = [
        {
            "video": rng.standard_normal((1, 100, 24)).astype(np.float32),
            "audio": rng.standard_normal((1, 100, 20)).astype(np.float32),
            "video_mask": np.ones((1, 100), bool),
            "audio_mask": np.ones((1, 100), bool),
        }
        for _ in range(4)
    ]
    return quantize_static(window(), feeds, op_types=("MatMul", "Gemm"), gpu=True)


@cache
def graph(role: str, precision: str) -> bytes:
    from edgeaff.export.to_tensorrt import make_graph

    return make_graph(bundle(), role, precision)


# --- real builds ------------------------------------------------------------------------------------------------------------


@pytest.mark.needs_tensorrt
@pytest.mark.needs_torch
@pytest.mark.parametrize("plugin", [True, False], ids=["plugin", "function"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", ["window", "step"])
def test_tensorrt_rtx_builds_the_model_for_two_cards(name: str, precision: str, plugin: bool) -> None:
    model = window_graph(precision) if name == "window" else graph("affect_step", precision)
    for target in TARGETS:
        engine = build_engine(model, BuildRequest("tensorrt_rtx", (target,), plugin))
        assert engine.figures["plugin_layers"] == int(plugin)
        assert engine.figures["targets"] == [target]
        assert engine.figures["bytes"] == len(engine.plan) > 100_000
        assert engine.figures["layers"] > 20


@pytest.mark.needs_tensorrt
@pytest.mark.needs_torch
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("role", ["face_encoder", "face_detector"])
def test_face_graphs_have_no_plugin(role: str, precision: str) -> None:
    from edgeaff.backends.tensorrt import default_profiles

    model = graph(role, precision)
    engine = build_engine(model, BuildRequest("tensorrt_rtx", TARGETS, True, default_profiles(model)))
    assert engine.figures["plugin_layers"] == 0
    assert len(engine.plan) > 100_000


@pytest.mark.needs_tensorrt
@pytest.mark.needs_torch
def test_half_precision_makes_a_smaller_engine() -> None:
    sizes = [
        build_engine(graph("face_encoder", precision), BuildRequest("tensorrt_rtx", ("sm_86",), True, PROFILE)).figures[
            "bytes"
        ]
        for precision in ("fp32", "fp16")
    ]
    assert sizes[1] < 0.7 * sizes[0]


PROFILE = {"face": ((1, 3, 96, 96), (1, 3, 96, 96), (4, 3, 96, 96))}


@pytest.mark.needs_tensorrt
def test_builder_errors_come_back_as_they_are() -> None:
    from edgeaff.backends.tensorrt import prepare_model

    step = bundle().graph_bytes("affect_step")
    with pytest.raises(ArgumentError, match="targets must be among sm_120, .*, got 'sm_90'"):
        build_engine(step, BuildRequest("tensorrt_rtx", ("sm_90",)))
    with pytest.raises(ArgumentError, match="profiles must have shapes for face"):
        build_engine(
            prepare_model(bundle().graph_bytes("face_encoder"), "float32"), BuildRequest("tensorrt_rtx", ("sm_86",))
        )
    with pytest.raises(BundleError, match="tensorrt_rtx must read the graph, got: Invalid Node"):
        build_engine(bundle().graph_bytes("face_detector"), BuildRequest("tensorrt_rtx", ("sm_86",)))


@pytest.mark.needs_tensorrt
def test_a_build_reports_progress_and_can_be_stopped() -> None:
    step, seen = bundle().graph_bytes("affect_step"), []
    build_engine(step, BuildRequest("tensorrt_rtx", ("sm_86",)), progress=lambda *what: seen.append(what))
    assert ("Building engine", 0, 6) in seen
    assert seen[-1] == ("Building engine", 6, 6)
    with pytest.raises(BundleError, match="build was stopped"):
        build_engine(step, BuildRequest("tensorrt_rtx", ("sm_86",)), progress=lambda *what: False)


@pytest.mark.needs_tensorrt
@pytest.mark.needs_torch
def test_export_engines_writes_engines_and_figures(tmp_path: Path) -> None:
    from edgeaff.export.to_tensorrt import main

    main(
        [
            "--output",
            str(tmp_path),
            "--precision",
            "int8",
            "--target",
            "sm_86",
            "--role",
            "affect_step",
            "--role",
            "face_encoder",
        ]
    )
    (row,) = json.loads((tmp_path / "engines.json").read_text())
    assert (row["role"], row["precision"], row["plugin_layers"]) == ("affect_step", "int8", 1)
    assert row["ccc_valence"] > 0.995
    assert (tmp_path / "affect_step.int8.engine").stat().st_size == row["bytes"]


# --- without a toolchain ----------------------------------------------------------------------------------------------------


@pytest.mark.needs_torch
def test_int8_of_the_gpu_is_symmetric_and_agrees_with_the_reference() -> None:
    import onnx

    from edgeaff.export.to_tensorrt import check_graph

    parsed = onnx.load_from_string(graph("affect_step", "int8"))
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in parsed.graph.initializer}
    quantizers = [node for node in parsed.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(quantizers) > 30
    for node in quantizers:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any()
    figures = check_graph(bundle(), "affect_step", "int8", graph("affect_step", "int8"))
    assert min(figures["ccc_valence"], figures["ccc_arousal"]) > 0.9995  # 0.99995, 0.99987


@pytest.mark.needs_torch
def test_a_bundle_carries_the_gpu_int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaff.export import to_tensorrt
    from edgeaff.inference import graph_bytes

    path = tmp_path / "gpu.eaff"
    monkeypatch.setattr(to_tensorrt, "make_int8", lambda made_of, role: graph(role, "int8"))
    to_tensorrt.main(["--bundle-output", str(path)])
    held = ModelBundle.load(path)
    assert held.precision("affect_step_gpu_int8") == "int8"
    assert graph_bytes(held, "affect_step", "tensorrt:int8") == graph("affect_step", "int8")
    assert graph_bytes(held, "affect_step", "tensorrt") == bundle().graph_bytes("affect_step")
    with pytest.raises(BundleError, match="role must be one of .*, got 'affect_step_gpu_int8'"):
        graph_bytes(bundle(), "affect_step", "tensorrt:int8")


@pytest.mark.needs_torch
def test_face_graphs_have_no_faces_to_calibrate_on() -> None:
    from edgeaff.export.to_tensorrt import make_int8

    with pytest.raises(ArgumentError, match="for int8, got 'face_encoder'"):
        make_int8(bundle(), "face_encoder")


def toolchain_of(folder: Path, body: str) -> None:
    """Writes a package `tensorrt` whose import does what the test needs."""
    (folder / "tensorrt.py").write_text(body)


def run_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(tensorrt_build, "package_version", lambda package: "0.0")


def test_a_crash_of_the_builder_is_an_error_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain_of(tmp_path, "import os, sys\nsys.stderr.write('it terminates\\n')\nsys.stderr.flush()\nos.abort()\n")
    run_with(tmp_path, monkeypatch)
    with pytest.raises(
        BundleError, match=r"tensorrt must build an engine for this machine, got exit code -6: it terminates"
    ):
        build_engine(bundle().graph_bytes("affect_step"), BuildRequest("tensorrt"))


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain_of(tmp_path, "raise ImportError('libnvinfer.so.10: cannot open shared object file')\n")
    run_with(tmp_path, monkeypatch)
    with pytest.raises(
        BackendUnavailableError, match=r"got: libnvinfer.so.10: cannot open .*; pip install edgeaff\[tensorrt\]"
    ):
        build_engine(bundle().graph_bytes("affect_step"), BuildRequest("tensorrt"))


def test_toolchains_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_build, "find_spec", lambda name: object() if name == "tensorrt_rtx" else None)
    assert find_toolchain() == "tensorrt_rtx"
    with pytest.raises(BackendUnavailableError, match="tensorrt must be installed, got none"):
        find_toolchain("tensorrt")
    with pytest.raises(ArgumentError, match="toolchain must be one of tensorrt, tensorrt_rtx"):
        find_toolchain("torch")
    with pytest.raises(BackendUnavailableError, match="no_such_toolchain must be installed"):
        import_toolchain("no_such_toolchain")


# --- the cache --------------------------------------------------------------------------------------------------------------


def test_cache_keys_change_with_everything_that_matters() -> None:
    request = BuildRequest("tensorrt", ("sm_86",))
    base = (b"model", request, "10.3", "card sm_86 13.0")
    others = [
        (b"other", *base[1:]),
        (b"model", BuildRequest("tensorrt_rtx", ("sm_86",)), *base[2:]),
        (b"model", BuildRequest("tensorrt", ("sm_87",)), *base[2:]),
        (b"model", BuildRequest("tensorrt", ("sm_86",), plugin=False), *base[2:]),
        (b"model", BuildRequest("tensorrt", ("sm_86",), profiles=PROFILE), *base[2:]),
        (*base[:2], "10.4", base[3]),
        (*base[:3], "card sm_86 13.1"),
    ]
    keys = {EngineCache.key(*facts) for facts in (base, *others)}
    assert len(keys) == 1 + len(others)
    assert EngineCache.key(*base) == EngineCache.key(*base)


def test_cache_gives_back_what_it_was_given_and_nothing_that_was_damaged(tmp_path: Path) -> None:
    held = EngineCache(tmp_path / "engines")
    assert held.get("key") is None
    held.put("key", Engine(b"plan", {"plugin_layers": 1}))
    found = held.get("key")
    assert found is not None
    assert (found.plan, found.figures["plugin_layers"], found.figures["cached"]) == (b"plan", 1, True)
    assert sorted(path.name for path in held.folder.iterdir()) == ["key.engine", "key.json"]
    (held.folder / "key.engine").write_bytes(b"plam")
    assert held.get("key") is None
    (held.folder / "key.json").write_text("{")
    assert held.get("key") is None


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(stat.S_IRUSR)
    EngineCache(file / "engines").put("key", Engine(b"plan", {}))
    assert "is not writable" in caplog.text


def test_a_cached_engine_needs_no_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_build, "package_version", lambda package: "10.3")
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    held, request = EngineCache(tmp_path), BuildRequest("tensorrt")
    held.put(EngineCache.key(b"model", request, "10.3", "card"), Engine(b"plan", {"plugin_layers": 0}))
    assert build_engine(b"model", request, gpu="card", cache=held).plan == b"plan"
