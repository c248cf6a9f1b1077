"""`Baseline`: what is usual for one person, as an application may keep it, and read it again.

It is personal data. Nothing writes one unless the application does (docs/privacy.md); a Session only lends its own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeaff.errors import ArgumentError
from edgeaff.output_file import PRIVATE, open_output, opening
from edgeaff.parsing.boundary import Refused, boundary, read_bounded, shown
from edgeaff.parsing.json_text import parse_json
from edgeaff.people.usual import BINS, KEEP, UsualValue
from edgeaff.types import DIMENSIONS

FORMAT = "edgeaff-baseline"
SCHEMA = 1
MOST_BYTES = 1 << 16
MOST_WEIGHT = 1.0 / (1.0 - KEEP) + 1.0  # of all parts together: the fade keeps it below
_MOST_NAME = 256
_MUST, _ADVICE = "must be one that edgeaff wrote", "let a session make a new one."


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is usual for one person.

    Attributes:
        model_id: of the bundle whose values were counted; values of another model are not comparable.
        valence: (64,) weight of each of 64 equal parts of [-1, 1], in ticks.
        arousal: (64,) the same.
    """

    model_id: str
    valence: tuple[float, ...]
    arousal: tuple[float, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.model_id, str) or not 0 < len(self.model_id) <= _MOST_NAME:
            raise ArgumentError(f"model_id must be a name, got {shown(self.model_id)}; pass that of the bundle.")
        for name in DIMENSIONS:
            object.__setattr__(self, name, _weights(name, getattr(self, name)))

    def __repr__(self) -> str:
        center, seconds = [round(UsualValue(getattr(self, name)).center, 3) for name in DIMENSIONS], round(self.seconds)
        return f"Baseline(model_id={self.model_id!r}, centers={center}, {seconds} s of evidence)"

    @property
    def centers(self) -> tuple[float, float]:
        """Usual valence and arousal."""
        return UsualValue(self.valence).center, UsualValue(self.arousal).center

    @property
    def seconds(self) -> float:
        """Evidence behind the arousal, which every value that counts has."""
        return UsualValue(self.arousal).seconds

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON for `from_dict`."""
        weights = {name: list(getattr(self, name)) for name in DIMENSIONS}
        return {"format": FORMAT, "schema": SCHEMA, "model_id": self.model_id, **weights}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a JSON file that its owner alone can read; what is there is replaced.

        Args:
            path: the folder must exist.
        """
        with opening(path), open_output(path, mode=PRIVATE) as file:
            file.truncate(0)
            file.write(json.dumps(self.to_dict(), allow_nan=False).encode() + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Baseline:
        """Returns the baseline of a file.

        Args:
            path: of `save`, at most 64 kB.

        Raises:
            ArgumentError: it is none, or of a newer edgeaff.
        """
        with boundary(ArgumentError, f"baseline {shown(os.fspath(path))} {_MUST}", _ADVICE):
            return cls._parsed(parse_json(read_bounded(path, most_bytes=MOST_BYTES), most_bytes=MOST_BYTES))

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Baseline:
        """Returns the baseline of a parsed file.

        Args:
            given: of `to_dict`.

        Raises:
            ArgumentError: it is none, or of another schema.
        """
        with boundary(ArgumentError, f"baseline {_MUST}", _ADVICE):
            return cls._parsed(given)

    @classmethod
    def _parsed(cls, given: Mapping[str, Any]) -> Baseline:
        _check_kind(given)
        return cls(given.get("model_id", ""), given.get("valence", ()), given.get("arousal", ()))


def _check_kind(given: Mapping[str, Any]) -> None:
    """Checks that a parsed file is a baseline of our schema, with nothing else in it.

    Raises:
        Refused: it is not.
    """
    if given.get("format") != FORMAT or type(given.get("schema")) is not int:
        raise Refused("JSON of another kind")
    if given["schema"] != SCHEMA:
        raise Refused(f"schema {shown(given['schema'])}, where {SCHEMA} is read")
    unknown = sorted(set(given) - {"format", "schema", "model_id", *DIMENSIONS})
    if unknown:
        raise Refused(f"the unknown key {shown(unknown[0])}")


def _weights(name: str, given: Any) -> tuple[float, ...]:
    """Returns weights after checking them.

    Raises:
        ArgumentError: they are no 64 finite numbers of at least 0, or more than a session ever counts.
    """
    fits = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == BINS
    if not fits or not all(type(weight) in (int, float) and math.isfinite(weight) and weight >= 0 for weight in given):
        raise ArgumentError(f"{name} must be {BINS} numbers of at least 0, got {shown(given)}; {_ADVICE}")
    if math.fsum(given) > MOST_WEIGHT:
        raise ArgumentError(f"{name} must weigh at most {MOST_WEIGHT:.0f} ticks, got {math.fsum(given):.6g}; {_ADVICE}")
    return tuple(float(weight) for weight in given)


def as_plain(given: Any) -> Any:
    """Returns an option `baseline` as plain JSON, which a recording can hold; a file is read. given: see `as_baseline`."""
    if isinstance(given, (str, os.PathLike)):
        given = Baseline.load(given)
    return given.to_dict() if isinstance(given, Baseline) else given


def as_baseline(given: Any, *, model_id: str, max_faces: int) -> tuple[bool, Baseline | None]:
    """Returns whether relative values are wanted, and the baseline to begin with.

    Args:
        given: option of a Session: None or False, True, a Baseline, a path, or a parsed file.
        model_id: of the bundle in use.
        max_faces: most faces with their own events.

    Raises:
        ArgumentError: it is none of these, of another model, or of one person while several are looked at.
    """
    if given is None or isinstance(given, bool):
        return bool(given), None
    if isinstance(given, Baseline):
        found = given
    elif isinstance(given, Mapping):
        found = Baseline.from_dict(given)
    elif isinstance(given, (str, os.PathLike)):
        found = Baseline.load(given)
    else:
        raise ArgumentError(
            f"baseline must be True, a Baseline or a path, got {shown(given)}; pass True to begin without a past."
        )
    if found.model_id != model_id:
        raise ArgumentError(
            f"baseline must be of the model {model_id}, got one of {shown(found.model_id)}; its values are not comparable, "
            "begin with True."
        )
    if max_faces > 1:
        raise ArgumentError(
            f"baseline must be True with max_faces {max_faces}, got that of one person; which face is theirs is not known."
        )
    return True, found
