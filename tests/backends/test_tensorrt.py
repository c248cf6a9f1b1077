"""What stands around an engine, without a GPU: buffers, streams, device arrays, preparation, errors. Engines: test_tensorrt_build.py."""

from __future__ import annotations

import gc
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeaff.backend_swap import transfer_state
from edgeaff.backends import load_graph, precision_in
from edgeaff.backends.device import BorrowedArray, DeviceArray, DeviceInfo, Pool, find_device
from edgeaff.backends.tensorrt import (
    EngineRunner,
    TensorRtGraph,
    default_profiles,
    load_tensorrt_graph,
    may_use_plugin,
    prepare_model,
)
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError, DeviceError
from edgeaff.features.face import FaceEncoder
from edgeaff.inference import StreamingPredictor, load_predictor, replay
from edgeaff.ops import native
from tests.backends.host_device import Foreign, HostMemory, HostRunner, on_device, view

pytestmark = pytest.mark.needs_native


@cache
def bundle() -> ModelBundle:
    return ModelBundle.load()


def make_graph(role: str = "affect_step", precision: str = "float32") -> tuple[TensorRtGraph, HostMemory, HostRunner]:
    memory = HostMemory()
    runner = HostRunner(bundle().graph_bytes(role), memory)
    return TensorRtGraph(runner, precision=precision, memory=memory), memory, runner


def test_a_stream_of_ticks_is_that_of_onnxruntime_and_states_stay_on_the_device() -> None:
    graph, memory, _ = make_graph()
    golden = bundle().arrays("golden.npz")
    part = {name: array[:1, :40] for name, array in golden.items()}
    values = replay(StreamingPredictor(graph), part["video"], part["audio"], part["present"])
    expected = replay(load_predictor(bundle(), "onnxruntime"), part["video"], part["audio"], part["present"])
    np.testing.assert_array_equal(values, expected)
    predictor = StreamingPredictor(graph)
    assert (predictor.backend, predictor.precision, predictor.memory_ticks) == ("tensorrt", "fp32", 297)
    _, state = predictor.step(predictor.initial_state(), part["video"][0, 0], None)
    assert {type(array) for array in state.values()} == {DeviceArray}
    allocations = memory.allocations
    for _ in range(20):
        _, state = predictor.step(state, part["video"][0, 0], None)
    assert memory.allocations <= allocations + 30  # two sets of states, then everything is used again
    before = memory.allocations
    for _ in range(20):
        _, state = predictor.step(state, part["video"][0, 0], None)
    assert memory.allocations == before


def test_a_state_is_a_value() -> None:
    graph, _, _ = make_graph()
    predictor = StreamingPredictor(graph)
    video = bundle().arrays("golden.npz")["video"][0]
    _, state = predictor.step(predictor.initial_state(), video[0], None)
    first, _ = predictor.step(state, video[1], None)
    for tick in range(2, 9):
        predictor.step(state, video[tick], None)
    again, _ = predictor.step(state, video[1], None)
    assert first == again


def test_a_state_goes_from_the_device_to_another_backend() -> None:
    graph, _, _ = make_graph()
    old, new = StreamingPredictor(graph), load_predictor(bundle(), "onnxruntime")
    video = bundle().arrays("golden.npz")["video"][0]
    state, expected = old.initial_state(), new.initial_state()
    for tick in range(5):
        _, state = old.step(state, video[tick], None)
        _, expected = new.step(expected, video[tick], None)
    taken = transfer_state(old, new, state, ())
    for name, array in expected.items():
        assert type(taken[name]) is np.ndarray
        np.testing.assert_array_equal(taken[name], array)
    assert old.step(taken, video[5], None)[0] == new.step(expected, video[5], None)[0]


def test_arrays_of_other_libraries_are_taken_and_given_back_on_the_device() -> None:
    graph, memory, _ = make_graph("face_encoder")
    face = np.random.default_rng(1).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)
    expected = load_graph(bundle().graph_bytes("face_encoder")).run({"face": face})["descriptor"]
    host = graph.run({"face": face})["descriptor"]
    assert isinstance(host, np.ndarray)
    np.testing.assert_array_equal(host, expected)
    got = graph.run({"face": Foreign(face, stream=5)})["descriptor"]
    assert isinstance(got, DeviceArray)
    assert 5 in memory.waited
    interface = got.__cuda_array_interface__
    assert interface["version"] == 3
    assert (interface["shape"], interface["typestr"]) == ((1, 128), "<f4")
    np.testing.assert_array_equal(view(interface["data"][0], (1, 128), np.float32), expected)
    np.testing.assert_array_equal(np.asarray(got), expected)
    np.testing.assert_array_equal(np.asarray(graph.run({"face": on_device(face, memory)})["descriptor"]), expected)


