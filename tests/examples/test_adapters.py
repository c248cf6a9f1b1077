"""The adapters among the examples: ROS 2 with a stand-in for rclpy, MCP and Pipecat where they are installed."""

from __future__ import annotations

import asyncio
import importlib
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edgeaff.bench.latency_media import RATE_HZ, make_media
from tests.media_maker import frame_times, write_clip

ADAPTERS = Path(__file__).parents[2] / "examples" / "adapters"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns three seconds of a face and a voice."""
    media, times = make_media(3.0), frame_times(15, 3)
    frames = [media.images[index] for index in range(len(times))]
    samples = (media.samples / 32_768).astype(np.float32)
    path = tmp_path_factory.mktemp("adapters") / "clip.mkv"
    return write_clip(path, frames=frames, times=times, samples=samples, sample_rate_hz=RATE_HZ)


class FakePublisher:
    def __init__(self) -> None:
        self.messages: list[SimpleNamespace] = []

    def publish(self, message: SimpleNamespace) -> None:
        self.messages.append(message)


class FakeNode:
    """What the example uses of an rclpy node."""

    def __init__(self) -> None:
        self.publishers: dict[str, FakePublisher] = {}
        self.removed = 0

    def create_publisher(self, kind: type, topic: str, depth: int) -> FakePublisher:
        assert (kind, depth) == (Expression, 10)
        return self.publishers.setdefault(topic, FakePublisher())

    def destroy_publisher(self, publisher: FakePublisher) -> None:
        self.removed += publisher in self.publishers.values()

    def destroy_node(self) -> None:
        self.removed += 1

    def get_clock(self) -> SimpleNamespace:
        return SimpleNamespace(now=lambda: SimpleNamespace(to_msg=lambda: "now"))


class Expression(SimpleNamespace):
    """hri_msgs/Expression as the documentation of hri_msgs 2.3 has it."""

    def __init__(self) -> None:
        super().__init__(header=SimpleNamespace(stamp=None), expression="", valence=0.0, arousal=0.0, confidence=0.0)


@pytest.mark.needs_media
def test_ros2_node_publishes_an_expression_per_face(clip: Path, monkeypatch: pytest.MonkeyPatch):
    node, ended = FakeNode(), []
    rclpy = SimpleNamespace(init=lambda: None, create_node=lambda name: node, shutdown=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "rclpy", rclpy)
    monkeypatch.setitem(sys.modules, "hri_msgs", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "hri_msgs.msg", SimpleNamespace(Expression=Expression))
    monkeypatch.setattr(sys, "argv", ["ros2_node.py", "--video", str(clip), "--max-faces", "1"])
    module(monkeypatch, "ros2_node").main()
    ((topic, publisher),) = node.publishers.items()
    assert topic.startswith("/humans/faces/edgeaff") and topic.endswith("/expression")
    assert len(publisher.messages) > 60 and publisher.messages[0].header.stamp == "now"
    stated = [message for message in publisher.messages if not math.isnan(message.valence)]
    assert len(stated) > 60
    assert all(abs(message.valence) <= 1 and 0 < message.confidence <= 1 for message in stated)
    assert node.removed == 2 and ended


@pytest.mark.needs_media
def test_mcp_tool_sums_up_a_few_seconds(clip: Path, monkeypatch: pytest.MonkeyPatch):
    row = module(monkeypatch, "mcp_tool").watch(str(clip), None, 2.0)
    assert 55 <= row["ticks"] <= 65
    assert abs(row["valence"]) <= 1 and row["valence_std"] > 0 and row["reads_as"]
    assert sum(row["statuses"].values()) == pytest.approx(1, abs=0.01)


@pytest.mark.needs_media
@pytest.mark.needs_mcp
@pytest.mark.filterwarnings("default")
def test_mcp_tool_answers_a_client(clip: Path, monkeypatch: pytest.MonkeyPatch):
    server = module(monkeypatch, "mcp_tool").make_server(str(clip), None)

    async def names() -> list[str]:
        return [tool.name for tool in await server.list_tools()]

    assert asyncio.run(names()) == ["apparent_affect"]
    answer = asyncio.run(server.call_tool("apparent_affect", {"seconds": 2.0}))
    assert "valence_std" in str(answer)


@pytest.mark.needs_pipecat
@pytest.mark.filterwarnings("default")
def test_pipecat_processor_adds_affect_and_passes_every_frame_on(monkeypatch: pytest.MonkeyPatch):
    from pipecat.frames.frames import InputAudioRawFrame, InputImageRawFrame
    from pipecat.tests.utils import run_test

    media, example = make_media(3.0), module(monkeypatch, "pipecat_processor")
    frames = []
    for tick in range(75):
        frames.append(InputAudioRawFrame(audio=media.audio(tick).tobytes(), sample_rate=16_000, num_channels=1))
        frames.append(InputImageRawFrame(image=media.image(tick).tobytes(), size=(640, 480), format="RGB"))
    down, _ = asyncio.run(run_test(example.AffectProcessor(), frames_to_send=frames, start_timeout=60.0))
    affect = [frame for frame in down if isinstance(frame, example.AffectFrame)]
    assert len(affect) == 2
    assert sum(isinstance(frame, (InputAudioRawFrame, InputImageRawFrame)) for frame in down) == len(frames)


def module(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Returns an example as a module."""
    monkeypatch.syspath_prepend(str(ADAPTERS))
    return importlib.import_module(name)
