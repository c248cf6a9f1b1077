"""Real components for the system tests. A component that is missing is a failure: run tests/tools/install_system_packages.sh."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until


def find_program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    assert path is not None, f"{name} is missing; run tests/tools/install_system_packages.sh"
    return path


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(3.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(3.0)


PULSE_CONFIG = """
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=speaker rate=48000 channels=1 norewinds=1
load-module module-remap-source source_name=microphone master=speaker.monitor
set-default-sink speaker
set-default-source microphone
"""


class VirtualMicrophone:
    """A PulseAudio its own server whose default microphone hears what is played into its null sink."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "native"
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        (folder / "default.pa").write_text(PULSE_CONFIG.format(socket=self.socket))
        (folder / ".aaudiorc").write_text("pcm.!default pulse\nctl.!default pulse\n")
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        command = [
            find_program("pulseaudio"),
            "-n",
            "-F",
            str(self.folder / "default.pa"),
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--disallow-exit",
            "--log-target=null",
        ]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self.socket.exists, 10.0, "start of PulseAudio")

    def kill(self) -> None:
        if self.process is not None:
            stop(self.process)
            self.process = None

    def play(self, wav: Path) -> subprocess.Popen:
        return subprocess.Popen([find_program("paplay"), str(wav)], env=self.environment)


@pytest.fixture(scope="session")
def virtual_microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    microphone = VirtualMicrophone(tmp_path_factory.mktemp("pulse"))
    microphone.start()
    before = dict(os.environ)
    os.environ.update(microphone.environment)  # PortAudio reads it when it is first loaded
    yield microphone
    os.environ.clear()
    os.environ.update(before)
    microphone.kill()


class Broker:
    def __init__(self):
        self.port = free_port()
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [find_program("mosquitto"), "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self):
        stop(self.process)


@pytest.fixture
def broker():
    broker = Broker()
    yield broker
    broker.kill()


@pytest.fixture
def received(broker):
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    messages = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, data, message: messages.append(json.loads(message.payload))
    client.on_connect = lambda client, *rest: client.subscribe("test/affect")
    client.reconnect_delay_set(1, 1)
    client.connect_async("127.0.0.1", broker.port)
    client.loop_start()
    wait_until(client.is_connected, 5.0, "connection of the subscriber")
    yield messages
    client.disconnect()
    client.loop_stop()