class Pointer:
    """What cuda-bindings gives: an object that int() takes."""

    def __init__(self, address: int) -> None:
        self._address = address

    def __int__(self) -> int:
        return self._address


def test_plain_addresses_are_taken_as_arrays() -> None:
    graph, memory, _ = make_graph("face_encoder")
    face = np.random.default_rng(2).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)
    given = BorrowedArray(Pointer(face.ctypes.data), face.shape, stream=Pointer(9), owner=face)
    got = graph.run({"face": given})["descriptor"]
    assert isinstance(got, DeviceArray)
    assert 9 in memory.waited
    np.testing.assert_array_equal(np.asarray(got), graph.run({"face": face})["descriptor"])
    with pytest.raises(ArgumentError, match="got float16 of"):
        graph.run({"face": BorrowedArray(face.ctypes.data, face.shape, np.float16)})


@pytest.mark.parametrize("size", [1, 3])
def test_free_sizes_follow_the_input(size: int) -> None:
    graph, _, _ = make_graph("face_encoder")
    assert graph.inputs == {"face": (None, 3, 96, 96)}
    faces = np.random.default_rng(size).uniform(-1, 1, (size, 3, 96, 96)).astype(np.float32)
    assert graph.run({"face": faces})["descriptor"].shape == (size, 128)


def test_the_face_encoder_runs_on_it() -> None:
    graph, _, _ = make_graph("face_encoder")
    crops = np.random.default_rng(1).integers(0, 255, (2, 96, 96, 3), dtype=np.uint8)
    expected = FaceEncoder(load_graph(bundle().graph_bytes("face_encoder")), bundle().spec).encode_crops(crops)
    np.testing.assert_array_equal(FaceEncoder(graph, bundle().spec).encode_crops(crops), expected)


def test_wrong_inputs_are_refused() -> None:
    graph, _, runner = make_graph("face_encoder")
    face = np.zeros((1, 3, 96, 96), np.float32)
    with pytest.raises(ArgumentError, match="must have face, got none"):
        graph.run({})
    with pytest.raises(
        ArgumentError, match=r"face must be float32 of shape \(None, 3, 96, 96\), got float32 of \(1, 3, 96, 95\)"
    ):
        graph.run({"face": face[..., 1:]})
    with pytest.raises(ArgumentError, match="got float64"):
        graph.run({"face": face.astype(np.float64)})
    with pytest.raises(ArgumentError, match="face must be contiguous, got strides"):
        graph.run({"face": Foreign(np.zeros((1, 3, 96, 192), np.float32)[..., ::2])})
    runner.refuse = True
    with pytest.raises(DeviceError, match="engine failed to run"):
        graph.run({"face": face})


def test_close_gives_everything_back() -> None:
    graph, memory, _ = make_graph("face_encoder")
    kept = graph.run({"face": Foreign(np.zeros((1, 3, 96, 96), np.float32))})["descriptor"]
    graph.close()
    assert memory.streams == set()
    assert len(memory.held) == 1
    np.testing.assert_array_equal(np.asarray(kept).shape, (1, 128))
    del kept
    gc.collect()
    assert memory.held == {}


def test_pool_uses_memory_again() -> None:
    memory = HostMemory()
    pool = Pool(memory)
    first = pool.take(100)
    address = first.address
    del first
    assert pool.take(90).address == address
    assert memory.allocations == 1
    with pytest.raises(ArgumentError, match="copy must not be False"):
        on_device(np.zeros(3, np.float32), memory).__array__(copy=False)


@pytest.mark.needs_onnx
def test_graphs_are_prepared_for_their_precision() -> None:
    step, detector = (bundle().graph_bytes(role) for role in ("affect_step", "face_detector"))
    assert prepare_model(step, "float32") is step
    assert len(prepare_model(step, "float16")) < 0.6 * len(step)
    assert [precision_in(one) for one in (step, detector, prepare_model(detector, "float16"))] == [
        "float32",
        "int8",
        "float32",
    ]
    assert prepare_model(detector, "int8") is detector
    with pytest.raises(ArgumentError, match="must be quantized for int8"):
        prepare_model(step, "int8")
    with pytest.raises(ArgumentError, match="precision must be float32, float16 or int8"):
        prepare_model(step, "fp8")


