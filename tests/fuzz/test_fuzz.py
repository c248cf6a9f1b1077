"""The fuzzer itself: every door takes its seeds and some inputs; a signal, a hang and a leak are found and named."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeaff.errors import ArgumentError, EdgeaffError
from tests.fuzz.child import make_input
from tests.fuzz.door import Door, all_doors
from tests.fuzz.mutate import mutate, mutate_message, mutate_value
from tests.fuzz.runner import fuzz

INPUTS = 25  # of each door, here; `make fuzz` makes thousands
NEEDS = {"onnxruntime": None, "torch": "torch", "av": "media", "cryptography": "sign"}


def parameters() -> list[object]:
    return [
        pytest.param(
            door,
            id=door.name,
            marks=[getattr(pytest.mark, f"needs_{NEEDS[name]}") for name in door.needs if NEEDS.get(name)],
        )
        for door in all_doors()
    ]


@pytest.mark.parametrize("door", parameters())
def test_door_takes_a_seed_and_lets_only_errors_of_the_tree_out(door: Door, tmp_path: Path) -> None:
    for name in door.needs:
        pytest.importorskip(name)
    seeds, feed = door.open(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in [*seeds, *(make_input(door, seeds, seed=1, index=index) for index in range(INPUTS))]:
            with contextlib.suppress(EdgeaffError, *door.refusals):
                feed(data)


BAD = random.Random("3 made-up 5").randbytes(4)  # input 5 of seed 3


def made_up(work: Callable[[], None]) -> Door:
    """Returns a door at which one input does something bad; it refuses all others."""

    def feed(data: bytes) -> None:
        if data == BAD:
            work()
        raise ArgumentError("refused")

    return Door("made-up", lambda _: ([], feed), lambda rng, _: rng.randbytes(4))


def end() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    while True:
        pass


def leak() -> None:
    raise KeyError("leak")


@pytest.mark.parametrize(
    ("work", "kind", "text"), [(end, "signal", "SIGSEGV"), (hang, "hang", "killed"), (leak, "leak", "KeyError")]
)
def test_what_ends_a_door_is_found_and_the_rest_goes_on(
    work: Callable[[], None], kind: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.runner.HANG_SECONDS", 0.3)
    result = fuzz([made_up(work)], seconds=1.5, seed=3, jobs=1, keep=tmp_path)
    (finding,) = result["findings"]
    assert (finding["kind"], finding["index"]) == (kind, 5) and text in finding["text"]
    assert result["inputs"] > 50 and result[f"{kind}s"] == 1
    assert (tmp_path / "made-up-5.bin").read_bytes() == BAD


def test_memory_of_a_door_is_bounded(tmp_path: Path) -> None:
    def feed(_: bytes) -> None:
        time.sleep(0.01)
        bytearray(4 << 30)

    result = fuzz([Door("greedy", lambda _: ([], feed), lambda rng, _: b"")], seconds=0.5, seed=0, jobs=1)
    assert "MemoryError" in result["findings"][0]["text"]


def test_door_without_its_modules_is_left_out_and_named() -> None:
    absent = Door("absent", lambda _: ([], lambda _: None), lambda rng, _: b"", needs=("no_such_module",))
    assert fuzz([absent], seconds=0.1, seed=0, jobs=1)["left_out"] == ["absent"]


def test_changes_leave_the_seed_as_it_is() -> None:
    rng, value = random.Random(0), {"a": [1, {"b": 2.0}], "c": "d"}
    for _ in range(300):
        mutate_value(rng, value)
        mutate(rng, [b"abc"])
        mutate_message(rng, b"\x08\x01\x12\x02ab")
    assert value == {"a": [1, {"b": 2.0}], "c": "d"}
