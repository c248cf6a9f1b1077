"""NOVA (.annotation): a continuous annotation per dimension, a header in XML and a data file `value;confidence` beside it.

`clip.annotation` becomes `clip.valence.annotation`, `clip.valence.annotation~`, `clip.arousal.annotation` and
`clip.arousal.annotation~`. The first line is tick 0. A tick without a number is `nan;0`. The confidence is
1 - std, clipped to [0, 1]: NOVA asks for a number that rises with trust and states no scale.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from edgeaff.delivery.annotations.series import MODEL_RATE_HZ, on_grid, one_face
from edgeaff.errors import ArgumentError
from edgeaff.types import DIMENSIONS, AffectEvent

MISSING = "nan;0"


def write(
    events: Sequence[AffectEvent], path: str | os.PathLike[str], *, face: int | None = None, role: str = "subject"
) -> list[Path]:
    """Writes header and data file of both dimensions.

    Args:
        events: of one session; no tick before 0.
        path: `clip.annotation`.
        face: track id, where the session has several faces.
        role: role of the subject in NOVA's session.

    Returns:
        The four files.

    Raises:
        ArgumentError: several faces and none named, no events, or one before 0.
    """
    first, grid = on_grid(one_face(events, face, format_name="NOVA"))
    if first < 0:
        raise ArgumentError("events must not lie before 0 s, got an earlier tick; NOVA's annotations start at 0.")
    written = []
    for dimension in DIMENSIONS:
        lines = [MISSING] * first + [_line(event, dimension) for event in grid]
        header = Path(path).with_suffix(f".{dimension}.annotation")
        data = header.with_name(header.name + "~")
        header.write_bytes(_header(dimension, role, len(lines)))
        data.write_text("\n".join(lines) + "\n", encoding="ascii")
        written += [header, data]
    return written


def _line(event: AffectEvent | None, dimension: str) -> str:
    value = None if event is None else getattr(event, dimension)
    if value is None:
        return MISSING
    std = getattr(event, f"{dimension}_std")
    confidence = 1.0 if std is None else min(max(1.0 - std, 0.0), 1.0)
    return f"{value:.6f};{confidence:.4f}"


def _header(dimension: str, role: str, size: int) -> bytes:
    root = ElementTree.Element("annotation", {"ssi-v": "3"})
    ElementTree.SubElement(root, "info", {"ftype": "ASCII", "size": str(size)})
    ElementTree.SubElement(root, "meta", {"annotator": "edgeaff", "role": role})
    scheme = {"name": dimension, "type": "CONTINUOUS", "sr": str(MODEL_RATE_HZ), "min": "-1", "max": "1"}
    ElementTree.SubElement(root, "scheme", scheme)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
