"""`edgeaff::CrossModalAttention` as a TensorRT plugin in Python: an IPluginV3 whose enqueue calls our CUDA launcher.

`attend` is the plugin's body: addresses, sizes and a stream, nothing of TensorRT, so that it runs where there is memory. The classes
around it are made when TensorRT (10 or later) or TensorRT-RTX is there. The C++ plugin in csrc/tensorrt has the same name, version and
fields: an engine built with one runs with the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from edgeaff.backends.onnx_edit import DOMAIN, GIVEN, OP_TYPE, PLUGIN_VERSION
from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError
from edgeaff.ops import native
from edgeaff.ops.cross_modal_attention import NODE_INPUTS, REQUIRED_INPUTS, TYPE_CODES

FIELDS = ("num_heads", "band", GIVEN)
Launcher = Callable[..., str]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Memory as a plugin sees it: contiguous. dtype: float32, float16, bfloat16 or bool."""

    address: int
    shape: tuple[int, ...]
    dtype: str


def launch_cuda(*packed: Any) -> str:
    """Returns "" after queueing the CUDA kernel, or the name of the error.

    Raises:
        BackendUnavailableError: this build has no CUDA.
    """
    launch = getattr(native(), "cross_modal_attention_cuda", None)
    if launch is None:
        raise BackendUnavailableError(
            "edgeaff must be built with CUDA to run this plugin, got a build without it; reinstall from source with "
            "EDGEAFF_CUDA=ON, or build the engine with plugin=False."
        )
    return str(launch(*packed))


@dataclass(frozen=True, slots=True)
class FusionNode:
    """Attributes of a fusion node. num_heads: heads; band: W, 0 for none; given: bit i is set where input i is there."""

    num_heads: int
    band: int
    given: int


