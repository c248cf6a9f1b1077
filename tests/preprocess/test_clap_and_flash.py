"""Image and audio meet on one clock: a clap and a flash at the same instant, at many frame rates, sample rates and offsets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edgeaff.lld_names import NAMES
from edgeaff.types import VideoFrame

from ..media_maker import frame_times, variable_frame_times, write_clip
from .fakes import make

RMS = NAMES.index("pcm_RMSenergy_sma")
EVENT_SECONDS, LENGTH_SECONDS = 2.0, 4.0
pytestmark = pytest.mark.needs_media


def clap(rate: int, at_seconds: float) -> np.ndarray:
    """Noise with a 20 ms burst centered at an instant, (n,) float32."""
    time = np.arange(int(LENGTH_SECONDS * rate)) / rate
    noise = np.random.default_rng(1).normal(0, 1, len(time))
    return (noise * (0.003 + 0.3 * (np.abs(time - at_seconds) < 0.01))).astype(np.float32)


def write_clap_and_flash(
    path: Path, times: list[Fraction], rate: int, *, audio_start: float = 0.0, video_start: float = 0.0
) -> Path:
    """The flash is on the frame nearest to 2 s of the common clock, the clap at that frame's own time."""
    shown = [float(time) + video_start for time in times]
    flash = int(np.argmin([abs(time - EVENT_SECONDS) for time in shown]))
    frames = (np.full((32, 32, 3), 255 if index == flash else 40, np.uint8) for index in range(len(times)))
    return write_clip(
        path,
        frames=frames,
        times=times,
        samples=clap(rate, shown[flash] - audio_start),
        sample_rate_hz=rate,
        audio_start_seconds=audio_start,
        video_start_seconds=video_start,
    )


def peaks(path: Path) -> tuple[int, int, float]:
    """Returns the tick that took the brightest frame, the tick with the loudest LLD step, and the audio lag in ticks."""
    from edgeaff.capture.media_file import MediaFile

    pre = make()
    ticks = []
    with MediaFile(path) as media:
        for unit in media:
            if isinstance(unit, VideoFrame):
                ticks += pre.push_frame(unit.image, pts_ns=unit.pts_ns)
            else:
                ticks += pre.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
    ticks += pre.finish()
    bright = [float(tick.faces[0].descriptor[0]) if tick.faces else 0.0 for tick in ticks]
    loud = [float(tick.lld[RMS]) if tick.lld is not None else 0.0 for tick in ticks]
    assert max(bright) > 200 and max(loud) > 0.05
    return ticks[int(np.argmax(bright))].tick, ticks[int(np.argmax(loud))].tick, pre.spec.audio_lag_seconds * 30


@pytest.mark.parametrize("fps", [7.5, 24, 25, 29.97, 30, 60])
def test_clap_meets_flash_at_every_frame_rate(tmp_path: Path, fps: float) -> None:
    flash, audio, lag = peaks(write_clap_and_flash(tmp_path / "a.mov", frame_times(fps, LENGTH_SECONDS), 48_000))
    assert abs(audio - flash - lag) <= 1


def test_clap_meets_flash_at_a_variable_frame_rate(tmp_path: Path) -> None:
    flash, audio, lag = peaks(write_clap_and_flash(tmp_path / "a.mov", variable_frame_times(LENGTH_SECONDS), 48_000))
    assert abs(audio - flash - lag) <= 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_clap_meets_flash_at_every_sample_rate(tmp_path: Path, rate: int) -> None:
    flash, audio, lag = peaks(write_clap_and_flash(tmp_path / "a.mov", frame_times(25, LENGTH_SECONDS), rate))
    assert abs(audio - flash - lag) <= 1


@pytest.mark.parametrize("offsets", [{"audio_start": 0.5}, {"video_start": 0.5}])
def test_clap_meets_flash_with_half_a_second_between_the_streams(tmp_path: Path, offsets: dict[str, float]) -> None:
    flash, audio, lag = peaks(
        write_clap_and_flash(tmp_path / "a.mov", frame_times(30, LENGTH_SECONDS), 44_100, **offsets)
    )
    assert abs(audio - flash - lag) <= 1
