"""Torch systems to ONNX graphs, and the streaming step of `edge`; the paper's windows: `edgeaff.export.window`.

Opset 18, IR version 10, static batch 1. The cross-modal attention stays one node, `edgeaff::CrossModalAttention`,
with its plain-ONNX body as a model-local function. Every export is checked and compared with torch before it is handed out.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from edgeaff.backends.onnx_edit import DOMAIN, IR_VERSION, OP_TYPE, OPSET, PLUGIN_VERSION
from edgeaff.errors import EdgeaffError
from edgeaff.export.onnx_function import function_body
from edgeaff.ops.cross_modal_attention import NODE_INPUTS, REQUIRED_INPUTS

if TYPE_CHECKING:
    import onnx

    from edgeaff.training.models.edge import Edge

PARITY = 1e-5
PARITY_BATCHES = (1, 3, 16)  # a graph of any batch is compared with torch at these
System = TypeVar("System", bound=nn.Module)


class ExportError(EdgeaffError, RuntimeError):
    """An exported graph does not compute what the torch system computes."""


class SymbolicOperator:
    """Stands in for `cross_modal_attention` during export: one opaque node, and a note of the inputs it was given."""

    def __init__(self) -> None:
        self.given: set[str] = set()
        self.band = False

    def __call__(self, *tensors: Any, num_heads: int, band: int | None = None, **optional: Tensor | None) -> Tensor:
        """Returns a tensor of the right shape; arguments as those of `cross_modal_attention`."""
        named = dict(zip(REQUIRED_INPUTS, tensors, strict=True)) | optional
        inputs = [named.get(name) for name in NODE_INPUTS]
        self.given = {name for name, tensor in zip(NODE_INPUTS, inputs, strict=True) if tensor is not None}
        self.band = band is not None
        while inputs[-1] is None:
            inputs.pop()
        attributes: dict[str, Any] = {
            "num_heads": num_heads,
            "band": band or 0,
            "plugin_namespace": DOMAIN,
            "plugin_version": PLUGIN_VERSION,
        }
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OP_TYPE}", inputs, attrs=attributes, dtype=torch.float32, shape=tensors[0].shape, version=1
        )


class StepGraph(nn.Module):
    """`Edge.step` with its state as a flat list of tensors."""

    def __init__(self, edge: Edge) -> None:
        super().__init__()
        self.edge = edge
        self.names = list(edge.initial_state())

    def forward(self, video: Tensor, audio: Tensor, present: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Returns values (1, 2), std (1, 2) where the system has a spread, and the next states.

        Args:
            video: (1, Dv).
            audio: (1, Da).
            present: (1, 2).
            states: of the tick before, in the order of `names`.
        """
        values, std, following = self.edge.step_with_std(
            video, audio, present, dict(zip(self.names, states, strict=True))
        )
        stated = (values,) if std is None else (values, std)
        return (*stated, *(following[name] for name in self.names))


def to_model(
    module: nn.Module,
    operator: SymbolicOperator,
    arguments: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    dynamic: tuple[Any, ...] | None = None,
) -> onnx.ModelProto:
    """Returns the exported graph with the function body attached.

    Args:
        module: what is exported, in evaluation mode after this.
        operator: the one that `module` calls; holds the inputs that the fusion was given.
        arguments: example inputs; a batch that is to be dynamic must be 2 here (the exporter fixes a 1).
        inputs: names.
        outputs: names.
        dynamic: per input, axis -> torch.export.Dim.

    Returns:
        The checked model.
    """
    import onnx

    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
            optimize=True,
            verbose=False,
        )
    model = cast(Any, program).model_proto
    model.ir_version = IR_VERSION
    if operator.given:
        del model.functions[:]
        model.functions.append(function_body(operator.given, band=operator.band))
        known = {entry.domain for entry in model.opset_import}
        if DOMAIN not in known:
            model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    for node in model.graph.node:  # where the exporter was run is nobody's business
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    return model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keeps what torch's exporter its own states internals, and of packages it could use, from the user's screen."""
    talkative = logging.getLogger("torch.onnx")
    level = talkative.level
    talkative.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        talkative.setLevel(level)


def with_batch(model: onnx.ModelProto, batch: int) -> bytes:
    """Returns a graph of dynamic batch as one of this batch.

    Args:
        model: inputs and outputs with a free first axis; not changed.
        batch: the size.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    fixed = onnx.shape_inference.infer_shapes(fixed)
    onnx.checker.check_model(fixed, full_check=True)
    return bytes(fixed.SerializeToString())


