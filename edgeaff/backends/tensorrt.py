"""Runs graphs on a GPU with TensorRT (10 or later) or TensorRT-RTX; engines come from `tensorrt_build`, through its cache.

States stay on the device: outputs named `next_*` are `DeviceArray`s, and go in again without a copy. Other outputs are NumPy, unless an
input that is no state was a device array (torch, CuPy, pycuda, a pointer from cuda-bindings with `__cuda_array_interface__`): then all
outputs are device arrays. Nothing here has run on a GPU yet; docs/tensorrt.md states what was tested, and how.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgeaff.backends.device import CudaMemory, DeviceArray, Memory, Pool, find_device
from edgeaff.backends.graph import NEXT, STATE, Progress
from edgeaff.backends.onnx_edit import head_sizes, load, to_half, without_quantization
from edgeaff.backends.tensorrt_build import (
    BuildRequest,
    Engine,
    EngineCache,
    build_engine,
    find_toolchain,
    import_toolchain,
    make_logger,
)
from edgeaff.errors import ArgumentError, BundleError, DeviceError
from edgeaff.forking import ProcessBound
from edgeaff.ops import native
from edgeaff.ops.arrays import Operand, describe
from edgeaff.ops.cross_modal_attention import CUDA_HEAD_SIZES
from edgeaff.parsing.onnx_graph import require_onnx

PRECISIONS = {"tensorrt": "float16", "tensorrt:fp32": "float32", "tensorrt:int8": "int8"}
MOST_FACES = 4
DETECTOR_SIDES = (32, 320, 640)  # smallest, usual and largest side of the image a detector sees


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of an engine. shape: None where free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    is_input: bool


class Runner(Protocol):
    """A loaded engine: addresses in, work queued on a stream."""

    tensors: tuple[TensorSpec, ...]

    def set_input(self, name: str, shape: tuple[int, ...], address: int) -> None:
        """Reports where an input lies."""
        ...

    def output_shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an output for the inputs that were set."""
        ...

    def set_output(self, name: str, address: int) -> None:
        """Reports where an output goes."""
        ...

    def enqueue(self, stream: int) -> bool:
        """Returns whether one run was queued."""
        ...


