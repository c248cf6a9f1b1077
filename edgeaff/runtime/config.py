"""Options of a Runtime from a TOML file. Arguments win over the file; an unknown key is an error with a suggestion."""

from __future__ import annotations

import difflib
import os
from typing import Any

from edgeaff.errors import ArgumentError
from edgeaff.naming import public_name
from edgeaff.parsing.boundary import boundary, shown
from edgeaff.parsing.toml_text import read_toml

OPTIONS: dict[str, Any] = {
    "bundle": None,
    "key": None,
    "minimum_version": None,
    "video": None,
    "audio": None,
    "backend": "default",
    "face_backend": None,
    "strict": False,
    "max_faces": 1,
    "detector_stride": None,
    "smoothing": None,
    "policy": None,
    "staleness_seconds": 0.5,
    "ladder": True,
    "threads": 1,
    "stride": 1,
    "self_test": "warn",
    "active_speaker": False,
    "identity": False,
    "baseline": None,
    "changes": False,
    "notice": None,
    "serve": None,
    "live": None,
    "live_images": False,
    "sinks": (),
}


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the options of a TOML file.

    Args:
        path: the file; its keys are the keyword arguments of Runtime, all at top level or all in a table [runtime].

    Raises:
        ArgumentError: the file cannot be read, is no TOML, or has an unknown key, or one beside [runtime].
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(
            f"config must be the path of a TOML file, got {public_name(path)!r}; pass for example 'edgeaff.toml'."
        )
    with boundary(ArgumentError, f"config must be TOML, got {public_name(path)}", "correct the file or its path."):
        values = read_toml(path)
    if "runtime" in values:
        table = values.pop("runtime")
        if not isinstance(table, dict):
            raise ArgumentError(
                f"{path}: runtime must be a table, got {public_name(table)}; write [runtime] above its keys."
            )
        for key in values:
            advice = f"move it below [runtime] as {_nearest(key)!r}." if _nearest(key) else "leave it out."
            raise ArgumentError(f"{path}: [runtime] must hold all keys, got {shown(key)}; {advice}")
        values = table
    for key in values:
        if key not in OPTIONS:
            close = _nearest(key, "runtime")
            advice = f"did you mean {close!r}?" if close else f"known keys are {', '.join(OPTIONS)}."
            raise ArgumentError(f"{path}: keys must be options of Runtime, got {shown(key)}; {advice}")
    return values


def _nearest(key: str, *more: str) -> str:
    return next(iter(difflib.get_close_matches(key, (*OPTIONS, *more), n=1)), "")


def merge_options(arguments: dict[str, Any], config: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Returns all options: what was given as an argument, else the file's value, else the default.

    Args:
        arguments: name -> value for every option; None counts as not given.
        config: path of a TOML file, or None.

    Raises:
        ArgumentError: the file is not what it must be, or a switch is neither on nor off.
    """
    from_file = read_config(config) if config is not None else {}
    merged = dict(OPTIONS)
    merged.update(from_file)
    merged.update({name: value for name, value in arguments.items() if value is not None})
    for name in ("strict", "ladder", "active_speaker", "identity", "changes"):
        if not isinstance(merged[name], bool):
            raise ArgumentError(
                f"{name} must be True or False, got {merged[name]!r}; in a file write true or false, without quotes."
            )
    return merged
