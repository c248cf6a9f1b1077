"""Cost of one tick, by stage and as a whole, with peers in the same rounds, and its scaling.

Pipelines are a Session over synthetic images with a face and a synthetic voice, 30 a second. Each engine states in words what it does
(`arrangement`); see latency_engines.py. Ratios are taken within one run, and withheld where a processor was shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeaff.bench import latency_scaling
from edgeaff.bench.latency_engines import OURS, Engine, edge_engines, paper_engines
from edgeaff.bench.latency_media import RATE_HZ, Media, make_media
from edgeaff.bench.latency_pipelines import back_to_back, camera_row, pipeline_row, ratio_rows, warm_up
from edgeaff.bench.latency_process import measure_install, measure_process
from edgeaff.bench.latency_stages import edge_stages, measure, paper_stages
from edgeaff.bench.latency_waterfall import measure_waterfall
from edgeaff.bench.power import PowerMeter, describe_device
from edgeaff.bench.roof import measure_roofs
from edgeaff.bundle import ModelBundle
from edgeaff.machine import describe_machine, describe_run, load_average

PAPER_THREADS = 2
BARS = {
    "edge: CPU ms per tick": ("most", 5.0),
    "edge: ticks per second": ("least", 200.0),
    "edge: times torch_naive (CPU)": ("least", 15.0),
    "edge: times onnxruntime_window (CPU)": ("least", 3.0),
    "import seconds": ("most", 0.2),
    "import of Session, seconds": ("most", 0.2),
    "RSS MiB": ("most", 250.0),
    "installed core MB": ("most", 160.0),
    "paper, int8, stride 1: fps": ("least", 35.0),
    "paper, int8, stride 5: fps": ("least", 60.0),
    "paper, int8, stride 1: times torch_naive (time)": ("least", 8.0),
    "paper, int8, stride 5: times torch_naive (time)": ("least", 8.0),
}
"""What the project asks. A bar that is missed stands there as missed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Size of the measurement.

    Attributes:
        turns: of each engine back to back, a block of ticks each.
        rounds: timings per stage.
        part_seconds: after this time a set of stages or pipelines starts no new round, regardless of `turns` and `rounds`.
        camera_seconds: real time per engine in camera mode.
        peers: whether other engines take part where they are installed.
        paper: whether the `paper` preset takes part, with fabricated weights.
        paper_bundle: an 8-bit bundle of it that is made already.
        compile_peer: whether torch.compile takes part; compiling takes minutes.
        hours: of simulated running in the scaling rows.
    """

    turns: int = 12
    rounds: int = 60
    part_seconds: float = 10.0
    camera_seconds: float = 2.0
    peers: bool = True
    paper: bool = True
    paper_bundle: Path | None = None
    compile_peer: bool = False
    hours: float = 1 / 60


def run(plan: Plan) -> dict[str, Any]:
    """Returns the content of `--json`: machine, stages, pipelines, ratios, bars, scaling, process, waterfall, what was left out."""
    bundle, media = ModelBundle.load(), make_media()
    machine = {**describe_machine(), "device": describe_device()}
    process = {**measure_process(), **measure_install()}  # first: alone on the machine
    roofs = {str(threads): measure_roofs(threads) for threads in (1, PAPER_THREADS)}
    found = edge_stages(bundle, media, peers=plan.peers, compile_peer=plan.compile_peer)
    stages = measure(found, preset="edge", threads=1, rounds=plan.rounds, seconds=plan.part_seconds, roofs=roofs["1"])
    engines, left_out = edge_engines(bundle, media, peers=plan.peers)
    rows, ratios, differences = measure_pipelines(engines, media, plan, turns=plan.turns)
    waterfall = measure_waterfall(engines[0], media)
    scaling = latency_scaling.run(bundle, media, rounds=plan.rounds, hours=plan.hours)
    left_out |= found.left_out
    if plan.paper:
        more = measure_paper(media, plan, roofs)
        stages, rows, ratios = stages + more["stages"], rows + more["pipelines"], ratios + more["ratios"]
        differences |= more["differences"]
        left_out |= more["left_out"]
    else:
        left_out["paper preset"] = "switched off"
    return {
        "run": describe_run(),
        "machine": {**machine, "roof_gop_per_s": roofs, "load_average_after": load_average()},
        "bundle": bundle.manifest.model_id,
        "media": f"{media.kind}, {media.images[0].shape[1]} x {media.images[0].shape[0]}; voice {RATE_HZ} Hz",
        "stages": stages,
        "pipelines": rows,
        "ratios": ratios,
        "bars": judge(rows, ratios, process),
        "scaling": scaling,
        "process": process,
        "difference_of_values": differences,
        "waterfall": waterfall,
        "left_out": left_out,
    }


Measured = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, float]]


def measure_pipelines(engines: Sequence[Engine], media: Media, plan: Plan, *, turns: int) -> Measured:
    """Returns rows of pipelines, ratios and the differences between the engines' values.

    Args:
        engines: of one preset.
        media: images and audio.
        plan: its part_seconds and camera_seconds count.
        turns: of each engine, back to back.
    """
    differences = {f"{one.preset}: {key}": value for one, (key, value) in _zip(engines, warm_up(engines, media))}
    times, events = back_to_back(engines, media, turns, plan.part_seconds)
    rows = [pipeline_row(engine, times[engine.key], events[engine.key]) for engine in engines]
    for engine in engines if plan.camera_seconds else ():
        if engine.block == 1:  # a tick takes seconds: no camera waits for that
            continue
        with PowerMeter() as meter:
            row = camera_row(engine, media, plan.camera_seconds)
        rows.append({**row, **meter.row(row["n"])})
    return rows, ratio_rows(engines, times), differences


def _zip(engines: Sequence[Engine], found: dict[str, float]) -> list[tuple[Engine, tuple[str, float]]]:
    return [(engine, (engine.key, found[engine.key])) for engine in engines if engine.key in found]


def measure_paper(media: Media, plan: Plan, roofs: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Returns stages, pipelines, ratios, differences and what was left out of the `paper` preset."""
    engines, left_out = paper_engines(media, threads=PAPER_THREADS, bundle_path=plan.paper_bundle, peers=plan.peers)
    if not engines:
        return {"stages": [], "pipelines": [], "ratios": [], "differences": {}, "left_out": left_out}
    found = paper_stages(engines[0].session.bundle, threads=PAPER_THREADS, peers=plan.peers)
    stages = measure(
        found,
        preset="paper",
        threads=PAPER_THREADS,
        rounds=max(3, plan.rounds // 10),
        seconds=plan.part_seconds,
        roofs=roofs[str(PAPER_THREADS)],
    )
    rows, ratios, differences = measure_pipelines(engines, media, plan, turns=max(2, plan.turns // 6))
    return {
        "stages": stages,
        "pipelines": rows,
        "ratios": ratios,
        "differences": differences,
        "left_out": left_out | {f"paper: {name}": why for name, why in found.left_out.items()},
    }


def judge(
    rows: Sequence[dict[str, Any]], ratios: Sequence[dict[str, Any]], process: dict[str, Any]
) -> list[dict[str, Any]]:
    """Returns per bar what is asked, what was measured and whether it holds; None where it was not measured.

    Args:
        rows: of the pipelines; the first of ours in a preset is the shipped arrangement.
        ratios: of `ratio_rows`.
        process: of `measure_process` and `measure_install`.
    """
    ours = [row for row in rows if row["engine"] == OURS and row["mode"] == "back_to_back"]
    edge = next(row for row in ours if row["preset"] == "edge")
    paper = {row["stride"]: row["fps"] for row in ours if row["preset"] == "paper"}
    times = {(row["preset"], row["stride"], row["peer"]): row for row in ratios}
    naive = times.get(("edge", edge["stride"], "torch_naive"), {})
    window = times.get(("edge", edge["stride"], "onnxruntime_window"), {})
    measured = {
        "edge: CPU ms per tick": edge["cpu_ms"],
        "edge: ticks per second": edge["fps"],
        "edge: times torch_naive (CPU)": naive.get("cpu"),
        "edge: times onnxruntime_window (CPU)": window.get("cpu"),
        "import seconds": process["import_seconds"],
        "import of Session, seconds": process["import_session_seconds"],
        "RSS MiB": process["rss_mib"],
        "installed core MB": process["installed_mb"],
        "paper, int8, stride 1: fps": paper.get(1),
        "paper, int8, stride 5: fps": paper.get(5),
        "paper, int8, stride 1: times torch_naive (time)": times.get(("paper", 1, "torch_naive"), {}).get("wall"),
        "paper, int8, stride 5: times torch_naive (time)": times.get(("paper", 5, "torch_naive"), {}).get("wall"),
    }
    found = []
    for name, (kind, bar) in BARS.items():
        value = measured[name]
        met = None if value is None else bool(value >= bar if kind == "least" else value <= bar)
        found.append(
            {"bar": name, "asked": f"{'>=' if kind == 'least' else '<='} {bar:g}", "measured": value, "met": met}
        )
    return found
