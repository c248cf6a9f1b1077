"""8-bit graphs with QuantizeLinear and DequantizeLinear nodes, which ONNX Runtime, OpenVINO and TensorRT read.

Choice for the CPU: activations unsigned, weights per channel with 7 bits. On x86 without VNNI the 8-bit product of two values
would saturate 16 bits, and results would depend on the processor. For the GPU: activations signed and symmetric, weights with
8 bits, biases left float32; TensorRT takes nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends.engines import import_onnxruntime
from edgeaff.backends.onnx_edit import IR_VERSION


def quantize_static(
    model: bytes,
    feeds: Iterable[dict[str, np.ndarray]],
    *,
    op_types: Collection[str] | None = None,
    left_float: Collection[str] = (),
    gpu: bool = False,
) -> bytes:
    """Returns a graph with 8-bit weights and activations.

    Args:
        model: ONNX, float32, with plain float32 initializers.
        feeds: inputs by name on which the ranges of the activations are measured (smallest and largest value).
        op_types: kinds of nodes to quantize; None = all that can be.
        left_float: names of nodes that stay float32.
        gpu: the symmetric form that TensorRT takes, instead of that for the CPU.

    Returns:
        ONNX; inputs and outputs as before, float32.
    """
    import onnx

    import_onnxruntime()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        """Hands the inputs over once."""

        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """Returns the next input, None at the end."""
            return next(self._feeds, None)

    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": False}
    quantized = _through_files(
        quantize_static,
        model,
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=None if op_types is None else list(op_types),
        per_channel=True,
        reduce_range=not gpu,
        activation_type=QuantType.QInt8 if gpu else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(left_float),
        extra_options=options if gpu else None,
    )
    onnx.checker.check_model(quantized, full_check=True)
    return bytes(quantized.SerializeToString())


def quantize_dynamic(model: bytes, *, op_types: Collection[str] = ("MatMul",)) -> bytes:
    """Returns a graph whose matrix products have 8-bit weights; their other side is quantized again at every run.

    Args:
        model: ONNX, float32. A node with a model-local function stays whole.
        op_types: kinds of nodes to quantize.

    Returns:
        ONNX; inputs, outputs and states as before, float32.
    """
    import onnx

    import_onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = _through_files(
        quantize_dynamic,
        model,
        op_types_to_quantize=list(op_types),
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )
    onnx.checker.check_model(quantized)
    return bytes(quantized.SerializeToString())


def _through_files(quantize: Callable[..., None], model: bytes, *arguments: Any, **options: Any) -> Any:
    """Returns the parsed graph that ONNX Runtime's quantization, which reads and writes files, makes of a graph."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        source.write_bytes(model)
        quantize(source, target, *arguments, **options)
        quantized = onnx.load(target)
    quantized.ir_version = IR_VERSION
    return quantized