def check_parity(model: bytes, runs: Sequence[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]) -> float:
    """Returns the largest difference between a graph in ONNX Runtime and expected outputs.

    Args:
        model: serialized graph.
        runs: pairs of inputs by name and expected outputs by name.

    Returns:
        max |difference| over all runs and outputs.

    Raises:
        ExportError: the difference is above 1e-5, relative to the largest expected value when that is above 1.
    """
    from edgeaff.backends.engines import import_onnxruntime, session_options

    session = import_onnxruntime().InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs, expected in runs:
        for name, value in zip(expected, session.run(list(expected), inputs), strict=True):
            scale = max(1.0, float(np.abs(expected[name]).max(initial=0.0)))
            worst = max(worst, float(np.abs(value - expected[name]).max(initial=0.0)) / scale)
    if not worst <= PARITY:
        raise ExportError(f"exported graph must agree with torch within {PARITY}, got {worst}; do not ship this file.")
    return worst


def with_operator(module: System, operator: Callable[..., Tensor]) -> System:
    """Returns a copy whose fusion calls this operator."""
    twin = copy.deepcopy(module).eval()
    cast(Any, twin).cross.operator = operator
    return twin


def export_step(edge: Edge, *, parity_ticks: int = 130) -> bytes:
    """Returns `affect_step.onnx`: one tick of the edge transformer, batch 1.

    Inputs `video` (1, Dv), `audio` (1, Da), `present` (1, 2) and `state_<name>`; outputs `values` (1, 2) in [-1, 1], `std`
    (1, 2) where the system has a spread, and `next_state_<name>`. All float32; a state of zeros is the start of a stream.

    Args:
        edge: the trained system.
        parity_ticks: ticks of random input, with gaps, on which graph and torch are compared.

    Returns:
        The serialized model.
    """
    config = edge.config
    operator = SymbolicOperator()
    module = StepGraph(with_operator(edge, operator))
    state = edge.initial_state()
    measured = (torch.zeros(1, config.video_size), torch.zeros(1, config.audio_size), torch.ones(1, 2))
    arguments = (*measured, *state.values())
    inputs = ["video", "audio", "present", *(f"state_{name}" for name in state)]
    stated = ["values", "std"] if config.spread_size else ["values"]
    outputs = [*stated, *(f"next_state_{name}" for name in state)]
    model = to_model(module, operator, arguments, inputs, outputs).SerializeToString()
    check_parity(model, _step_runs(copy.deepcopy(edge).eval(), parity_ticks))
    return model


def _step_runs(edge: Edge, ticks: int) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Returns inputs and torch outputs of consecutive ticks."""
    rng = np.random.default_rng(0)
    state = edge.initial_state()
    runs = []
    for tick in range(ticks):
        feed = {
            "video": rng.standard_normal((1, edge.config.video_size)).astype(np.float32),
            "audio": 2 * rng.standard_normal((1, edge.config.audio_size)).astype(np.float32),
            "present": (rng.random((1, 2)) > 0.3 * (tick % 3)).astype(np.float32),
        }
        before = {f"state_{name}": value.numpy() for name, value in state.items()}
        with torch.no_grad():
            video, audio, present = (torch.from_numpy(feed[name]) for name in ("video", "audio", "present"))
            values, std, state = edge.step_with_std(video, audio, present, state)
        stated = {"values": values.numpy()} | ({} if std is None else {"std": std.numpy()})
        after = stated | {f"next_state_{name}": value.numpy() for name, value in state.items()}
        runs.append((feed | before, after))
    return runs


def main() -> None:
    """Writes the step graph of trained weights: `python -m edgeaff.export.to_onnx WEIGHTS OUTPUT`."""
    from edgeaff.training.models.edge import load_weights

    parser = argparse.ArgumentParser(prog="python -m edgeaff.export.to_onnx", description=main.__doc__)
    parser.add_argument("weights", type=Path, help="edge_weights.safetensors")
    parser.add_argument("output", type=Path, help="affect_step.onnx")
    options = parser.parse_args()
    options.output.write_bytes(export_step(load_weights(options.weights)))


__all__ = [
    "ExportError",
    "StepGraph",
    "SymbolicOperator",
    "check_parity",
    "export_step",
    "to_model",
    "with_batch",
    "with_operator",
]

if __name__ == "__main__":
    main()