class TensorRtGraph(ProcessBound):
    """An engine as a graph (see `edgeaff.backends.Graph`).

    Attributes:
        backend: "tensorrt".
        precision: float32, float16 or int8.
        inputs: name -> shape, None where free.
        outputs: names in order.
        figures: how the engine was built.
    """

    backend = "tensorrt"

    def __init__(
        self, runner: Runner, *, precision: str, memory: Memory | None = None, figures: dict[str, Any] | None = None
    ) -> None:
        """Takes a loaded engine.

        Args:
            runner: from `load_engine`.
            precision: float32, float16 or int8.
            memory: where buffers come from; None for the CUDA device.
            figures: how it was built.
        """
        self._runner = runner
        self.precision = precision
        self.figures = dict(figures or {})
        self._specs = {spec.name: spec for spec in runner.tensors}
        self.inputs = {spec.name: spec.shape for spec in runner.tensors if spec.is_input}
        self.outputs = tuple(spec.name for spec in runner.tensors if not spec.is_input)
        self._memory = CudaMemory() if memory is None else memory
        self._pool = Pool(self._memory)
        self._stream = self._memory.create_stream()

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Returns the outputs by name for these inputs by name: NumPy arrays or device arrays of the engine's types.

        Raises:
            ArgumentError: an input is missing, or has another shape or type.
            DeviceError: the device refuses the work.
        """
        kept: list[Any] = []  # memory that must stay until the stream is synchronized
        on_device = False
        for name in self.inputs:
            if name not in feeds:
                raise ArgumentError(f"feeds must have {', '.join(self.inputs)}, got none named {name}; add it.")
            given = self._set_input(self._specs[name], feeds[name], kept)
            on_device = on_device or (given and not name.startswith(STATE))
        results = {}
        for name in self.outputs:
            spec, shape = self._specs[name], self._runner.output_shape(name)
            array = DeviceArray(self._pool.take(int(np.prod(shape)) * spec.dtype.itemsize), shape, spec.dtype)
            self._runner.set_output(name, array.address)
            results[name] = array
        if not self._runner.enqueue(self._stream):
            raise DeviceError("The engine failed to run. See the log, or use backend='onnxruntime'.")
        outputs: dict[str, Any] = {}
        for name, array in results.items():
            outputs[name] = array if on_device or name.startswith(NEXT) else self._fetch(array)
        self._memory.synchronize(self._stream)
        return outputs

    def close(self) -> None:
        """Frees stream and memory; device arrays handed out before stay unchanged."""
        self._memory.synchronize(self._stream)
        self._memory.destroy_stream(self._stream)
        self._pool.close()

    def _fetch(self, array: DeviceArray) -> np.ndarray:
        """Returns host memory into which a copy is queued."""
        host = np.empty(array.shape, array.dtype)
        self._memory.copy(host.ctypes.data, array.address, host.nbytes, self._stream)
        return host

    def _set_input(self, spec: TensorSpec, value: Any, kept: list[Any]) -> bool:
        """Returns whether an input was on the device; copies it there if not, and passes its address to the engine."""
        if isinstance(value, np.ndarray) or not hasattr(value, "__cuda_array_interface__"):
            host = np.ascontiguousarray(value)
            _check_input(spec, host.shape, str(host.dtype))
            buffer = self._pool.take(host.nbytes)
            self._memory.copy(buffer.address, host.ctypes.data, host.nbytes, self._stream)
            kept += [host, buffer]
            self._runner.set_input(spec.name, host.shape, buffer.address)
            return False
        if isinstance(value, DeviceArray):  # complete, contiguous
            _check_input(spec, value.shape, str(value.dtype))
            address = value.address
        else:
            operand = describe(value, spec.name)
            _check_input(spec, operand.shape, operand.dtype)
            _check_contiguous(operand)
            address = operand.address
            if operand.stream is not None and operand.stream != self._stream:
                self._memory.synchronize(operand.stream)
        kept.append(value)
        self._runner.set_input(spec.name, tuple(value.shape), address)
        return True


def _check_input(spec: TensorSpec, shape: tuple[int, ...], dtype: str) -> None:
    """Checks an input against the engine.

    Raises:
        ArgumentError: shape or type differ.
    """
    fits = len(shape) == len(spec.shape) and all(
        want is None or want == size for want, size in zip(spec.shape, shape, strict=True)
    )
    if not fits or np.dtype(dtype) != spec.dtype:
        raise ArgumentError(
            f"{spec.name} must be {spec.dtype} of shape {spec.shape}, got {dtype} of {tuple(shape)}; "
            "feed what the bundle's preprocessing makes."
        )


def _check_contiguous(operand: Operand) -> None:
    """Refuses device arrays with gaps.

    Raises:
        ArgumentError: the array is not contiguous.
    """
    expected = 1
    for size, stride in zip(reversed(operand.shape), reversed(operand.strides), strict=True):
        if size != 1 and stride != expected:
            raise ArgumentError(
                f"{operand.name} must be contiguous, got strides {operand.strides} for shape {operand.shape}; copy it."
            )
        expected *= size


# --- engines ----------------------------------------------------------------------------------------------------------------


class EngineRunner:
    """An engine in TensorRT's own runtime.

    Attributes:
        tensors: its inputs and outputs.
    """

    def __init__(self, trt: Any, plan: bytes) -> None:
        """Loads an engine.

        Args:
            trt: the module tensorrt or tensorrt_rtx, with the plugin registered if the engine has it.
            plan: the engine.

        Raises:
            BundleError: TensorRT refuses it.
        """
        self._log = make_logger(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        self._context: Any = None if self._engine is None else self._engine.create_execution_context()
        if self._context is None:
            raise BundleError(
                f"the engine must load in {trt.__name__} {trt.__version__} on this GPU, got: {self._log.last_error}; "
                "clear the engine cache and build it here."
            )
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self.tensors = tuple(
            TensorSpec(
                name,
                tuple(None if size < 0 else int(size) for size in self._engine.get_tensor_shape(name)),
                np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))),
                self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            )
            for name in names
        )
        self._free = {spec.name for spec in self.tensors if spec.is_input and None in spec.shape}

    def set_input(self, name: str, shape: tuple[int, ...], address: int) -> None:
        """Reports where an input lies.

        Raises:
            ArgumentError: the shape is outside the engine's profile.
        """
        if name in self._free and not self._context.set_input_shape(name, shape):
            low, _, high = (tuple(sizes) for sizes in self._engine.get_tensor_profile_shape(name, 0))
            raise ArgumentError(
                f"{name} must have a shape from {low} to {high}, got {shape}; build with wider profiles."
            )
        self._context.set_tensor_address(name, address)

    def output_shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an output for the inputs that were set."""
        return tuple(int(size) for size in self._context.get_tensor_shape(name))

    def set_output(self, name: str, address: int) -> None:
        """Reports where an output goes."""
        self._context.set_tensor_address(name, address)

    def enqueue(self, stream: int) -> bool:
        """Returns whether one run was queued."""
        return bool(self._context.execute_async_v3(stream))


