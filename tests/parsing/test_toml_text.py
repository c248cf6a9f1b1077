"""Configuration files: a byte order mark is read over; what is damaged or hostile is an ArgumentError, soon."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeaff.errors import ArgumentError
from edgeaff.runtime.config import read_config

HOSTILE = {
    "nested arrays": b"bundle = " + b"[" * 20_000,
    "nested inline tables": b"bundle = " + b"{a=" * 5_000,
    "long integer": b"threads = " + b"9" * 4_000,
    "integer beyond 64 bits": b"threads = 99999999999999999999",
    "dotted key of many parts": b"a." * 20_000 + b"b = 1",
    "deep tables": b"[" + b"a." * 100 + b"b]\nc = 1",
    "larger than a configuration": b"#" + b" comment" * 20_000,
    "UTF-16": 'audio = "a.wav"'.encode("utf-16"),
    "Latin-1": b'audio = "\xe9.wav"',
    "control character": b'audio = "a\x1b[31m.wav"',
    "escaped control character": b'audio = "a\\u001b[31m.wav"',
    "not a number": b"staleness_seconds = nan",
    "binary": bytes(range(256)),
    "key with an escape": b'"a\\u001b[31m" = 1',
}


def read_training(path: Path) -> Any:
    from edgeaff.training.trainer.config import read_config as read

    return read(path)


READERS = [read_config, pytest.param(read_training, marks=pytest.mark.needs_torch)]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_hostile_configuration_is_refused(tmp_path: Path, what: str, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(HOSTILE[what])
    with pytest.raises(ArgumentError) as caught:
        read(path)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (
        tmp_path / "none.toml",
        tmp_path,
        tmp_path / "fifo",
        Path("/dev/zero"),
        Path("a\0b"),
        Path("x" * 5_000),
    ):
        with pytest.raises(ArgumentError):
            read(path)


def test_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes('audio = "é.wav"\r\n'.encode("utf-8-sig"))
    assert read_config(path) == {"audio": "é.wav"}
