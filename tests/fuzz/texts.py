"""Doors of text: configurations, URIs of sources, requests to what listens, stored events, cards of detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgeaff.capture.uri import parse_uri
from edgeaff.detection.detector import load_detector
from edgeaff.errors import ArgumentError
from edgeaff.listen.address import Access
from edgeaff.listen.guard import Guard
from edgeaff.listen.messages import BadRequest, parse_head, text_response
from edgeaff.naming import public_name, without_secrets
from edgeaff.runtime.config import merge_options, read_config
from tests.bundles import graph
from tests.fuzz.door import Door, Feed
from tests.fuzz.mutate import json_bytes, mutate, mutate_value

CONFIG = b"""[runtime]
bundle = "affect.eaff"
key = "public.pem"
video = "rtsp://user:word@host/stream?transport=tcp"
smoothing = [0.3, 0.6]
staleness_seconds = 0.5
strict = true
threads = 2
sinks = ["events.jsonl", "udp://127.0.0.1:9000"]
"""
TRAINING = b"""system = "transformer_av"
learning_rate = 1e-5
batch = 4
amp = false
[sizes]
width = 16
"""
TOKENS = {
    "config": (
        b"[",
        b"]",
        b"[[",
        b"{",
        b"}",
        b"=",
        b".",
        b'"',
        b"'''",
        b'"""',
        b"\n",
        b"#",
        b"nan",
        b"inf",
        b"0x",
        b"9" * 400,
        b"1979-05-27",
        b"\xef\xbb\xbf",
        b"\\u0000",
        b"\\U0010FFFF",
        b"\xff",
        b"a." * 50,
        b"[" * 60,
        b"{a=" * 30,
        b"runtime",
        b"key",
        b"threads",
        b"true",
    ),
    "uri": (
        b"://",
        b"@",
        b":",
        b"?",
        b"&",
        b"=",
        b"#",
        b"%",
        b"[",
        b"]",
        b"..",
        b"/",
        b"camera:",
        b"mic:",
        b"file:",
        b"replay:",
        b"rtsp://",
        b"udp://",
        b"srt://",
        b"http://",
        b"password=",
        b"user:pass@",
        b"\x1b[31m",
        b"\x00",
        b"\xff",
        b"0",
        b"-1",
        b"99999999999",
        b"max_mb",
        b"x" * 300,
    ),
    "request": (
        b"GET",
        b"HEAD",
        b"POST",
        b" ",
        b"/",
        b"/status",
        b"/metrics?x=%ff",
        b"HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b":",
        b"Host: 127.0.0.1",
        b"Origin: null",
        b"Upgrade: websocket",
        b"Authorization: Bearer x",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"\x00",
        b"\xff",
        b"A" * 200,
        b"&a=b" * 30,
        b"%",
    ),
}


def tokens(kind: str) -> Callable[[Random, Sequence[bytes]], bytes]:
    """Returns a way to make inputs: words of a language put into, or in place of, parts of a seed; or any bytes."""

    def make(rng: Random, seeds: Sequence[bytes]) -> bytes:
        if rng.random() < 0.4:
            return mutate(rng, seeds)
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice((0, 0, 1, 4, 12))] = rng.choice(TOKENS[kind]) * rng.choice((1, 1, 1, 20))
        return bytes(data)

    return make


def open_config(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """A TOML file -> the options of a Runtime."""
    path = folder / "a.toml"

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        read_config(path)
        merge_options({}, path)

    return [CONFIG, CONFIG.replace(b"[runtime]\n", b"")], feed


def open_training(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """A TOML file -> the configuration of a training run."""
    from edgeaff.training.trainer.config import read_config as read

    path = folder / "a.toml"

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return [TRAINING], feed


def open_uri(_: Path) -> tuple[Sequence[bytes], Feed]:
    """The text of a URI -> its parts, its public name."""

    def feed(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        name = public_name(text)
        if any(character < " " for character in name) or "\x1b" in name:
            raise AssertionError(f"{name!r} changes a terminal")
        without_secrets(text)
        parse_uri(text)

    return [
        b"camera:0?size=640x480&fps=30",
        b"rtsp://user:word@host:554/a?transport=tcp",
        b"mic:default",
        b"replay:a.eaffrec",
        b"udp://[::1]:9000?host=x",
        b"a.mp4",
    ], feed


def open_request(_: Path) -> tuple[Sequence[bytes], Feed]:
    """The head of a request -> the guard's answer."""
    guards = [
        Guard("127.0.0.1", Access()),
        Guard("0.0.0.0", Access(token="secret", hosts=("kiosk",), origins=("http://kiosk",))),
    ]

    def feed(data: bytes) -> None:
        request = parse_head(data)
        for guard in guards:
            (
                guard.refusal(request, "127.0.0.1")
                or text_response(200, request.path.encode("ascii", "replace").decode())
            ).encode()

    return [
        b"GET /status?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9477\r\nOrigin: http://kiosk\r\nAuthorization: Bearer secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAA==\r\n\r\n",
    ], feed


def events() -> list[Any]:
    """Returns two events, one with a face."""
    import edgeaff

    session = edgeaff.Session(video=False)
    return session.push_lld(np.ones((40, 65), np.float32), pts_ns=0)[:2]


def open_events(suffix: str) -> Callable[[Path], tuple[Sequence[bytes], Feed]]:
    """Returns the opening of a file of stored events."""

    def opening(folder: Path) -> tuple[Sequence[bytes], Feed]:
        from edgeaff.delivery.files import CsvSink, JsonlSink
        from edgeaff.delivery.reading import read_events

        path = folder / f"a{suffix}"
        sink = (CsvSink if suffix == ".csv" else JsonlSink)(path)
        for event in events():
            sink.write(event)
        sink.close()
        seed = path.read_bytes()

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            read_events(path)

        return [seed], feed

    return opening


def open_card(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """The JSON beside a detector's file -> the detector, as far as its graph, which is none."""
    model = folder / "a.onnx"
    model.write_bytes(graph())

    def feed(data: bytes) -> None:
        (folder / "a.json").write_bytes(data)
        load_detector(f"ssd:{model}")

    return [b'{"score_threshold": 0.6, "input_long_side": 320}'], feed


def make_card(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns a card with one value changed."""
    card = {"score_threshold": 0.6, "input_long_side": 320}
    return mutate(rng, seeds) if rng.random() < 0.3 else json_bytes(rng, mutate_value(rng, card))


DOORS = [
    Door("configuration", open_config, tokens("config")),
    Door("training configuration", open_training, tokens("config"), share=0.5, needs=("torch",)),
    Door("source uri", open_uri, tokens("uri"), share=0.5),
    Door("request", open_request, tokens("request"), share=0.5, refusals=(BadRequest,)),
    Door("events jsonl", open_events(".jsonl"), mutate, share=0.5),
    Door("events csv", open_events(".csv"), mutate, share=0.5),
    Door("detector card", open_card, make_card, share=0.2, refusals=(ArgumentError,), needs=("onnxruntime",)),
]
