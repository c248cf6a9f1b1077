"""What is passed by mistake is an ArgumentError that says what to pass; keys of a configuration that nobody reads too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
