"""Rails, clocks and energy counters as a Jetson and an x86 machine show them, from made-up trees."""

import numpy as np
import pytest

from edgeaff.bench.power import PowerMeter, describe_device, read_energy_joules, read_rails


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def jetson(tmp_path):
    """A file system as Orin's JetPack 6 has it."""
    monitor = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    for channel, (name, millivolts, milliamperes) in enumerate(
        (("VDD_IN", 5000, 1200), ("VDD_CPU_GPU_CV", 5000, 400)), 1
    ):
        write(monitor / f"in{channel}_label", f"{name}\n")
        write(monitor / f"in{channel}_input", f"{millivolts}\n")
        write(monitor / f"curr{channel}_input", f"{milliamperes}\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1510400\n")
    write(tmp_path / "sys/class/devfreq/17000000.gpu/cur_freq", "624750000\n")
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", "48250\n")
    write(tmp_path / "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    write(tmp_path / "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    write(tmp_path / "var/lib/nvpmodel/status", "pmode:0001\n")
    return tmp_path


def test_rails_and_clocks_of_a_jetson_are_read(jetson):
    assert read_rails(jetson) == {"VDD_IN": 6.0, "VDD_CPU_GPU_CV": 2.0}
    assert describe_device(jetson) == {
        "cpu_mhz": [1510],
        "gpu_mhz": 625,
        "model": "NVIDIA Jetson Orin Nano Developer Kit",
        "nvpmodel": "pmode:0001",
        "celsius": {"cpu-thermal": 48.25},
        "rails_w": {"VDD_IN": 6.0, "VDD_CPU_GPU_CV": 2.0},
    }


def test_a_device_that_states_nothing_is_no_fault(tmp_path):
    assert describe_device(tmp_path) == {} and read_rails(tmp_path) == {} and read_energy_joules(tmp_path) is None
    with PowerMeter(tmp_path) as meter:
        pass
    assert meter.row(10) == {}


def test_a_meter_gives_watts_by_rail_and_joules_per_value(jetson, monkeypatch):
    monkeypatch.setattr("edgeaff.bench.power.SAMPLE_SECONDS", 0.01)
    with PowerMeter(jetson) as meter:
        meter._thread.join(0.1)
    row = meter.row(2)
    assert row["rails_w"] == {"VDD_IN": 6.0, "VDD_CPU_GPU_CV": 2.0}
    np.testing.assert_allclose(row["joules_per_value"], 6.0 * meter._seconds / 2, rtol=1e-3, atol=1e-5)


def test_a_meter_reads_the_energy_counter_of_an_x86(tmp_path):
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    write(counter, "1000000\n")
    with PowerMeter(tmp_path) as meter:
        write(counter, "4000000\n")
    assert meter.row(30) == {"joules_per_value": 0.1}


def test_a_waterfall_is_drawn(tmp_path):
    from edgeaff.bench.latency_waterfall import draw_waterfall

    spans = [
        {"name": "tick", "depth": 0, "start_ms": 0.0, "end_ms": 2.0},
        {"name": "crop", "depth": 1, "start_ms": 0.5, "end_ms": 0.6},
    ]
    draw_waterfall(spans, tmp_path / "w.png", "One tick")
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
