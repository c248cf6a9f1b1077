"""Cost of a process with a Session: time to import, time to the first value, memory; and the size on disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

_IMPORT = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
IMPORTS = {"import_seconds": "import edgeaff", "import_session_seconds": "from edgeaff import Session"}
"""The first loads next to nothing; the second what a program needs, NumPy included."""
_SESSION = "from edgeaff.bench.latency_process import _one_session; _one_session()"
CORE = ("numpy",)
SESSION_TICKS = 90


def measure_process(imports: int = 7) -> dict[str, float]:
    """Returns figures of fresh processes; of importing the median. imports: how often each import is timed."""
    seconds = {name: [float(_run(_IMPORT.format(code))) for _ in range(imports)] for name, code in IMPORTS.items()}
    medians = {name: round(float(np.median(values)), 4) for name, values in seconds.items()}
    return {**medians, **json.loads(_run(_SESSION))}


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def _one_session() -> None:
    """Prints the figures of a process that turns three seconds of images and audio into values, without torch."""
    from edgeaff.bench.latency_media import make_media
    from edgeaff.machine import peak_mib, resident_mib

    media = make_media(3.0)
    without = resident_mib()
    start = time.perf_counter()
    from edgeaff.bench.latency_engines import OURS, WORDS, ours
    from edgeaff.bundle import ModelBundle

    bundle = ModelBundle.load()
    engine = ours(bundle, media, bundle.manifest.detector.stride, WORDS[OURS])
    opened = time.perf_counter() - start
    engine.start(media)
    events = [event for tick in range(SESSION_TICKS) for event in engine.push(media, tick)]
    first = next(index for index, event in enumerate(events) if event.valence is not None)
    figures = {
        "open_seconds": round(opened, 3),
        "first_value_tick": first,
        "rss_mib": round(resident_mib(), 1),
        "rss_peak_mib": round(peak_mib(), 1),
        "rss_before_session_mib": round(without, 1),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def measure_install() -> dict[str, Any]:
    """Returns megabytes (10^6) on disk of edgeaff's own files and of the core's packages with all that they require."""
    import edgeaff

    own = sum(path.stat().st_size for path in Path(edgeaff.__file__).parent.rglob("*") if _counts(path))
    sizes = {"edgeaff": own}
    waiting = list(CORE)
    while waiting:
        name = waiting.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if name not in sizes:
            paths = (Path(str(found.locate_file(file))) for file in found.files or ())
            sizes[name] = sum(path.stat().st_size for path in paths if _counts(path))
            waiting += [_plain(text) for text in found.requires or () if "extra ==" not in text]
    megabytes = {name: round(size / 1e6, 1) for name, size in sizes.items()}
    return {"installed_mb": round(sum(sizes.values()) / 1e6, 1), "installed_parts_mb": megabytes}


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _plain(requirement: str) -> str:
    """Returns the name of a requirement without its version and marker."""
    for index, letter in enumerate(requirement):
        if not (letter.isalnum() or letter in "-_."):
            return requirement[:index].lower()
    return requirement.lower()
