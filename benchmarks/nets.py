"""The face networks beside ONNX Runtime and OpenVINO: `OMP_NUM_THREADS=1 python benchmarks/nets.py [--json FILE] [--rounds N]`.

Everything runs on one core, competitors in turns, with CPU time. The roof is a loop of nothing but the int8 products of the instruction
set (`edgeaff.ops.face_nets.product_roof`), in the same turns; a share of the roof is multiply-adds per second over it, round by round.
Bytes of all quantized tensors and outputs are compared between the instruction sets of this processor first. Under two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.backends.face import load_face_graph
from edgeaff.backends.native_face import FACE_NETS
from edgeaff.bench.interleave import Timing, interleave, ratio
from edgeaff.bench.latency_media import FPS, Media, make_media
from edgeaff.bench.latency_process import measure_install
from edgeaff.bundle import ModelBundle
from edgeaff.detection.boxes import fit_letterbox
from edgeaff.detection.ssd import place_planes
from edgeaff.features.face import FaceEncoder, normalize
from edgeaff.machine import load_average, stamp
from edgeaff.ops import set_instruction_set
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.ops.face_nets import (
    CONVOLUTION,
    GROUP,
    IMAGE,
    IMAGE_TAPS,
    MAP,
    STEP_COLUMNS,
    FaceNet,
    net_arrays,
    product_roof,
)
from edgeaff.session import Session

CANVAS = (256, 320)  # rows, columns of the detector's input for 640 x 480
LOOK = (96, 96)
CROP = (200.0, 85.0, 410.0, 340.0)
ROOF_REPEATS = 6000
INSTRUCTION_SETS = ("scalar", "neon", "neondot", "avx2", "avx512")
BARS = {
    "detector_vs_ort": 1.45,
    "encoder_vs_ort": 1.5,
    "tick_vs_ort": 1.45,
    "detector_of_roof": 0.8,
    "encoder_of_roof": 0.92,
}
LIMITS = {"rss_session_mib": 52.0, "installed_mb": 68.0, "bytes_differing": 0}
_PROCESS = """
import json, time
start = time.perf_counter()
import numpy as np
numpy_seconds = time.perf_counter() - start
from edgeaff import Session
import_seconds = time.perf_counter() - start - numpy_seconds
start = time.perf_counter()
session = Session()
open_seconds = time.perf_counter() - start
image, samples = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8), np.zeros(533, np.int16)
for tick in range(90):
    session.push_audio(samples, pts_ns=tick * 10**9 // 30, sample_rate_hz=16000)
    session.push_frame(image, pts_ns=tick * 10**9 // 30)
from edgeaff.machine import resident_mib
print(json.dumps([numpy_seconds, import_seconds, open_seconds, resident_mib()]))
"""


def count_macs(arrays: dict[str, np.ndarray], height: int, width: int) -> list[int]:
    """Returns the multiply-adds of each step as the graph has them: 27 taps in the image layer, 15 outputs of a map."""
    tensors, counts = arrays["tensors"], []
    for row in arrays["steps"]:
        step = dict(zip(STEP_COLUMNS, map(int, row), strict=True))
        divisor, inputs, _ = tensors[step["input"]] if step["input"] >= 0 else (1, 0, 0)
        if step["kind"] == IMAGE:
            count = IMAGE_TAPS * GROUP * (height // 2) * (width // 2)
        elif step["kind"] == CONVOLUTION:
            scale, outputs, _ = tensors[step["output"]]
            count = step["kernel"] ** 2 * inputs * outputs * (height // scale) * (width // scale)
        else:
            count = 15 * inputs * (height // divisor) * (width // divisor) if step["kind"] == MAP else 0
        counts.append(int(count))
    return counts


def inputs_of(media: Media) -> tuple[np.ndarray, np.ndarray]:
    """Returns a letterboxed image (1, 3, 256, 320) and a crop (96, 96, 3), both uint8."""
    image = media.images[7]
    canvas = place_planes(image, fit_letterbox(image.shape[1], image.shape[0], long_side=CANVAS[1], multiple=32))
    return np.ascontiguousarray(canvas), crop_resize(image, CROP, width=96, height=96)


def measure_nets(bundle: ModelBundle, media: Media, rounds: int) -> dict[str, Any]:
    """Returns times of both networks and of a second look on every engine, ratios, and shares of the roof."""
    canvas, crop = inputs_of(media)
    look, face = np.ascontiguousarray(canvas[:, :, 80:176, 100:196]), {"face": normalize(crop)[None]}
    detector = load_face_graph(bundle, "face_detector", backend="native")
    encoder = FaceEncoder(load_face_graph(bundle, "face_encoder", backend="native"), bundle.spec)
    calls: dict[str, Callable[[], Any]] = {
        "roof": lambda: product_roof(ROOF_REPEATS),
        "native detector": lambda: detector.run({"image": canvas}),
        "native look": lambda: detector.run({"image": look}),
        "native encoder": lambda: encoder.encode_crops((crop,)),
    }
    for engine in ("onnxruntime", *(("openvino",) if find_spec("openvino") else ())):
        calls |= _calls_of(engine, bundle, canvas, look, crop, face)
    times = interleave(calls, rounds=rounds, calls=3)
    roof = product_roof(1)[0] * ROOF_REPEATS / times["roof"].cpu_us / 1e3  # GMAC/s, per round
    macs = {
        name: sum(count_macs(net_arrays(bundle.arrays(FACE_NETS), net), *size))
        for name, net, size in (
            ("detector", "detector", CANVAS),
            ("encoder", "encoder", LOOK),
            ("look", "detector", LOOK),
        )
    }
    rows = []
    for name, timing in times.items():
        if name == "roof":
            continue
        engine, network = name.split(" ", 1)
        share = macs[network.split()[0]] / timing.cpu_us / 1e3 / roof
        rows.append(
            {"engine": engine, "network": network, **timing.row(), "of_roof": round(float(np.median(share)), 3)}
        )
    return {
        "rows": rows,
        "macs": macs,
        "roof_gmac_per_s": {product_roof(1)[1]: round(float(np.median(roof)), 1)},
        "ratios": _ratios(times)
        | {
            f"{net}_of_roof": row["of_roof"]
            for row in rows
            for net in ("detector", "encoder")
            if (row["engine"], row["network"]) == ("native", net)
        },
    }


def _calls_of(
    engine: str,
    bundle: ModelBundle,
    canvas: np.ndarray,
    look: np.ndarray,
    crop: np.ndarray,
    face: dict[str, np.ndarray],
) -> dict[str, Callable[[], Any]]:
    detector, encoder = (
        load_graph(bundle.graph_bytes(role), backend=engine) for role in ("face_detector", "face_encoder")
    )
    return {
        f"{engine} detector": lambda: detector.run({"image": canvas}),
        f"{engine} look": lambda: detector.run({"image": look}),
        f"{engine} encoder": lambda: encoder.run(face),
        f"{engine} encoder with normalization": lambda: encoder.run({"face": normalize(crop)[None]}),
    }


def _ratios(times: dict[str, Timing]) -> dict[str, float]:
    found = {}
    for engine, short in (("onnxruntime", "ort"), ("openvino", "openvino")):
        for network in ("detector", "encoder", "look"):
            if f"{engine} {network}" in times:
                found[f"{network}_vs_{short}"] = ratio(times[f"{engine} {network}"], times[f"native {network}"])
    return found


def measure_layers(bundle: ModelBundle, media: Media, repeats: int = 60) -> list[dict[str, Any]]:
    """Returns a row per step: least microseconds here and in ONNX Runtime, whose nodes up to the next convolution are added up."""
    from edgeaff.export.pack_net import NetPacker

    canvas, crop = inputs_of(media)
    rows = []
    for net, role, size, image, feed in (
        ("detector", "face_detector", CANVAS, canvas, {"image": canvas}),
        ("encoder", "face_encoder", LOOK, crop, {"face": normalize(crop)[None]}),
    ):
        arrays, model = net_arrays(bundle.arrays(FACE_NETS), net), bundle.graph_bytes(role)
        packer = NetPacker(model)
        packer.pack()
        theirs = _onnxruntime_layers(model, feed, set(packer.layers), repeats)
        ours = _step_times(FaceNet(arrays, strips=False), np.ascontiguousarray(image), size, repeats)
        for index, (name, macs) in enumerate(zip(packer.layers, count_macs(arrays, *size), strict=True)):
            step = dict(zip(STEP_COLUMNS, map(int, arrays["steps"][index]), strict=True))
            rows.append(
                {
                    "network": net,
                    "layer": name,
                    "kernel": step["kernel"],
                    "stride": step["stride"],
                    "with_sum": step["second"] >= 0,
                    "mmac": round(macs / 1e6, 3),
                    "native_us": round(ours[index], 2),
                    "gmac_per_s": round(macs / ours[index] / 1e3, 1),
                    "onnxruntime_us": round(theirs[name], 1) if name in theirs else None,
                }
            )
    return rows


def _step_times(net: FaceNet, image: np.ndarray, size: tuple[int, int], repeats: int) -> list[float]:
    """Returns the least microseconds of each step, without those of a call that runs none."""
    best = [np.inf] * (net.steps + 1)
    for _ in range(repeats):
        for index in range(net.steps + 1):
            last = min(index + 1, net.steps)  # the last round runs nothing
            best[index] = min(
                best[index], net.time_steps(image, height=size[0], width=size[1], first=min(index, last), last=last)
            )
    return [max(one - best[-1], 1e-2) for one in best[:-1]]


def _onnxruntime_layers(model: bytes, feed: dict[str, np.ndarray], layers: set[str], repeats: int) -> dict[str, float]:
    from edgeaff.backends.engines import import_onnxruntime, session_options

    with tempfile.TemporaryDirectory() as folder:
        options = session_options()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = import_onnxruntime().InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(repeats):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, list[int]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event["dur"])
    found: dict[str, float] = {}
    current, waiting = None, 0.0
    for name, values in times.items():
        plain = name.split("_token")[0].removesuffix("_nchwc")
        current = plain if plain in layers else current
        if current is None:
            waiting += min(values)  # before the first convolution
            continue
        found[current] = found.get(current, 0.0) + min(values) + waiting
        waiting = 0.0
    return found


def count_bytes(bundle: ModelBundle, media: Media) -> dict[str, Any]:
    """Returns the number of bytes of tensors and outputs compared between instruction sets, and of those that differ."""
    arrays = bundle.arrays(FACE_NETS)
    rng = np.random.default_rng(0)
    canvas, _ = inputs_of(media)
    images = [canvas[0], rng.integers(0, 256, (3, *CANVAS), dtype=np.uint8), np.full((3, *CANVAS), 255, np.uint8)]
    images += [np.roll(canvas[0], 13 * index, axis=2) for index in range(1, 4)]
    crops = [crop_resize(one, CROP, width=96, height=96) for one in media.images[::4]] + [
        rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    ]
    names: dict[str, str] = {}
    expected: list[bytes] | None = None
    compared = differing = 0
    for limit in INSTRUCTION_SETS:
        set_instruction_set(limit)
        made: list[bytes] = []
        for net, inputs, size in (("detector", images, CANVAS), ("encoder", crops, LOOK)):
            network = FaceNet(net_arrays(arrays, net), strips=False)
            if network.instruction_set in names.values():
                break
            for image in inputs:
                image = np.ascontiguousarray(image)
                written = network.run_steps(image, height=size[0], width=size[1])
                made += [tensor.tobytes() for step in written for tensor in step.values()]
                made += [output.tobytes() for output in network.run(image, height=size[0], width=size[1])]
        if not made:
            continue
        names[limit] = network.instruction_set
        if expected is None:
            expected = made
            continue
        for one, other in zip(expected, made, strict=True):
            compared += len(one)
            differing += int((np.frombuffer(one, np.uint8) != np.frombuffer(other, np.uint8)).sum())
    set_instruction_set("best")
    return {"instruction_sets": list(names.values()), "bytes_compared": compared, "bytes_differing": differing}


def measure_roofs(repeats: int = 40) -> dict[str, float]:
    """Returns the best GMAC/s of bare products of every instruction set that this processor has."""
    found: dict[str, float] = {}
    for limit in INSTRUCTION_SETS:
        set_instruction_set(limit)
        for _ in range(repeats):
            start = time.process_time_ns()
            count, name = product_roof(ROOF_REPEATS)
            found[name] = max(found.get(name, 0.0), round(count / max(time.process_time_ns() - start, 1), 1))
    set_instruction_set("best")
    return found


def measure_tick(bundle: ModelBundle, media: Media, rounds: int, ticks: int = 15) -> dict[str, Any]:
    """Returns microseconds of CPU per tick of whole sessions, native and on ONNX Runtime, in turns."""
    sessions = {name: _Driven(Session(bundle, backend=name), media) for name in ("native", "onnxruntime")}
    for one in sessions.values():
        one.push(2 * ticks)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds):
        for name, one in sessions.items():
            start = time.process_time_ns()
            one.push(ticks)
            times[name].append((time.process_time_ns() - start) / ticks / 1e3)
    ours, theirs = (np.array(times[name]) for name in ("native", "onnxruntime"))
    rows = {
        name: {"cpu_min_us": round(min(values), 1), "cpu_p50_us": round(float(np.median(values)), 1)}
        for name, values in times.items()
    }
    return {"tick": rows, "tick_vs_ort": round(float(np.median(theirs / ours)), 3)}


class _Driven:
    """A session and where its clock stands."""

    def __init__(self, session: Session, media: Media) -> None:
        self._session, self._media, self._tick = session, media, 0

    def push(self, ticks: int) -> None:
        """Pushes the frames and samples of this many ticks."""
        for _ in range(ticks):
            now = self._tick * 1_000_000_000 // FPS
            self._session.push_audio(self._media.audio(self._tick), pts_ns=now, sample_rate_hz=16_000)
            self._session.push_frame(self._media.image(self._tick), pts_ns=now)
            self._tick += 1


def measure_process(repeats: int = 5) -> dict[str, float]:
    """Returns seconds and MiB of fresh processes with a Session alone, which holds one image and no more; the least of each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    rows = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", _PROCESS], capture_output=True, text=True, check=True, env=environment
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    numpy_seconds, import_seconds, open_seconds, rss = np.array(rows).min(0)
    return {
        "import_numpy_seconds": round(float(numpy_seconds), 4),
        "import_session_beyond_numpy_seconds": round(float(import_seconds), 4),
        "open_seconds": round(float(open_seconds), 4),
        "rss_session_mib": round(float(rss), 1),
    }


def measure(rounds: int) -> dict[str, Any]:
    """Returns everything that is written."""
    bundle, media = ModelBundle.load(), make_media(5.0)
    bytes_of = count_bytes(bundle, media)
    nets = measure_nets(bundle, media, rounds)
    tick = measure_tick(bundle, media, rounds)
    ratios = nets.pop("ratios") | {"tick_vs_ort": tick.pop("tick_vs_ort")}
    return {
        "ratios": ratios,
        **bytes_of,
        **measure_process(),
        **measure_install(),
        **nets,
        "roofs_gmac_per_s": measure_roofs(),
        **tick,
        "layers": measure_layers(bundle, media),
        "bars": BARS,
        "limits": LIMITS,
        "rounds": rounds,
        "load_average_after": load_average(),
    }


def main() -> None:
    """Prints what was measured, and writes the JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="of each comparison (default 60)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = stamp()
    result = measure(options.rounds)
    for row in result["rows"]:
        print(
            f"{row['engine']:12s} {row['network']:28s} CPU min {row['cpu_min_us']:8.1f} us  p50 {row['cpu_p50_us']:8.1f} us  "
            f"{100 * row['of_roof']:5.1f} % of the roof"
        )
    for name, value in result["ratios"].items():
        bar = f" (bar {BARS[name]}: {'met' if value >= BARS[name] else 'MISSED'})" if name in BARS else ""
        print(f"{name}: {value}{bar}")
    for name, limit in LIMITS.items():
        print(f"{name}: {result[name]} (at most {limit:g}: {'met' if result[name] <= limit else 'MISSED'})")
    print(f"{result['bytes_compared']} bytes compared between {', '.join(result['instruction_sets'])}")
    if options.json:
        options.json.write_text(json.dumps({**started, **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
