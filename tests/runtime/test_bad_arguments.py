"""What is passed by mistake is an ArgumentError that states what to pass; keys of a configuration that nobody reads too."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError
from edgeaff.runtime.config import read_config


@pytest.mark.parametrize("bundle", [3, 3.5, b"affect.eaff", ["affect.eaff"]])
def test_bundle_that_is_no_path(bundle: Any) -> None:
    with pytest.raises(ArgumentError, match=r"bundle must be a ModelBundle, a path or None, got .*; pass"):
        edgeaff.Session(bundle=bundle)


@pytest.mark.parametrize("path", [3, None, b"clip.mp4", "", 1.5])
def test_analyze_of_what_is_no_path(path: Any) -> None:
    with pytest.raises(ArgumentError, match=r"path must be the path of a media file, got .*; pass"):
        edgeaff.analyze(path)
    with pytest.raises(ArgumentError, match=r"(path|audio) must be the path of a media file, got .*; pass"):
        edgeaff.analyze("clip.mp4", audio=path if path is not None else 4)


@pytest.mark.parametrize("uri", [3, b"clip.mp4", 1.5])
def test_source_that_is_no_path(uri: Any) -> None:
    with pytest.raises(ArgumentError, match=r"uri must be a path or a source URI, got .*; pass"):
        edgeaff.Runtime(video=uri)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('max_faces = 2\n[runtime]\naudio = "a.wav"\n', r"got 'max_faces'; move it below \[runtime\] as 'max_faces'"),
        ('[runtime]\naudio = "a.wav"\n[session]\nmax_face = 2\n', r"got 'session'; leave it out"),
        ('max_face = 2\n[runtime]\naudio = "a.wav"\n', r"got 'max_face'; move it below \[runtime\] as 'max_faces'"),
        ('[runtme]\naudio = "a.wav"\n', "did you mean 'runtime'"),
        ("runtime = 3\n", r"runtime must be a table, got 3; write \[runtime\]"),
        ("[runtime]\nvideos = 3\n", "did you mean 'video'"),
    ],
)
def test_key_that_nobody_reads(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "edgeaff.toml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=expected):
        read_config(path)


def test_configuration_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "edgeaff.toml"
    path.write_bytes(b"\x00\x9b\xff")
    with pytest.raises(ArgumentError, match="config must be TOML"):
        read_config(path)


@pytest.mark.parametrize("option", ["strict", "ladder"])
def test_switch_that_is_no_bool(option: str) -> None:
    with pytest.raises(ArgumentError, match=f"{option} must be True or False, got 'no'"):
        edgeaff.Runtime(video=edgeaff.PushVideo(), **{option: "no"})


def test_class_in_the_place_of_a_source() -> None:
    with pytest.raises(ArgumentError, match=r"got the class PushVideo; pass PushVideo\(\)"):
        edgeaff.Runtime(video=edgeaff.PushVideo)


@pytest.mark.parametrize("given", [None, "camera:0", 1])
def test_session_that_is_given_a_source(given: Any) -> None:
    with pytest.raises(ArgumentError, match="video must be True or False, got .*a Runtime opens sources"):
        edgeaff.Session(video=given)


@pytest.mark.parametrize("threads", [0, 1_000_000, True, 2.0])
def test_threads_that_no_machine_has(threads: Any) -> None:
    with pytest.raises(ArgumentError, match=r"threads must be an int in \[1, 256\]"):
        edgeaff.Session(threads=threads)


@pytest.mark.parametrize("rate", ["48000", None, True, 100])
def test_push_audio_with_an_impossible_rate(rate: Any) -> None:
    with pytest.raises(ArgumentError, match="sample_rate_hz must be a whole number of Hz"):
        edgeaff.PushAudio(sample_rate_hz=rate)


def test_session_can_neither_be_copied_nor_pickled() -> None:
    session = edgeaff.Session(audio=False)
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(edgeaff.EdgeaffError, match="Session must stay where it was made"):
            attempt(session)


def test_session_swaps_to_a_backend_by_name_only() -> None:
    with pytest.raises(ArgumentError, match="backend must be a name"):
        edgeaff.Session(audio=False).swap_backend(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "read", [lambda runtime: next(iter(runtime)), lambda runtime: runtime.poll(), lambda runtime: runtime.join()]
)
def test_reading_before_start_is_reported_and_does_not_wait(read: Any) -> None:
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo())
    with pytest.raises(edgeaff.EdgeaffError, match=r"must be started before its events are read, .*with block"):
        read(runtime)
    runtime.stop()


@pytest.mark.parametrize("method", ["on_event", "on_status", "on_first_face"])
def test_callback_that_is_no_function(method: str) -> None:
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo())
    with pytest.raises(ArgumentError, match="callback must be a function of one argument"):
        getattr(runtime, method)(print())


def test_sources_are_called_by_their_names(tmp_path: Path) -> None:
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), audio=edgeaff.PushAudio())
    assert runtime.source_name == "pushed video and pushed audio"
    with pytest.raises(ArgumentError, match="must be an edgeaff.PushVideo to be pushed to, got pushed audio"):
        edgeaff.Runtime(audio=edgeaff.PushAudio()).push_frame(np.zeros((4, 4, 3), np.uint8))