@pytest.mark.needs_onnx
def test_profiles_cover_free_sizes() -> None:
    assert default_profiles(bundle().graph_bytes("affect_step")) == {}
    assert default_profiles(bundle().graph_bytes("face_encoder")) == {
        "face": ((1, 3, 96, 96), (1, 3, 96, 96), (4, 3, 96, 96))
    }
    assert default_profiles(bundle().graph_bytes("face_detector")) == {
        "image": ((1, 3, 32, 32), (1, 3, 320, 320), (1, 3, 640, 640))
    }
    has_kernel = hasattr(native(), "cross_modal_attention_cuda")
    assert may_use_plugin(bundle().graph_bytes("affect_step")) is has_kernel
    assert not may_use_plugin(bundle().graph_bytes("face_encoder"))


def test_without_a_gpu_running_is_refused_and_states_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaff.backends import device

    answer: tuple[str, Any] = ("cudaErrorInsufficientDriver", None)
    monkeypatch.setattr(device, "native", lambda: SimpleNamespace(cuda_device_info=lambda: answer))
    with pytest.raises(
        DeviceError,
        match=r"must be there to run an engine, got cudaErrorInsufficientDriver; .*nvidia-smi.*needs no GPU",
    ):
        find_device()
    answer = ("", ("card", "sm_86", "13.0"))
    assert find_device() == DeviceInfo("card", "sm_86", "13.0")
    monkeypatch.setattr(device, "native", SimpleNamespace)
    with pytest.raises(BackendUnavailableError, match="EDGEAFF_CUDA=ON"):
        find_device()


def test_without_a_toolchain_it_states_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaff.backends import tensorrt_build

    monkeypatch.setattr(tensorrt_build, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailableError, match="TensorRT must be installed, got none; pip install"):
        load_graph(bundle().graph_bytes("affect_step"), backend="tensorrt")
    with pytest.raises(BackendUnavailableError, match="tensorrt_rtx must be installed"):
        load_tensorrt_graph(b"", toolchain="tensorrt_rtx")
    with pytest.raises(ArgumentError, match="toolchain must be one of"):
        load_tensorrt_graph(b"", toolchain="tensorflow")


class TrtTwin:
    """The part of TensorRT's runtime that EngineRunner calls, over numbers written down here."""

    __name__, __version__ = "tensorrt", "10.9"

    class ILogger:
        ERROR, INTERNAL_ERROR, WARNING = range(3)

        def __init__(self) -> None:
            pass

    class TensorIOMode:
        INPUT = "in"

    def __init__(self, *, loads: bool = True) -> None:
        self.loads, self.calls = loads, []

    def nptype(self, kind: Any) -> Any:
        return kind

    def Runtime(self, log: Any) -> Any:
        self.log = log
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if not self.loads:
            self.log.log(self.ILogger.ERROR, "another card")
            return None
        return self

    def create_execution_context(self) -> Any:
        return self

    num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return ("face", "descriptor")[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 3) if name == "face" else (2, 5)

    def get_tensor_dtype(self, name: str) -> Any:
        return np.float32

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "face" else "out"

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return (1, 3), (1, 3), (4, 3)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return shape[0] <= 4

    def set_tensor_address(self, name: str, address: int) -> None:
        self.calls.append((name, address))

    def execute_async_v3(self, stream: int) -> bool:
        self.calls.append(("run", stream))
        return True


def test_engine_runner_speaks_to_tensorrt() -> None:
    trt = TrtTwin()
    runner = EngineRunner(trt, b"plan")
    assert [(spec.name, spec.shape, spec.is_input) for spec in runner.tensors] == [
        ("face", (None, 3), True),
        ("descriptor", (2, 5), False),
    ]
    runner.set_input("face", (2, 3), 64)
    runner.set_output("descriptor", 128)
    assert runner.output_shape("descriptor") == (2, 5)
    assert runner.enqueue(9)
    assert trt.calls == [("face", 64), ("descriptor", 128), ("run", 9)]
    with pytest.raises(ArgumentError, match=r"from \(1, 3\) to \(4, 3\), got \(5, 3\)"):
        runner.set_input("face", (5, 3), 64)
    with pytest.raises(BundleError, match=r"must load in tensorrt 10.9 on this GPU, got: another card"):
        EngineRunner(TrtTwin(loads=False), b"plan")
