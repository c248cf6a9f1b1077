"""Microphones through PortAudio (sounddevice), opened at their native rate."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import importlib.util
import queue
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeaff.capture.clocks import SampleClock
from edgeaff.capture.live import LiveSource
from edgeaff.errors import BackendUnavailableError, DeviceError
from edgeaff.naming import public_name
from edgeaff.spec import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, check_rate
from edgeaff.types import AudioChunk

_OTHER_RATES_HZ = (48_000, 44_100, 32_000, 16_000, 8_000)
_BLOCK_SECONDS = 0.01
_POLL_SECONDS = 0.1
_PORTAUDIO_LINUX = "libportaudio.so.2"


class Microphone(LiveSource):
    """Audio of a microphone: int16 mono at the native rate, on the monotonic clock; lost samples show as gaps.

    Time counts samples, steered to the arrival of the blocks (`SampleClock`), minus `latency_seconds`. If the
    driver lost samples, the next chunk starts later, which is an explicit gap.
    """

    has_audio = True

    def __init__(
        self,
        device: str = "default",
        *,
        sample_rate_hz: int | None = None,
        latency_seconds: float = 0.0,
        portaudio: Any = None,
        **live: Any,
    ) -> None:
        """Prepares the microphone; entering it opens the device.

        Args:
            device: "default", a number, or a part of the device's name in any case.
            sample_rate_hz: rate to try first; None for the device's own.
            latency_seconds: constant delay of the device, as `edgeaff doctor` measures it with clap and flash.
            portaudio: the module sounddevice, or an object with its query_devices, InputStream and PortAudioError.
            live: options of LiveSource.

        Raises:
            ArgumentError: the rate is out of range.

        Without `portaudio`, sounddevice and the PortAudio library must be installed; otherwise raises BackendUnavailableError.
        """
        super().__init__(f"mic:{device}", **live)
        self.device = device
        self.sample_rate_hz: int | None = (
            None if sample_rate_hz is None else check_rate("sample_rate_hz", sample_rate_hz)
        )
        self._latency_ns = int(latency_seconds * 1e9)
        self._portaudio = portaudio if portaudio is not None else import_audiodevice()
        self._asked_rate = self.sample_rate_hz
        self._sample_clock: SampleClock | None = None
        self._counts.update(audio_overflows=0, audio_gaps=0)
        self._opened_before = False

    @property
    def skew_ppm(self) -> float:
        """Returns the skew in parts per million: how much slower the device's clock runs than the monotonic clock."""
        return 0.0 if self._sample_clock is None else self._sample_clock.skew_ppm

    def _open(self) -> tuple[Any, queue.SimpleQueue[tuple[np.ndarray, int, bool]]]:
        if self._opened_before and portaudio_can_rescan(self._portaudio):
            rescan(self._portaudio)
        index, info = self._find()
        blocks: queue.SimpleQueue[tuple[np.ndarray, int, bool]] = queue.SimpleQueue()

        def arrived(samples: np.ndarray, frames: int, times: Any, status: Any) -> None:
            blocks.put((samples.copy(), self._clock(), bool(status.input_overflow)))

        stream = self._open_stream(index, info, arrived)
        self._opened_before = True
        self._sample_clock = SampleClock(self.sample_rate_hz or 0)
        return stream, blocks

    def _find(self) -> tuple[int | None, dict[str, Any]]:
        """Returns the index (None for the default) and the description of the device.

        Raises:
            DeviceError: there is none of that name.
        """
        sd = self._portaudio
        try:
            if self.device == "default":
                return None, sd.query_devices(None, "input")
            inputs = [dict(info, index=i) for i, info in enumerate(sd.query_devices()) if info["max_input_channels"]]
        except (sd.PortAudioError, ValueError) as error:
            raise DeviceError(f"{self.name} must be there, got no microphone at all ({error}); plug one in.") from error
        for info in inputs:
            if self.device == str(info["index"]) or self.device.lower() in info["name"].lower():
                return info["index"], info
        names = ", ".join(repr(info["name"]) for info in inputs) or "none"
        raise DeviceError(
            f"{self.name} must be part of a microphone's name, got {public_name(self.device)!r} (found: {names})."
        )

    def _open_stream(self, index: int | None, info: dict[str, Any], callback: Any) -> Any:
        sd = self._portaudio
        wanted = (self._asked_rate or 0, int(info["default_samplerate"]), *_OTHER_RATES_HZ)
        rates = dict.fromkeys(rate for rate in wanted if LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ)
        channels = dict.fromkeys((1, min(2, int(info["max_input_channels"])), int(info["max_input_channels"])))
        reason = ""
        for rate in rates:
            for count in channels:
                try:
                    stream = sd.InputStream(
                        device=index,
                        samplerate=rate,
                        channels=count,
                        dtype="int16",
                        blocksize=int(rate * _BLOCK_SECONDS),
                        callback=callback,
                    )
                    stream.start()
                except (sd.PortAudioError, ValueError) as error:
                    reason = str(error)
                    continue
                if self._asked_rate not in (None, rate):
                    message = (
                        f"{self.name} does not run at {self._asked_rate} Hz; it runs at {rate} Hz and is resampled."
                    )
                    self._warn(message, rejected=True)
                self.sample_rate_hz = rate
                return stream
        raise DeviceError(f"{self.name} opened at none of {', '.join(map(str, rates))} Hz: {reason}")

    def _read(self, device: Any) -> Iterator[AudioChunk | None]:
        stream, blocks = device
        clock, rate = self._sample_clock, self.sample_rate_hz
        assert clock is not None and rate is not None
        silent_since = time.monotonic()
        while not self._stop.is_set():
            try:
                samples, arrival_ns, overflow = blocks.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                silent = time.monotonic() - silent_since
                if not stream.active or silent > 2 * self._stall_ns / 1e9:
                    reason = f"{self.name} delivered no audio for {silent:.1f} s. Is it unplugged?"
                    raise DeviceError(reason) from None
                continue
            silent_since = time.monotonic()
            if overflow:
                clock.mark_lost()
                self._counts["audio_overflows"] += 1
            mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1).astype(np.int16)
            start = clock.stamp(mono.size, arrival_ns) - self._latency_ns
            self._counts["audio_gaps"] = clock.gaps
            yield AudioChunk(start, np.ascontiguousarray(mono), rate)

    def _shut(self, device: Any) -> None:
        stream, _ = device
        try:
            stream.close()
        except self._portaudio.PortAudioError as error:
            self._warn(f"{self.name} could not be closed: {error}")


