"""Makes media files for tests: any frame times, any sample rate, any offset between frame and audio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from edgeaff.types import AudioChunk, VideoFrame

VIDEO_TIME_BASE = Fraction(1, 90_000)  # 7.5, 24, 25, 29.97, 30 and 60 fps are whole ticks of it

TRANSPORT_STREAM = {
    "video_codec": "mpeg2video",
    "pix_fmt": "yuv420p",
    "time_base": Fraction(1, 25),
    "audio_codec": "mp2",
}


def frame_times(fps: float | Fraction, seconds: float) -> list[Fraction]:
    """The times of a constant frame rate; 29.97 means 30000/1001."""
    rate = Fraction(30000, 1001) if fps == 29.97 else Fraction(fps).limit_denominator(1001)
    return [Fraction(index) / rate for index in range(int(seconds * rate))]


def variable_frame_times(seconds: float, *, seed: int = 0) -> list[Fraction]:
    """Irregular times, on the time base of `write_clip`: gaps of 10 to 90 ms."""
    random = np.random.default_rng(seed)
    times, now = [], 0
    while now < seconds * 90_000:
        times.append(Fraction(now, 90_000))
        now += int(random.integers(900, 8_100))
    return times


def write_clip(
    path: Path,
    *,
    frames: Iterable[np.ndarray] = (),
    times: Sequence[float | Fraction] = (),
    samples: np.ndarray | None = None,
    sample_rate_hz: int = 48_000,
    video_start_seconds: float = 0.0,
    audio_start_seconds: float = 0.0,
    video_codec: str = "mjpeg",
    pix_fmt: str = "yuvj444p",
    audio_codec: str = "pcm_s16le",
    layout: str | None = None,
    colorspace: int | None = None,
    time_base: Fraction = VIDEO_TIME_BASE,
    audio_first: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a file; its suffix picks the container (mov, mkv, avi, ts, mp4, wav, gif, ...).

    Args:
        path: what to write.
        frames: images, (H, W, 3) uint8 RGB, as many as times.
        times: when each is shown, in seconds, rising; on 1/90000 s.
        samples: (n,) or (C, n) float32 in [-1, 1], or None for no audio.
        sample_rate_hz: rate of samples.
        video_start_seconds: added to all times of the frame.
        audio_start_seconds: added to all times of the audio.
        video_codec: a codec of FFmpeg; mjpeg and ffv1 have no delay and no limit on times.
        pix_fmt: pixel format of the codec.
        audio_codec: a codec of FFmpeg.
        layout: channel layout; default mono or stereo by the shape of samples.
        colorspace: AVColorSpace to convert to and to declare (1 = BT.709), default BT.601 undeclared.
        time_base: of the frame; MPEG codecs want one over the frame rate.
        audio_first: hand all audio to the muxer before the first frame.
        options: options of the muxer.
    """
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        images = _frames(frames, times, video_start_seconds, colorspace, pix_fmt, time_base)
        first = next(images, None)
        video = audio = None
        chunks = iter(())
        if first is not None:
            video = _video_stream(container, video_codec, first, pix_fmt, time_base, colorspace)
        if samples is not None:
            channels = np.atleast_2d(samples)
            layout = layout or {1: "mono", 2: "stereo"}[len(channels)]
            audio = container.add_stream(audio_codec, rate=sample_rate_hz, layout=layout)
            chunks = _chunks(channels, sample_rate_hz, audio_start_seconds, audio, layout)
        if audio_first:
            _mux_audio(container, audio, chunks)
        if first is not None:
            for frame in (first, *images):
                _mux_audio(container, audio, chunks, until=frame.time)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None:
            _mux_audio(container, audio, chunks)
            container.mux(audio.encode(None))
    return path


def _video_stream(container, codec, frame, pix_fmt, time_base, colorspace):
    video = container.add_stream(codec, rate=min(round(1 / time_base), 1000))
    video.width, video.height, video.pix_fmt = frame.width, frame.height, pix_fmt
    video.codec_context.time_base = video.time_base = time_base
    if codec == "mjpeg":
        video.codec_context.options = {"qmin": "1", "qmax": "1"}
    if colorspace is not None:
        video.codec_context.colorspace = colorspace
    return video


