"""The op on a card: host time, graph replay with inputs in turn, warm and cold L2; and whole models with and without it.

One op is microseconds of work, so three times are reported apart: `host_us` (a call and a synchronization), `warm_us` (a CUDA
graph of 20 calls over 4 sets of inputs, per call) and `cold_us` (the same with L2 overwritten before each call, the
overwriting's own time taken off). Replays are interleaved between competitors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.kernel_cases import ALPHA, BETA, HEADS, D, T
from edgeaff.ops import reference

CALLS, SETS, ROUNDS = 20, 4, 100
Call = Callable[[int], Any]


def run() -> dict[str, Any]:
    """Returns the card, rows of the op, rows of whole models, and ratios."""
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention

    properties = torch.cuda.get_device_properties(0)
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for batch in (1, 64):
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            name = str(dtype).removeprefix("torch.")
            found = _time_op(batch, dtype, cross_modal_attention)
            rows += [{"batch": batch, "dtype": name, **row} for row in found]
            ours, peers = found[0], found[1:]
            ratios[f"core_b{batch}_{name}_vs_best_sdpa_warm"] = round(
                min(row["warm_us"] for row in peers) / ours["warm_us"], 3
            )
    return {
        "card": {
            "name": properties.name,
            "processors": properties.multi_processor_count,
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        },
        "rows": rows,
        "models": _time_models(cross_modal_attention),
        "ratios": ratios,
    }


def _time_op(batch: int, dtype: Any, ours: Callable[..., Any]) -> list[dict[str, Any]]:
    """Returns one row per competitor, ours first, after checking each against float64.

    Raises:
        AssertionError: our error is more than twice torch's.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    sets = [_make_inputs(batch, dtype, seed) for seed in range(SETS)]
    alpha, beta = (torch.tensor(value, device="cuda") for value in (ALPHA, BETA))

    def heads(rows: Any) -> Any:
        return rows.unflatten(-1, (HEADS, D // HEADS)).transpose(1, 2)

    def by_sdpa(index: int) -> Any:
        held = sets[index % SETS]
        values = []
        for query, keys in (("audio", "video"), ("video", "audio")):
            k, v = held[f"kv_{keys}"].split(D, dim=-1)
            values.append(scaled_dot_product_attention(heads(held[f"q_{query}"]), heads(k), heads(v)))
        return (alpha * values[0] + beta * values[1]).to(dtype).transpose(1, 2).flatten(2)

    def with_backend(backend: Any) -> Call:
        def call(index: int) -> Any:
            with sdpa_kernel([backend]):
                return by_sdpa(index)

        return call

    competitors: dict[str, Call] = {
        "edgeaff": lambda index: ours(**sets[index % SETS], alpha=alpha, beta=beta, num_heads=HEADS),
        "torch SDPA": by_sdpa,
    }
    for backend in ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH"):
        competitors[f"torch SDPA {backend.lower()}"] = with_backend(getattr(SDPBackend, backend))
    truth = reference.cross_modal_attention(
        **{name: value.float().cpu().numpy() for name, value in sets[0].items()},
        alpha=ALPHA,
        beta=BETA,
        num_heads=HEADS,
    )
    usable, errors = {}, {}
    for name, call in competitors.items():
        try:
            value = call(0)
        except RuntimeError:  # a backend that has no form for this type
            continue
        usable[name] = call
        errors[name] = float(np.abs(value.float().cpu().numpy() - truth).max())
    if errors["edgeaff"] > 2 * errors["torch SDPA"] + 1e-6:
        raise AssertionError(f"our error {errors['edgeaff']:.2e} is more than twice torch's {errors['torch SDPA']:.2e}")
    return _time_calls(usable, errors)


def _make_inputs(batch: int, dtype: Any, seed: int) -> dict[str, Any]:
    """Returns random inputs on the card."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shapes = {"q_audio": D, "kv_audio": 2 * D, "q_video": D, "kv_video": 2 * D}
    return {name: torch.randn(batch, T, width, generator=generator).to("cuda", dtype) for name, width in shapes.items()}


def _time_calls(competitors: dict[str, Call], errors: dict[str, float]) -> list[dict[str, Any]]:
    """Returns rows with host, warm and cold times of each competitor."""
    import torch

    flush = torch.empty(256 * 1024 * 1024 // 4, device="cuda")

    def in_turn(call: Call | None, *, cold: bool) -> Callable[[], None]:
        def body() -> None:
            for index in range(CALLS):
                if cold:
                    flush.zero_()
                if call is not None:
                    call(index)

        return body

    graphs = {name: capture(in_turn(call, cold=False)) for name, call in competitors.items()}
    cold = {name: capture(in_turn(call, cold=True)) for name, call in competitors.items()}
    overwrite = capture(in_turn(None, cold=True))
    replayed = interleave_replays(
        {**graphs, **{f"cold {name}": graph for name, graph in cold.items()}, "flush": overwrite}
    )
    rows = []
    for name, call in competitors.items():
        warm = replayed[name] / CALLS
        cold_times = (replayed[f"cold {name}"] - np.median(replayed["flush"])) / CALLS
        rows.append(
            {
                "name": name,
                "error": errors[name],
                "host_us": round(_host_time(call), 2),
                "warm_min_us": round(float(warm.min()), 3),
                "warm_us": round(float(np.median(warm)), 3),
                "warm_p99_us": round(float(np.percentile(warm, 99)), 3),
                "cold_us": round(float(np.median(cold_times)), 3),
            }
        )
    return rows


def capture(body: Callable[[], Any]) -> Any:
    """Returns a CUDA graph of `body`, run before on a side stream as capturing demands."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.inference_mode():
        for _ in range(3):
            body()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        body()
    return graph


def interleave_replays(graphs: dict[str, Any], rounds: int = ROUNDS) -> dict[str, np.ndarray]:
    """Returns microseconds per replay, (rounds,) per graph, each graph once per round."""
    import torch

    times = {name: np.empty(rounds) for name in graphs}
    for index in range(-3, rounds):
        for name, graph in graphs.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            if index >= 0:
                times[name][index] = begin.elapsed_time(end) * 1e3
    return times


def _host_time(call: Call, calls: int = 200) -> float:
    """Returns the median microseconds of a call with its synchronization."""
    import torch

    times = []
    with torch.inference_mode():
        for index in range(calls):
            torch.cuda.synchronize()
            start = time.perf_counter_ns()
            call(index)
            torch.cuda.synchronize()
            times.append((time.perf_counter_ns() - start) / 1e3)
    return float(np.median(times))


def _time_models(ours: Callable[..., Any]) -> list[dict[str, Any]]:
    """Returns rows of the edge step and the paper's window, eager and as a graph, with torch's form of the op and ours."""
    import torch

    from edgeaff.torch_ops.reference import cross_modal_attention as torch_twin
    from edgeaff.training.models.edge import Edge, EdgeConfig
    from edgeaff.training.models.transformer import AudioVideoTransformer

    edge = Edge(EdgeConfig(video_size=128)).cuda().eval()
    state = edge.initial_state()
    step_inputs = [torch.randn(1, size, device="cuda") for size in (128, 65)] + [torch.ones(1, 2, device="cuda")]
    paper = AudioVideoTransformer().cuda().eval()
    window = [torch.randn(1, T, 4096, device="cuda") for _ in range(2)]
    cases: dict[str, tuple[Any, Callable[[], Any]]] = {
        "edge step": (edge.cross, lambda: edge.step(step_inputs[0], step_inputs[1], step_inputs[2], state)[0]),
        "paper window": (paper.cross, lambda: paper(*window)),
    }
    rows = []
    for name, (holder, body) in cases.items():
        graphs, eager, values = {}, {}, {}
        for label, operator in (("torch", torch_twin), ("edgeaff", ours)):
            holder.operator = operator
            with torch.inference_mode():
                values[label] = body().float().cpu()
            eager[label] = _host_time(_ignore_index(body))
            graphs[label] = capture(body)
        torch.testing.assert_close(values["edgeaff"], values["torch"], atol=1e-4, rtol=1e-4)
        replayed = interleave_replays(graphs)
        rows += [
            {
                "model": name,
                "op": label,
                "eager_us": round(eager[label], 2),
                "graph_us": round(float(np.median(replayed[label])), 2),
            }
            for label in graphs
        ]
    return rows


def _ignore_index(body: Callable[[], Any]) -> Call:
    """Returns the body as a call that takes an index."""
    return lambda index: body()
