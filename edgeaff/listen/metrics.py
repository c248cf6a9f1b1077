"""Formats a status as Prometheus text and as JSON, with any names and numbers in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
NAMED = ("sources", "sinks")  # what these hold has names of the user: they become labels


def metrics_text(status: Mapping[str, Any], *, prefix: str = "edgeaff") -> str:
    """Returns a status as Prometheus text: every number under its path, joined by underscores.

    A source or sink is a label, `edgeaff_health_sinks_written{name="events.jsonl"}`. No two lines have the same name and labels.

    Args:
        status: nested mappings of numbers, booleans, texts and None. A text becomes a label of value 1; None, NaN and
            infinity are left out.
        prefix: first part of all names.
    """
    families: dict[str, dict[str, str]] = {}
    _collect(status, prefix, {}, families)
    return "".join(
        f"# TYPE {name} gauge\n" + "".join(f"{name}{labels} {number}\n" for labels, number in samples.items())
        for name, samples in families.items()
    )


def _collect(
    status: Mapping[str, Any], prefix: str, labels: Mapping[str, str], families: dict[str, dict[str, str]]
) -> None:
    for key, value in status.items():
        name = _NOT_A_NAME.sub("_", f"{prefix}_{key}")
        if isinstance(value, Mapping) and key in NAMED:
            for of_what, rows in value.items():
                within = rows if isinstance(rows, Mapping) else {"value": rows}
                _collect(within, name, {**labels, "name": str(of_what)}, families)
        elif isinstance(value, Mapping):
            _collect(value, name, labels, families)
        elif isinstance(value, str):
            _add(families, name, {**labels, "value": value}, "1", key)
        elif isinstance(value, (bool, int, float)) and math.isfinite(value):
            _add(families, name, labels, repr(value if isinstance(value, float) else int(value)), key)


def _add(families: dict[str, dict[str, str]], name: str, labels: Mapping[str, str], number: str, key: str) -> None:
    samples = families.setdefault(name, {})
    written = _written(labels)
    if written in samples:  # two keys that differ in punctuation only
        written = _written({**labels, "key": str(key)})
    samples.setdefault(written, number)


def _written(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return _unicode(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def status_json(status: Mapping[str, Any]) -> str:
    """Returns a status as JSON that every reader takes: no NaN, no half of a character.

    Args:
        status: as for `metrics_text`; anything else in it becomes text.
    """
    return json.dumps(plain(status), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Returns a value of which JSON can be made: no NaN, no half of a character, anything odd as text."""
    if isinstance(value, Mapping):
        return {_unicode(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _unicode(str(value))


def _unicode(text: str) -> str:
    """Returns a text that can be encoded: a byte of a file name that is no UTF-8 becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