def _mux_audio(container, audio, chunks, until=None):
    """Hands over chunks up to the first that begins later than `until`, that one too; None = all."""
    for chunk in chunks:
        container.mux(audio.encode(chunk))
        if until is not None and chunk.time > until:
            break


def _frames(frames, times, start, colorspace, pix_fmt, time_base):
    import av

    for image, time in zip(frames, times, strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        if colorspace is not None:
            frame = frame.reformat(format=pix_fmt, dst_colorspace=colorspace)
        frame.pts = round((Fraction(time) + Fraction(start).limit_denominator(90_000)) / time_base)
        frame.time_base = time_base
        yield frame


def _chunks(channels, rate, start, stream, layout):
    import av

    format_name = stream.codec_context.format.name
    scale = {"u8": 127, "s16": 32767, "s32": 2**31 - 1}.get(format_name.rstrip("p"))
    dtype = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}
    step = stream.codec_context.frame_size or rate // 50
    offset = 128 if format_name.startswith("u8") else 0
    for first in range(0, channels.shape[1], step):
        part = channels[:, first : first + step].astype(np.float64)
        if scale is not None:
            part = np.round(part * scale) + offset
        part = part.astype(dtype[format_name.rstrip("p")])
        planes = part if format_name.endswith("p") else part.T.reshape(1, -1)
        chunk = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format=format_name, layout=layout)
        chunk.sample_rate, chunk.time_base = rate, Fraction(1, rate)
        chunk.pts = first + round(start * rate)
        yield chunk


def clap_and_flash(
    times: Sequence[float | Fraction],
    *,
    sample_rate_hz: int,
    period_seconds: float = 1.0,
    frame: np.ndarray | None = None,
    audio_start_seconds: float = 0.0,
    video_start_seconds: float = 0.0,
) -> tuple[list[np.ndarray], np.ndarray, list[float]]:
    """A white frame and a 5 ms burst of noise at the same instants, about once a period.

    Args:
        times: when the images are shown.
        sample_rate_hz: rate of the audio.
        period_seconds: between two claps.
        frame: (H, W, 3) uint8 shown between the flashes, default 48 x 64 black.
        audio_start_seconds: what `write_clip` will add to the audio; the claps still meet their flashes.
        video_start_seconds: what `write_clip` will add to the frame.

    Returns:
        Frames, samples (n,) float32 (quiet noise between the claps), and the times of the claps on the file's timeline.
    """
    random = np.random.default_rng(1)
    dark = np.zeros((48, 64, 3), np.uint8) if frame is None else frame
    bright = np.full_like(dark, 255)
    shown = [float(time) + video_start_seconds for time in times]
    end = shown[-1] + 0.5
    samples = 1e-4 * random.standard_normal(int((end - audio_start_seconds) * sample_rate_hz))
    frames, claps = [dark] * len(shown), []
    due = max(audio_start_seconds, shown[0]) + period_seconds / 2
    for index, time in enumerate(shown):
        if time >= due:
            frames[index] = bright
            first = round((time - audio_start_seconds) * sample_rate_hz)
            burst = random.uniform(-0.9, 0.9, sample_rate_hz // 200)
            samples[first : first + burst.size] = burst[: samples.size - first]
            claps.append(time)
            due += period_seconds
    return frames, samples.astype(np.float32), claps


def note_clap_or_flash(unit: VideoFrame | AudioChunk, flashes: list[int], claps: list[float]) -> None:
    """Appends the time of a bright frame, or of a loud sample well after the last one, to its list."""
    if isinstance(unit, VideoFrame) and unit.image.mean() > 128:
        flashes.append(unit.pts_ns)
    elif isinstance(unit, AudioChunk):
        loud = np.flatnonzero(np.abs(unit.samples.astype(float)) > 0.05 * 32_768)
        if loud.size and (not claps or unit.pts_ns > claps[-1] + 3e8):
            claps.append(unit.pts_ns + loud[0] / unit.sample_rate_hz * 1e9)
