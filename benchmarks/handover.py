"""Cost and effect of a swap between two backends, on the golden sequences of a bundle put one after the other.

python benchmarks/handover.py --json benchmarks/results/handover.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backend_swap import TickPair, transfer_state
from edgeaff.bundle import GOLDEN, ModelBundle
from edgeaff.errors import BackendUnavailableError
from edgeaff.inference import Predictor, load_predictor
from edgeaff.machine import stamp

BACKENDS = ("onnxruntime", "openvino", "native")
SHORT = 100  # ticks: the length of a window, to compare with


def measure(bundle: ModelBundle, *, repeats: int = 5) -> list[dict[str, Any]]:
    """Returns a row per ordered pair of backends and length of history.

    Args:
        bundle: with golden sequences.
        repeats: handovers timed; the median counts.

    Returns:
        before, after, history (ticks), handover_ms, max_abs_difference to the old backend going on alone.
    """
    golden = bundle.arrays(GOLDEN)
    ticks = [
        (video if here[0] > 0.5 else None, audio if here[1] > 0.5 else None)
        for sequence in range(len(golden["present"]))
        for video, audio, here in zip(
            golden["video"][sequence], golden["audio"][sequence], golden["present"][sequence], strict=True
        )
    ]
    predictors = _load(bundle)
    rows = []
    for before, old in predictors.items():
        middle = len(ticks) * 3 // 4
        alone, _ = _run(old, old.initial_state(), ticks)
        for after, new in predictors.items():
            if after == before:
                continue
            for history in (SHORT, old.memory_ticks):
                kept = deque(ticks[:middle], history)
                _, state = _run(old, old.initial_state(), ticks[:middle])
                taken, milliseconds = _time(old, new, state, kept, repeats)
                values, _ = _run(new, taken, ticks[middle:])
                rows.append(
                    {
                        "before": before,
                        "after": after,
                        "history": history,
                        "handover_ms": round(milliseconds, 3),
                        "max_abs_difference": float(np.abs(values - alone[middle:]).max()),
                    }
                )
    return rows


def _load(bundle: ModelBundle) -> dict[str, Predictor]:
    found: dict[str, Predictor] = {}
    for name in BACKENDS:
        try:
            found[name] = load_predictor(bundle, name)
        except BackendUnavailableError:
            continue
    return found


def _time(old: Predictor, new: Predictor, state: Any, kept: deque[TickPair], repeats: int) -> tuple[Any, float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        taken = transfer_state(old, new, state, kept)
        times.append(1e3 * (time.perf_counter() - start))
    return taken, float(np.median(times))


def _run(predictor: Predictor, state: Any, ticks: list[TickPair]) -> tuple[np.ndarray, Any]:
    values = []
    for video, audio in ticks:
        prediction, state = predictor.step(state, video, audio)
        values.append((prediction.valence, prediction.arousal))
    return np.array(values), state


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="default: the one that ships")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(ModelBundle.load(options.bundle))
    for row in rows:
        print(json.dumps(row))
    result = {**stamp(), "rows": rows}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