def attend(
    inputs: Sequence[Tensor],
    output: Tensor,
    node: FusionNode,
    *,
    stream: int,
    launch: Launcher = launch_cuda,
) -> None:
    """Writes the cross-modal attention of these inputs to the output.

    Args:
        inputs: those of the twelve node inputs whose bit in `node.given` is set, in their order.
        output: (B, Tq, D), of the type of q_audio.
        node: attributes of the node.
        stream: CUDA stream handle.
        launch: what queues the kernel; takes (sizes, audio, video, weights, output, stream) as `edgeaff.ops.native` does.

    Raises:
        ArgumentError: the inputs do not fit together.
        DeviceError: the kernel cannot be queued.
    """
    num_heads, band = node.num_heads, node.band
    named = name_inputs(inputs, node.given)
    query, keys = named["q_audio"], named["kv_audio"]
    batch, query_count, channels = query.shape
    check_sizes(named, output, num_heads, band)
    packed = (
        (TYPE_CODES[query.dtype], batch, query_count, keys.shape[1], num_heads, channels // num_heads, band),
        _modality(named, "audio"),
        _modality(named, "video"),
        (0.0, 0.0, named["alpha"].address, named["beta"].address),
        (output.address, query_count * channels, channels),
    )
    error = launch(*packed, stream)
    if error:
        raise DeviceError(
            f"the plugin's kernel must start, got {error}; check that this build holds code for the card (edgeaff doctor)."
        )


def name_inputs(inputs: Sequence[Tensor], given: int) -> dict[str, Tensor]:
    """Returns the inputs by name.

    Raises:
        ArgumentError: `given` does not fit their number, or one of the first six is absent.
    """
    names = [name for index, name in enumerate(NODE_INPUTS) if given >> index & 1]
    if len(names) != len(inputs) or tuple(names[: len(REQUIRED_INPUTS)]) != REQUIRED_INPUTS:
        raise ArgumentError(
            f"given must name {len(inputs)} inputs and among them {', '.join(REQUIRED_INPUTS)}, got {given:#x}; "
            "build the engine again from the exported graph."
        )
    return dict(zip(names, inputs, strict=True))


def check_sizes(named: dict[str, Tensor], output: Tensor, num_heads: int, band: int) -> None:
    """Checks shapes and types: the kernel reads what it is given.

    Raises:
        ArgumentError: one of them does not fit q_audio and kv_audio.
    """
    query = named["q_audio"]
    batch, query_count, channels = query.shape
    key_count = named["kv_audio"].shape[1]
    rows, pairs = (batch, query_count, channels), (batch, key_count, 2 * channels)
    expected = {
        "q": (rows, query.dtype),
        "kv": (pairs, query.dtype),
        "residual": (rows, query.dtype),
        "key": ((batch, key_count), "bool"),
        "age": ((num_heads, band), "float32"),
        "alpha": ((), "float32"),
        "beta": ((), "float32"),
    }
    if query.dtype not in TYPE_CODES or channels % num_heads:
        raise ArgumentError(
            f"q_audio must be float32, float16 or bfloat16 of whole heads, got {query.dtype} of {channels} channels and "
            f"{num_heads} heads; export the graph again."
        )
    for name, tensor in (*named.items(), ("output", output)):
        shape, dtype = expected["q" if name == "output" else name.split("_")[0]]
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            raise ArgumentError(
                f"{name} must be {dtype} of shape {shape}, got {tensor.dtype} of {tensor.shape}; export the graph again."
            )


def _modality(named: dict[str, Tensor], which: str) -> tuple[int, ...]:
    """Returns the addresses and strides of one modality, in the order of csrc/python/bind_cross_modal_attention.cc."""
    query, pair = named["q_" + which], named["kv_" + which]
    mask, bias, residual = (named.get(f"{name}_{which}") for name in ("key_mask", "age_bias", "residual"))
    _, query_count, channels = query.shape
    key_count, width = pair.shape[1:]
    strides = (query_count * channels, channels)
    return (
        query.address,
        *strides,
        pair.address,
        key_count * width,
        width,
        *((0, 0) if mask is None else (mask.address, key_count)),
        0 if bias is None else bias.address,
        *((0, 0, 0) if residual is None else (residual.address, *strides)),
    )


@cache
def register(trt: Any, library: str = "") -> Any:
    """Returns the creator, registered with the plugin registry of this TensorRT; once per package and process.

    Args:
        trt: the module tensorrt or tensorrt_rtx.
        library: path of the C++ plugin, `libedgeaff_tensorrt.so`; empty for the Python one.

    Raises:
        BackendUnavailableError: the registry refuses it.
    """
    registry = trt.get_plugin_registry()
    if library:
        creator = registry.load_library(library)
        accepted = creator is not None
    else:
        creator = make_creator(trt)
        accepted = bool(registry.register_creator(creator, DOMAIN))
    if not accepted:
        raise BackendUnavailableError(
            f"{trt.__name__} must accept the plugin {DOMAIN}::{OP_TYPE} {library}, got a refusal; build with plugin=False."
        )
    return creator


def make_creator(trt: Any) -> Any:
    """Returns a creator of the plugin for this TensorRT; the caller must keep it."""
    plugin = make_plugin_class(trt)

    class Creator(trt.IPluginCreatorV3One):  # type: ignore[misc, name-defined]
        """Makes the plugin from the attributes of a node, or from what an engine holds."""

        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_namespace, self.plugin_version = OP_TYPE, DOMAIN, PLUGIN_VERSION
            self.field_names = trt.PluginFieldCollection(
                [trt.PluginField(name, np.array([], np.int32), trt.PluginFieldType.INT32) for name in FIELDS]
            )

        def create_plugin(self, name: str, fields: Any, phase: Any) -> Any:
            try:
                found = {field.name: int(np.asarray(field.data).reshape(-1)[0]) for field in fields}
                return plugin(**{field: found[field] for field in FIELDS})
            except (KeyError, IndexError, ValueError, TypeError) as error:  # no exception may pass through TensorRT
                logger.error(
                    "the node %s must have %s, got: %s; export the graph again.", name, ", ".join(FIELDS), error
                )
                return None

    return Creator()


def make_plugin_class(trt: Any) -> Any:
    """Returns the plugin's class for this TensorRT."""
    names = name_types(trt)
    bases = (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime)

    class CrossModalAttentionPlugin(*bases):  # type: ignore[misc]
        """Core, build and runtime capability in one object, as TensorRT's Python API expects them."""

        def __init__(self, num_heads: int, band: int, given: int) -> None:
            for base in bases:
                base.__init__(self)
            self.plugin_name, self.plugin_namespace, self.plugin_version = OP_TYPE, DOMAIN, PLUGIN_VERSION
            self.num_outputs = 1
            self.settings: dict[str, Any] = {"num_heads": num_heads, "band": band, GIVEN: given}

        def get_capability_interface(self, kind: Any) -> Any:
            return self

        def clone(self) -> Any:
            return CrossModalAttentionPlugin(**self.settings)

        def attach_to_context(self, context: Any) -> Any:
            return self.clone()

        def get_output_data_types(self, input_types: Any) -> list[Any]:
            return [input_types[0]]

        def get_output_shapes(self, inputs: Any, shape_inputs: Any, expressions: Any) -> list[Any]:
            return [trt.DimsExprs(inputs[0])]

        def get_fields_to_serialize(self) -> Any:
            kind = trt.PluginFieldType.INT32
            values = {name: np.array([value], np.int32) for name, value in self.settings.items()}
            return trt.PluginFieldCollection([trt.PluginField(name, value, kind) for name, value in values.items()])

        def supports_format_combination(self, position: int, in_out: Any, input_count: int) -> bool:
            first, own = (names.get(in_out[index].desc.type, "") for index in (0, position))
            expected = expected_type(position, input_count, self.settings[GIVEN], first)
            linear = in_out[position].desc.format == trt.TensorFormat.LINEAR
            return linear and first in TYPE_CODES and own == expected

        def get_workspace_size(self, inputs: Any, outputs: Any) -> int:
            return 0

        def configure_plugin(self, inputs: Any, outputs: Any) -> None:
            pass

        def on_shape_change(self, inputs: Any, outputs: Any) -> None:
            pass

        def set_tactic(self, tactic: int) -> None:
            pass

        def enqueue(
            self, input_descs: Any, output_descs: Any, inputs: Any, outputs: Any, workspace: int, stream: int
        ) -> None:
            described = zip((*input_descs, *output_descs), (*inputs, *outputs), strict=True)
            tensors = [Tensor(int(address), tuple(one.dims), names[one.type]) for one, address in described]
            attend(tensors[:-1], tensors[-1], FusionNode(**self.settings), stream=int(stream))

    return CrossModalAttentionPlugin


def name_types(trt: Any) -> dict[Any, str]:
    """Returns the types of this TensorRT that the plugin knows, each with the name that `Tensor` uses."""
    names = {trt.float32: "float32", trt.float16: "float16", trt.bool: "bool"}
    if hasattr(trt, "bfloat16"):
        names[trt.bfloat16] = "bfloat16"
    return names


def expected_type(position: int, input_count: int, given: int, first: str) -> str:
    """Returns the type that input or output `position` must have where q_audio is `first`."""
    if position >= input_count:
        return first
    names = [name for index, name in enumerate(NODE_INPUTS) if given >> index & 1]
    name = names[position] if position < len(names) else ""
    if name.startswith(("q_", "kv_", "residual_")):
        return first
    return "bool" if name.startswith("key_mask_") else "float32"
