"""What stands beside the parts: files.parquet (or .jsonl), a card that dataset loaders read, and the report of a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from edgeaff.archive.ledger import Entry
from edgeaff.archive.storage import Store
from edgeaff.archive.task import Task
from edgeaff.archive.work import EVENTS, part_name
from edgeaff.types import Status

CARD = """---
configs:
- config_name: events
  data_files: {events}/*.{kind}
- config_name: files
  data_files: files.{kind}
---
# Apparent valence and arousal

One row per tick (30 Hz) and face, written by edgeaff {version} with the bundle {bundle}.
`file` is the path as given; the other columns are the fields of `AffectEvent`. A value that an event lacks is null.
`files.{kind}` has a row per file: seconds, share of each status, means and deviations weighted by evidence, warnings.
Values are estimates of how a person appears, not of what the person feels.
"""


def status_report(entries: Sequence[Entry], output: str) -> dict[str, Any]:
    """Returns the object that `edgeaff annotate` prints last: counts and lists of the folder as a whole."""
    rows = sorted(entries, key=lambda entry: entry.file)
    return {
        "done": sum(entry.state == "done" for entry in rows),
        "failed": [{"file": entry.file, "reason": entry.reason} for entry in rows if entry.state == "failed"],
        "poison": [{"file": entry.file, "reason": entry.reason} for entry in rows if entry.state == "poison"],
        "output": output,
    }


def write_files_table(store: Store, entries: Sequence[Entry], kind: str) -> None:
    """Writes one row per file that has a final entry.

    Args:
        store: of the output.
        entries: of the ledger.
        kind: parquet or jsonl.
    """
    rows = [_row(entry, kind) for entry in sorted(entries, key=lambda entry: entry.file) if entry.is_final]
    path = store.temporary()
    if kind == "parquet":
        from edgeaff.delivery.arrow import load_pyarrow

        arrow = load_pyarrow()
        arrow.parquet.write_table(arrow.Table.from_pylist(rows, schema=_schema(arrow)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path.chmod(0o600)
    store.commit(path, f"files.{kind}")


def write_card(store: Store, run: dict[str, Any], kind: str) -> None:
    """Writes README.md, which Hugging Face's loader reads too."""
    text = CARD.format(events=EVENTS, kind=kind, version=run["version"], bundle=run["bundle"])
    store.write("README.md", text.encode())


def _shares() -> list[str]:
    return [f"share_{status.value.lower()}" for status in Status]


_NUMBERS = ("seconds", "valence_mean", "valence_sd", "arousal_mean", "arousal_sd")


def _row(entry: Entry, kind: str) -> dict[str, Any]:
    summary = entry.summary
    counts = summary.get("statuses", {})
    rows = int(summary.get("rows", 0))
    row: dict[str, Any] = {
        "file": entry.file,
        "state": entry.state,
        "reason": entry.reason or None,
        "part": part_name(Task(entry.file), kind) if entry.state == "done" else None,
        "rows": rows,
    }
    row.update({name: summary.get(name) for name in _NUMBERS})
    for name, status in zip(_shares(), Status, strict=True):
        row[name] = counts.get(status.value, 0) / rows if rows else None
    row["warnings"] = list(summary.get("warnings", []))
    return row


def _schema(arrow: Any) -> Any:
    text = arrow.string()
    fields = [("file", text), ("state", text), ("reason", text), ("part", text), ("rows", arrow.int64())]
    fields += [(name, arrow.float64()) for name in (*_NUMBERS, *_shares())]
    return arrow.schema([*fields, ("warnings", arrow.list_(text))])