def load_engine(engine: Engine, toolchain: str) -> EngineRunner:
    """Returns an engine ready to run, with our plugin registered where it has one."""
    trt = import_toolchain(toolchain)
    if engine.figures.get("plugin_layers"):
        from edgeaff.backends.tensorrt_plugin import register

        register(trt, engine.figures.get("library", ""))
    return EngineRunner(trt, engine.plan)


def prepare_model(model: bytes, precision: str) -> bytes:
    """Returns the graph that an engine of a precision is built from.

    Args:
        model: float32, or quantized for the CPU; int8: quantized by `edgeaff.export.to_tensorrt.make_int8` already.
        precision: float32, float16 or int8.

    Raises:
        ArgumentError: precision is another one, or the graph is not the int8 that TensorRT takes.
    """
    kinds = {node.op_type for node in load(model).graph.node}
    quantized = "QuantizeLinear" in kinds
    if precision == "int8":
        if not quantized:
            raise ArgumentError(
                "model must be quantized for int8, got a float graph; make it with edgeaff.export.to_tensorrt.make_int8."
            )
        return model
    if precision not in ("float32", "float16"):
        raise ArgumentError(f"precision must be float32, float16 or int8, got {precision!r}; choose one of them.")
    plain = without_quantization(model) if quantized else model
    return to_half(plain) if precision == "float16" else plain


def default_profiles(model: bytes) -> dict[str, Any]:
    """Returns the shapes of our graphs with free sizes: faces of a batch, sides of a detector's image."""
    profiles = {}
    for value in load(model).graph.input:
        dims = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
        if None in dims:
            sizes = (1, 1, MOST_FACES) if dims[0] is None else DETECTOR_SIDES
            profiles[value.name] = tuple(tuple(size if dim is None else dim for dim in dims) for size in sizes)
    return profiles


def may_use_plugin(model: bytes) -> bool:
    """Returns whether this build has the kernel for every fusion node of a graph."""
    sizes = head_sizes(model)
    return hasattr(native(), "cross_modal_attention_cuda") and bool(sizes) and set(sizes) <= set(CUDA_HEAD_SIZES)


def load_tensorrt_graph(
    model: bytes,
    *,
    precision: str = "float16",
    toolchain: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    library: str = "",
    progress: Progress | None = None,
) -> TensorRtGraph:
    """Returns a graph on this machine's GPU, its engine built now unless it is in the cache.

    Args:
        model: bytes of an ONNX file.
        precision: float32, float16 or int8; see `prepare_model`.
        toolchain: tensorrt or tensorrt_rtx; None for the one that is installed.
        cache: folder of engines; None for `.cache/edgeaff/engines` in the home folder.
        library: path of the C++ plugin, libedgeaff_tensorrt.so; empty for the Python one.
        progress: see `edgeaff.backends.tensorrt_build.build_engine`.
    """
    chosen = find_toolchain(toolchain)
    device = find_device()
    require_onnx(model)
    targets = (device.compute_capability,) if chosen == "tensorrt_rtx" else ()
    prepared = prepare_model(model, precision)
    plugin = bool(library) or may_use_plugin(prepared)
    request = BuildRequest(chosen, targets, plugin, default_profiles(prepared), library=library)
    gpu = f"{device.name} {device.compute_capability} {device.driver_version}"
    engine = build_engine(prepared, request, gpu=gpu, cache=EngineCache(cache), progress=progress)
    return TensorRtGraph(load_engine(engine, chosen), precision=precision, figures=engine.figures)
