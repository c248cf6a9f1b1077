"""`edgeaff doctor` before a real microphone, and its clap-and-flash test on a real stream."""

import json

import pytest

from edgeaff.cli.doctor.av_offset import check_av_offset
from edgeaff.cli.main import main
from tests.media_maker import TRANSPORT_STREAM, clap_and_flash, frame_times, write_clip
from tests.system.test_network_system import sending

pytestmark = [pytest.mark.system, pytest.mark.needs_media]


def test_microphone_of_pulseaudio_is_found_with_its_rates(virtual_microphone, capsys):
    assert main(["doctor", "--json", "--require", "microphone,privacy,engine"]) == 0
    found = [row for row in json.loads(capsys.readouterr().out)["findings"] if row["name"] == "microphone"]
    default = next(row for row in found if row["data"]["is_default"])
    assert default["level"] == "OK" and {16_000, 44_100, 48_000} <= set(default["data"]["accepted_rates_hz"])


def test_offset_of_a_stream_is_measured(tmp_path):
    times = frame_times(25, 8)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=48_000)
    path = write_clip(tmp_path / "clip.ts", frames=frames, times=times, samples=samples, **TRANSPORT_STREAM)
    with sending("tcp", path.read_bytes(), 8.0) as port:
        (finding,) = check_av_offset(f"tcp://127.0.0.1:{port}", None, seconds=6.0)
    assert finding.level == "OK" and finding.data["pairs"] >= 3 and abs(finding.data["offset_ms"]) < 25
