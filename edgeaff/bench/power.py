"""Power and clocks as a device reports them: the rails of a Jetson, Intel's and AMD's energy counters where they may be read."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_SECONDS = 0.2


def read_rails(root: Path = Path("/")) -> dict[str, float]:
    """Returns watts by rail: of the INA3221 monitors of a Jetson; empty elsewhere.

    Args:
        root: of the file system.
    """
    rails = {}
    for monitor in sorted(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*")):
        for label in sorted(monitor.glob("in*_label")):
            channel = label.name.removeprefix("in").removesuffix("_label")
            millivolts, milliamperes = (
                _number(monitor / f"in{channel}_input"),
                _number(monitor / f"curr{channel}_input"),
            )
            if millivolts is not None and milliamperes is not None:
                rails[label.read_text(encoding="ascii").strip()] = millivolts * milliamperes / 1e6
    return rails


def read_energy_joules(root: Path = Path("/")) -> float | None:
    """Returns the energy counter of the processor packages (powercap), or None where it may not be read. root: of the file system."""
    values = [_number(path) for path in sorted(root.glob("sys/class/powercap/intel-rapl:?/energy_uj"))]
    known = [value for value in values if value is not None]
    return sum(known) / 1e6 if known else None


def describe_device(root: Path = Path("/")) -> dict[str, Any]:
    """Returns clocks, power mode and temperatures as the device has them now; what it has not is left out. root: of the file system."""
    cpus = [_number(path) for path in sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    found: dict[str, Any] = {"cpu_mhz": [round(value / 1e3) for value in cpus if value is not None]}
    for path in sorted(root.glob("sys/class/devfreq/*gpu*/cur_freq")) + sorted(
        root.glob("sys/class/devfreq/*.ga10b/cur_freq")
    ):
        found["gpu_mhz"] = round((_number(path) or 0) / 1e6)
    model, mode = root / "proc/device-tree/model", root / "var/lib/nvpmodel/status"
    for name, path in (("model", model), ("nvpmodel", mode)):
        if path.is_file():
            found[name] = path.read_text(encoding="utf-8").strip("\0\n ")
    zones = {path.parent: _number(path) for path in sorted(root.glob("sys/class/thermal/thermal_zone*/temp"))}
    named = {
        (zone / "type").read_text(encoding="utf-8").strip(): value / 1e3
        for zone, value in zones.items()
        if value is not None
    }
    return {name: value for name, value in {**found, "celsius": named, "rails_w": read_rails(root)}.items() if value}


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


class PowerMeter:
    """Reads rails and energy counter while something runs. A context manager; `row` then returns the consumption.

    Args:
        root: of the file system.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._samples: list[dict[str, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="power", daemon=True)
        self._energy: float | None = None
        self._seconds = 0.0

    def __enter__(self) -> PowerMeter:
        self._start, self._before = time.perf_counter(), read_energy_joules(self._root)
        if read_rails(self._root):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        after = read_energy_joules(self._root)
        self._seconds = time.perf_counter() - self._start
        if after is not None and self._before is not None and after >= self._before:
            self._energy = after - self._before

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._samples.append(read_rails(self._root))

    def row(self, values: int) -> dict[str, Any]:
        """Returns mean watts by rail and joules per value; empty if the device reports none. values: number of predictions in that time."""
        if self._samples:
            seen = {name: [sample[name] for sample in self._samples if name in sample] for name in self._samples[0]}
            watts = {
                name: round(float(np.mean(values)), 3) for name, values in seen.items()
            }  # a rail may be silent for a moment
            return {
                "rails_w": watts,
                "joules_per_value": round(max(watts.values()) * self._seconds / max(values, 1), 5),
            }
        return {} if self._energy is None else {"joules_per_value": round(self._energy / max(values, 1), 5)}
