"""The competitors of benchmarks/kernels.py at the shape of the paper: one thread, B 1, T 100, D 512, 4 heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeaff.backends.engines import import_onnxruntime, import_openvino, session_options
from edgeaff.ops.cross_modal_attention import cross_modal_attention
from edgeaff.ops.newest_row import Direction, NewestRow

T, D, HEADS = 100, 512, 4
ALPHA, BETA = 0.6, 0.4
Competitors = dict[str, Callable[[], Any]]


def make_inputs(seed: int = 0) -> dict[str, Any]:
    """Returns random queries (1, T, D) and keys with values (1, T, 2D) of both streams, float32.

    They lie on cache lines as torch's own memory does, so that every competitor reads the same bytes at the same places.
    """
    import torch

    rng = np.random.default_rng(seed)
    inputs = {}
    for name, width in {"q_audio": D, "kv_audio": 2 * D, "q_video": D, "kv_video": 2 * D}.items():
        inputs[name] = torch.empty(1, T, width).numpy()
        inputs[name][:] = rng.standard_normal((1, T, width))
    return inputs


def core_competitors(inputs: dict[str, np.ndarray], dtype: str) -> Competitors:
    """Returns ours and torch's forms of the op in one data type; each gives the weighted sum (1, T, D).

    Args:
        inputs: of `make_inputs`.
        dtype: float32 or bfloat16.

    Returns:
        Functions by name.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    tensors = {name: torch.from_numpy(value).to(getattr(torch, dtype)) for name, value in inputs.items()}
    ours: dict[str, Any] = dict(inputs) if dtype == "float32" else dict(tensors)

    def heads(rows: Any) -> Any:
        return rows.view(1, T, HEADS, D // HEADS).transpose(1, 2)

    def parts(query: str, keys: str) -> list[Any]:
        pair = tensors[f"kv_{keys}"]
        return [heads(tensors[f"q_{query}"]), heads(pair[..., :D]), heads(pair[..., D:])]

    def by_sdpa(*backends: Any) -> Callable[[], Any]:
        def run() -> Any:
            values = [scaled_dot_product_attention(*parts(*pair)) for pair in (("audio", "video"), ("video", "audio"))]
            return (ALPHA * values[0] + BETA * values[1]).transpose(1, 2).reshape(1, T, D)

        def run_with_backend() -> Any:
            with sdpa_kernel(list(backends)):
                return run()

        return run_with_backend if backends else run

    def by_hand() -> Any:
        values = []
        for pair in (("audio", "video"), ("video", "audio")):
            q, k, v = parts(*pair)
            values.append(torch.softmax(q @ k.transpose(-1, -2) * (D // HEADS) ** -0.5, dim=-1) @ v)
        return (ALPHA * values[0] + BETA * values[1]).transpose(1, 2).reshape(1, T, D)

    return {
        "edgeaff": lambda: cross_modal_attention(**ours, alpha=ALPHA, beta=BETA, num_heads=HEADS),
        "torch SDPA": by_sdpa(),
        "torch SDPA flash": by_sdpa(SDPBackend.FLASH_ATTENTION),
        "torch SDPA math": by_sdpa(SDPBackend.MATH),
        "torch matmul, softmax, matmul": by_hand,
    }


def compiled_competitor(competitors: Competitors) -> Competitors:
    """Returns torch.compile of torch's SDPA form, compiled."""
    import torch

    compiled = torch.compile(competitors["torch SDPA"])
    compiled()
    return {"torch.compile": compiled}


def onnxruntime_attention(inputs: dict[str, np.ndarray]) -> Competitors:
    """Returns ONNX Runtime's fused MultiHeadAttention, both directions and the sum in one graph."""
    from onnx import TensorProto, helper

    onnxruntime = import_onnxruntime()

    names = ["qa", "ka", "va", "qv", "kv", "vv"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, T, D]) for name in names]
    constants = [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in (("alpha", ALPHA), ("beta", BETA))]
    nodes = [
        helper.make_node("MultiHeadAttention", ["qa", "kv", "vv"], ["a"], domain="com.microsoft", num_heads=HEADS),
        helper.make_node("MultiHeadAttention", ["qv", "ka", "va"], ["v"], domain="com.microsoft", num_heads=HEADS),
        helper.make_node("Mul", ["a", "alpha"], ["sa"]),
        helper.make_node("Mul", ["v", "beta"], ["sv"]),
        helper.make_node("Add", ["sa", "sv"], ["out"]),
    ]
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, T, D])
    graph = helper.make_graph(nodes, "attention", values, [result], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    session = onnxruntime.InferenceSession(
        helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString(), session_options()
    )
    # The same arrays, split once and contiguous: what this engine's graph would hold.
    feeds = {}
    for letter, which in (("a", "audio"), ("v", "video")):
        feeds[f"q{letter}"] = inputs[f"q_{which}"]
        feeds[f"k{letter}"] = np.ascontiguousarray(inputs[f"kv_{which}"][..., :D])
        feeds[f"v{letter}"] = np.ascontiguousarray(inputs[f"kv_{which}"][..., D:])
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output("out")

    def run() -> Any:
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    return {"onnxruntime MultiHeadAttention": run}


def openvino_attention(inputs: dict[str, np.ndarray]) -> Competitors:
    """Returns OpenVINO's SDPA, both directions and the sum in one graph, or nothing where it is not installed."""
    try:
        openvino = import_openvino()
        from openvino import opset13 as ops
    except ImportError:
        return {}
    parameters, arrays = [], []
    branches = []
    for query, keys, weight in (("audio", "video", ALPHA), ("video", "audio", BETA)):
        pair = inputs[f"kv_{keys}"]
        rows = []
        for array in (inputs[f"q_{query}"], pair[..., :D], pair[..., D:]):
            parameters.append(ops.parameter([1, T, D], np.float32))
            arrays.append(np.ascontiguousarray(array))
            split = ops.reshape(parameters[-1], ops.constant([1, T, HEADS, D // HEADS]), False)
            rows.append(ops.transpose(split, ops.constant([0, 2, 1, 3])))
        mixed = ops.transpose(ops.scaled_dot_product_attention(*rows), ops.constant([0, 2, 1, 3]))
        branches.append(ops.multiply(ops.reshape(mixed, ops.constant([1, T, D]), False), np.float32(weight)))
    model = openvino.Model([ops.add(*branches)], parameters, "attention")
    hints = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
    return {"openvino SDPA": lambda: request.infer(arrays, share_inputs=True, share_outputs=True)[0]}


def newest_row_competitors(seed: int = 1) -> Competitors:
    """Returns the layer with its projections and dense output as written in torch, and our folded newest row."""
    import torch

    from edgeaff.torch_ops.reference import cross_modal_attention as torch_twin

    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    # key_value_* makes the keys of a stream; a direction holds the queries of one stream and the keys of the other.
    query = {name: (normal(D, D), normal(D)) for name in ("audio", "video")}
    pair = {name: (normal(2 * D, D), normal(2 * D)) for name in ("audio", "video")}
    dense = (normal(2, D), normal(2))
    rows = {name: rng.standard_normal((T, D)).astype(np.float32) for name in ("audio", "video")}
    folded = NewestRow(
        Direction(*query["audio"], *pair["video"], ALPHA),
        Direction(*query["video"], *pair["audio"], BETA),
        *dense,
        num_heads=HEADS,
    )
    linear = torch.nn.functional.linear
    tensors = {name: torch.from_numpy(value)[None] for name, value in rows.items()}
    weights = {
        key: tuple(torch.from_numpy(part) for part in parts)
        for key, parts in (
            ("qa", query["audio"]),
            ("qv", query["video"]),
            ("ka", pair["audio"]),
            ("kv", pair["video"]),
            ("d", dense),
        )
    }

    def as_written() -> Any:
        with torch.inference_mode():
            audio, video = tensors["audio"], tensors["video"]
            mixed = torch_twin(
                linear(audio, *weights["qa"]),
                linear(audio, *weights["ka"]),
                linear(video, *weights["qv"]),
                linear(video, *weights["kv"]),
                ALPHA,
                BETA,
                num_heads=HEADS,
            )
            return linear(mixed, *weights["d"])[:, -1]

    return {"torch, as written": as_written, "edgeaff newest row": lambda: folded(rows["audio"], rows["video"])}


def step_competitors(seed: int = 2) -> Competitors:
    """Returns one tick of the edge preset: native in three precisions, ONNX Runtime's step graph, torch."""
    import torch

    from edgeaff.backends.native import NativeStep
    from edgeaff.export.pack_step import PRECISIONS, pack_step
    from edgeaff.export.to_onnx import export_step
    from edgeaff.training.models.edge import Edge, EdgeConfig

    torch.manual_seed(seed)
    edge = Edge(EdgeConfig(video_size=128)).eval()
    rng = np.random.default_rng(seed)
    video = rng.standard_normal(edge.config.video_size).astype(np.float32)
    audio = rng.standard_normal(edge.config.audio_size).astype(np.float32)
    weights = {name: tensor.numpy() for name, tensor in edge.state_dict().items()}
    competitors: Competitors = {}
    for precision in PRECISIONS:
        step = NativeStep(pack_step(weights, num_heads=edge.config.num_heads, precision=precision))
        state = step.initial_state()
        for _ in range(edge.config.band):  # full rings
            step.advance(state, video, audio)
        competitors[f"edgeaff affect_step {precision}"] = _bind_step(step, state, video, audio)
    session = import_onnxruntime().InferenceSession(export_step(edge), session_options())
    feeds = {"video": video[None], "audio": audio[None], "present": np.ones((1, 2), np.float32)}
    for entry in session.get_inputs():
        if entry.name.startswith("state_"):
            feeds[entry.name] = np.ones(entry.shape, np.float32)
    competitors["onnxruntime step graph"] = lambda: session.run(None, feeds)
    tensors: Any = [torch.from_numpy(feeds[name]) for name in ("video", "audio", "present")]
    memory = {
        name.removeprefix("state_"): torch.from_numpy(v) for name, v in feeds.items() if name.startswith("state_")
    }

    def in_torch() -> Any:
        with torch.inference_mode():
            return edge.step(tensors[0], tensors[1], tensors[2], memory)

    competitors["torch step"] = in_torch
    return competitors


def _bind_step(step: Any, state: np.ndarray, video: np.ndarray, audio: np.ndarray) -> Callable[[], Any]:
    """Returns a call of one tick that changes its state in place."""
    return lambda: step.advance(state, video, audio)
