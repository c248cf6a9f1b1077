"""The real components: PulseAudio with a voice, an MPEG-TS sender, a broker; and media files made once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from edgeaff.bench.latency_media import make_media
from tests.media_maker import TRANSPORT_STREAM, frame_times, write_clip
from tests.system.conftest import Broker, VirtualMicrophone, find_program, free_port, stop


class Rig:
    """Starts what is asked for, once, and stops it at the end."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeaff-soak-")))
        self.microphone = VirtualMicrophone(self.folder)
        self._before = dict(os.environ)
        self._players: list[subprocess.Popen] = []

    def __enter__(self) -> Rig:
        self.microphone.start()
        os.environ.update(self.microphone.environment)  # PortAudio reads it when it is first loaded
        self._stack.callback(self.microphone.kill)
        return self

    def __exit__(self, *_: object) -> None:
        self.silence()
        os.environ.clear()
        os.environ.update(self._before)
        self._stack.close()

    # --- audio --------------------------------------------------------------------------------------------------------

    def voice(self) -> Path:
        """Returns 20 s of a voice-like buzz at 48 kHz."""
        path = self.folder / "voice.wav"
        if not path.exists():
            samples = make_media(20.0).samples.astype(np.float32) / 32_768
            positions = np.arange(len(samples) * 3) / 3
            write_clip(path, samples=np.interp(positions, np.arange(len(samples)), samples).astype(np.float32))
        return path

    def speak(self) -> None:
        """Plays the voice into the virtual microphone, over and over."""
        command = f"while :; do '{find_program('paplay')}' '{self.voice()}' || sleep 0.2; done"
        self._players.append(
            subprocess.Popen(
                ["sh", "-c", command],
                env=self.microphone.environment,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def silence(self) -> None:
        """Stops playing."""
        for player in self._players:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(player.pid, signal.SIGKILL)
            player.wait(3.0)
        self._players.clear()

    # --- frames -----------------------------------------------------------------------------------------------------

    def clip(self) -> Path:
        """Returns 10 s of the portrait, 640 x 480 at 30 fps, as a camera's MJPEG."""
        path = self.folder / "camera.mov"
        if not path.exists():
            images = make_media(1.0).images
            times = frame_times(30, 10)
            write_clip(path, frames=(images[index % len(images)] for index in range(len(times))), times=times)
        return path

    def transport_stream(self) -> bytes:
        """Returns 20 s of portrait and voice as MPEG-2 video and MP2 audio in a transport stream."""
        path = self.folder / "clip.ts"
        if not path.exists():
            images = [image[::2, ::2] for image in make_media(1.0).images]
            times = frame_times(30, 20)
            voice = make_media(20.0).samples.astype(np.float32) / 32_768
            samples = np.interp(np.arange(len(voice) * 3) / 3, np.arange(len(voice)), voice).astype(np.float32)
            write_clip(
                path,
                frames=(images[index % len(images)] for index in range(len(times))),
                times=times,
                samples=samples,
                **{**TRANSPORT_STREAM, "time_base": Fraction(1, 30)},
            )
        return path.read_bytes()

    def broker(self) -> Broker:
        """Starts mosquitto."""
        broker = Broker()
        self._stack.callback(broker.kill)
        return broker


class RtspServer:
    """GStreamer's RTSP server with a test frame and a tone."""

    def __init__(self) -> None:
        self.port = free_port()
        self.uri = f"rtsp://127.0.0.1:{self.port}/live"
        self.start()

    def start(self) -> None:
        script = Path(__file__).parent.parent / "system" / "rtsp_server.py"
        self.process = subprocess.Popen(
            [find_program("/usr/bin/python3"), str(script), str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None and self.process.stdout.readline().strip() == "ready"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        stop(self.process)
        if self.process.stdout is not None:
            self.process.stdout.close()


class UdpSender:
    """Sends a transport stream once in real time over UDP, with damage on command."""

    def __init__(self, data: bytes, seconds: float) -> None:
        self.port = free_port(2)
        self.uri = f"udp://127.0.0.1:{self.port}"
        self.damage = False
        self._data, self._seconds = data, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        import socket

        random = np.random.default_rng(0)
        step, started = 188 * 7, time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for first in range(0, len(self._data), step):
                due = started + self._seconds * first / len(self._data)
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                part = self._data[first : first + step]
                if self.damage and random.random() < 0.5:
                    noisy = np.frombuffer(part, np.uint8).copy()
                    body = np.arange(noisy.size) % 188 >= 12  # headers stay, what they carry does not
                    noisy[body] = random.integers(0, 256, int(body.sum()), dtype=np.uint8)
                    part = noisy.tobytes()
                sender.sendto(part, ("127.0.0.1", self.port))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)


__all__ = ["Rig", "RtspServer", "UdpSender"]
