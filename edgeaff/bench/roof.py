"""The roof of a machine, measured: the fastest that a large matrix product goes in float32 and in 8 bits, through ONNX Runtime."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

import numpy as np

from edgeaff.backends import load_graph

SIDE = 768
REPEATS = 12


def measure_roofs(threads: int) -> dict[str, float]:
    """Returns GFLOP/s of float32 ("fp32") and GOP/s of 8-bit ("int8") products; nothing where onnx is not installed.

    Args:
        threads: of the products.
    """
    if find_spec("onnx") is None:
        return {}
    rng = np.random.default_rng(0)
    fp32 = {name: rng.standard_normal((SIDE, SIDE)).astype(np.float32) for name in ("a", "b")}
    int8 = {
        "a": rng.integers(0, 127, (SIDE, SIDE), dtype=np.uint8),
        "b": rng.integers(-127, 127, (SIDE, SIDE), dtype=np.int8),
    }
    return {
        "fp32": _best(_product("MatMul", fp32), fp32["a"], threads),
        "int8": _best(_product("MatMulInteger", int8), int8["a"], threads),
    }


def _product(kind: str, arrays: dict[str, np.ndarray]) -> bytes:
    from onnx import TensorProto, helper
    from onnx.numpy_helper import from_array

    types: dict[Any, Any] = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.uint8): TensorProto.UINT8}
    kept = TensorProto.FLOAT if kind == "MatMul" else TensorProto.INT32
    node = helper.make_node(kind, ["a", "b"], ["y"])
    inputs = [helper.make_tensor_value_info("a", types[arrays["a"].dtype], [SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("y", kept, [SIDE, SIDE])]
    graph = helper.make_graph([node], "roof", inputs, outputs, [from_array(arrays["b"], "b")])
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )


def _best(model: bytes, left: np.ndarray, threads: int) -> float:
    graph = load_graph(model, threads=threads)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        graph.run({"a": left})
        seconds.append(time.perf_counter() - start)
    return round(2 * SIDE**3 / min(seconds) / 1e9, 1)
