"""BIDS physiological recording: `PREFIX_physio.tsv.gz` without a header, and `PREFIX_physio.json` beside it."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path

from edgeaff.delivery.annotations.series import MODEL_RATE_HZ, on_grid, one_face, tick_ns
from edgeaff.errors import ArgumentError
from edgeaff.types import AffectEvent, Status

SUFFIX = "_physio.tsv.gz"
COLUMNS = {
    "valence": "Apparent valence in [-1, 1]",
    "arousal": "Apparent arousal in [-1, 1]",
    "valence_std": "Standard deviation of the error expected for valence",
    "arousal_std": "Standard deviation of the error expected for arousal",
    "video_coverage": "Share of the last 100 ticks with a face",
    "audio_coverage": "Share of the last 100 ticks with audio",
    "status": "Code of the event's status, see Levels",
}
MISSING = "n/a"


def write(events: Sequence[AffectEvent], path: str | os.PathLike[str], *, face: int | None = None) -> list[Path]:
    """Writes both files. Rows are the ticks of the model clock; a missing tick is a row of n/a.

    Args:
        events: of one session.
        path: a name that ends in `_physio.tsv.gz`.
        face: track id, where the session has several faces.

    Returns:
        The two files.

    Raises:
        ArgumentError: the name is of another form, several faces and none named, or there are no events.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise ArgumentError(f"path must end in {SUFFIX}, got {path.name!r}; for example sub-01_task-talk{SUFFIX}.")
    first, grid = on_grid(one_face(events, face, format_name="BIDS"))
    text = "".join("\t".join(_row(event)) + "\n" for event in grid)
    with open(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write(text.encode("ascii"))
    sidecar = path.with_name(path.name[: -len(".tsv.gz")] + ".json")
    sidecar.write_text(json.dumps(_description(tick_ns(first) / 1e9), indent=2) + "\n", encoding="utf-8")
    return [path, sidecar]


def _row(event: AffectEvent | None) -> list[str]:
    if event is None:
        return [MISSING] * len(COLUMNS)
    values = [getattr(event, name) for name in COLUMNS if name != "status"]
    return [*(MISSING if value is None else f"{value:.6f}" for value in values), str(status_code(event.status))]


def status_code(status: Status) -> int:
    """Returns the number of a status: its place in `Status`, from 0."""
    return list(Status).index(status)


def _description(start_seconds: float) -> dict[str, object]:
    columns: dict[str, object] = {name: {"Description": text} for name, text in COLUMNS.items()}
    columns["status"] = {
        "Description": COLUMNS["status"],
        "Levels": {str(status_code(status)): status.value for status in Status},
    }
    return {
        "SamplingFrequency": MODEL_RATE_HZ,
        "StartTime": start_seconds,
        "Columns": list(COLUMNS),
        "Manufacturer": "edgeaff",
        **columns,
    }