def portaudio_can_rescan(portaudio: Any) -> bool:
    """Returns whether PortAudio's list of devices can be read again; it never changes by itself."""
    return hasattr(portaudio, "_terminate") and hasattr(portaudio, "_initialize")


def rescan(portaudio: Any) -> None:
    """Makes PortAudio read its list of devices again.

    Raises:
        DeviceError: it cannot start again.
    """
    try:
        portaudio._terminate()
        portaudio._initialize()
    except portaudio.PortAudioError as error:
        raise DeviceError(f"PortAudio must start again after a device was lost, got: {error}; restart.") from error


def import_audiodevice() -> Any:
    """Returns the module sounddevice.

    On Linux the PortAudio library is looked up by its file name before the import: `ctypes.util.find_library`, which the
    module calls, starts a C compiler and writes temporary files where the loader's cache lacks the library.

    Raises:
        BackendUnavailableError: it, or the PortAudio library, is not installed.
    """
    try:
        if sys.platform == "linux" and "sounddevice" not in sys.modules and importlib.util.find_spec("sounddevice"):
            ctypes.CDLL(_PORTAUDIO_LINUX)
            with _portaudio_found():
                import sounddevice
        else:
            import sounddevice
    except ImportError as error:
        raise BackendUnavailableError(
            f"microphones need sounddevice, got: {error}; run `pip install 'edgeaff[live]'`, or use PushAudio."
        ) from error
    except OSError as error:
        raise BackendUnavailableError(
            f"microphones need the PortAudio library, got: {error}; run `apt install libportaudio2`."
        ) from error
    return sounddevice


@contextlib.contextmanager
def _portaudio_found() -> Iterator[None]:
    """Answers `ctypes.util.find_library("portaudio")` with the name that has just been loaded; other names as before."""
    original = ctypes.util.find_library

    def find_library(name: str) -> str | None:
        return _PORTAUDIO_LINUX if name == "portaudio" else original(name)

    ctypes.util.find_library = find_library
    try:
        yield
    finally:
        ctypes.util.find_library = original
