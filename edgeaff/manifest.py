"""The manifest of a bundle: its fields as a frozen value, and the type and range of everything in it that code reads.

`Manifest.from_dict` runs `check_manifest` when a bundle is loaded, and `to_dict` when one is saved, so no reader of a field checks it
again.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from edgeaff.errors import BundleError, SpecMismatchError
from edgeaff.parsing.boundary import Refused, shown
from edgeaff.parsing.json_text import check_size
from edgeaff.spec import LLD_SIZE, PreprocessSpec

BUNDLE_SCHEMA = 1
REQUIRED_KEYS = (
    "schema",
    "model_id",
    "preset",
    "spec",
    "fingerprint",
    "detector",
    "face_encoder",
    "statistics",
    "graphs",
    "uncertainty",
    "smoothing",
    "default_backend",
    "licences",
    "provenance",
    "intended_use",
    "accuracy",
    "certificates",
)
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
MOST_GRAPHS, MOST_CERTIFICATES, MOST_COVERAGES = 32, 64, 64
MOST_VERSION = (1 << 31) - 1
MOST_STD = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}")
_MODEL_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_EMPTY: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """The face detector of a bundle.

    Attributes:
        id: identifier; the spec names the same one.
        stride: the detector runs on every n-th taken frame.
        score_threshold: lowest score of a face.
        input_long_side: longer side of its input, pixels.
        card: further facts in free form.
    """

    id: str
    stride: int = 1
    score_threshold: float = 0.6
    input_long_side: int = 320
    card: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DetectorFacts:
        """Returns the facts from the form of the file."""
        named = {item.name for item in fields(cls)} - {"card"}
        card = {name: value for name, value in values.items() if name not in named}
        return cls(**{name: value for name, value in values.items() if name in named}, card=card)

    def to_dict(self) -> dict[str, Any]:
        """Returns the form of the file."""
        return {
            **self.card,
            "id": self.id,
            "stride": self.stride,
            "score_threshold": self.score_threshold,
            "input_long_side": self.input_long_side,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The description of a bundle.

    Attributes:
        model_id: name and version of the model.
        preset: `edge` or `paper`.
        spec: preprocessing that the model was trained with; the file holds its fingerprint too.
        detector: facts about the face detector.
        face_encoder: card of the face encoder; free.
        statistics: lld_mean and lld_std, 65 numbers each.
        graphs: role -> member with its ONNX graph.
        uncertainty: table of expected errors, see `check_uncertainty`.
        smoothing: valence_seconds and arousal_seconds.
        default_backend: the backend of `backend="default"`.
        licences: of code, weights and data.
        provenance: where weights and data come from.
        intended_use: intended use and out-of-scope use.
        accuracy: measured accuracy; free.
        certificates: agreement of each backend with the reference, see `edgeaff.export.certificate`.
        precisions: role -> precision, if it is not fp32.
        fabricated: parts with random weights.
        version: counter that every release raises; 0 if there is none.
        other: keys that this version of edgeaff does not read; kept when the bundle is saved again.
    """

    model_id: str
    preset: str
    spec: PreprocessSpec
    detector: DetectorFacts
    face_encoder: Mapping[str, Any]
    statistics: Mapping[str, Any]
    graphs: Mapping[str, str]
    uncertainty: Mapping[str, Any]
    smoothing: Mapping[str, float]
    default_backend: str
    licences: Mapping[str, Any]
    provenance: str
    intended_use: str
    accuracy: Mapping[str, Any]
    certificates: tuple[Mapping[str, Any], ...] = ()
    precisions: Mapping[str, str] = field(default_factory=dict)
    fabricated: tuple[str, ...] = ()
    version: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Any) -> Manifest:
        """Returns the manifest from the form of the file, checked.

        Args:
            values: the parsed JSON.

        Raises:
            BundleError: a key is missing, or a value has another type or lies out of its range.
            SpecMismatchError: spec, fingerprint and detector do not belong together, or are of another version of edgeaff.
        """
        check_manifest(values)
        spec = PreprocessSpec.from_dict(values["spec"])
        if spec.fingerprint != values["fingerprint"]:
            raise SpecMismatchError(
                f"the preprocessing fingerprint must be {values['fingerprint']} (bundle), got {spec.fingerprint} (this edgeaff: "
                "other LLD order or spec); export the bundle again with this version."
            )
        detector = DetectorFacts.from_dict(values["detector"])
        if detector.id != spec.detector_id:
            raise SpecMismatchError(
                f"the detector must be {shown(spec.detector_id)} (spec), got {detector.id!r} (manifest); export the bundle with "
                "the detector it was trained with."
            )
        named = {item.name for item in fields(cls)} - {"other"}
        given = {name: value for name, value in values.items() if name in named}
        given |= {"spec": spec, "detector": detector}
        for name in ("certificates", "fabricated"):
            given[name] = tuple(values.get(name, ()))
        unread = {name: value for name, value in values.items() if name not in named | {"schema", "fingerprint"}}
        return cls(**given, other=unread)

    def to_dict(self) -> dict[str, Any]:
        """Returns the form of the file: plain data, checked; without empty optional fields.

        Raises:
            BundleError: a field breaks a rule.
        """
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "other"}
        values |= {"spec": self.spec.to_dict(), "detector": self.detector.to_dict()}
        values |= {name: list(values[name]) for name in ("certificates", "fabricated")}
        for name in ("precisions", "fabricated", "version"):
            if not values[name]:
                del values[name]
        values = {**self.other, **values, "schema": BUNDLE_SCHEMA, "fingerprint": self.spec.fingerprint}
        check_manifest(values)
        return values


def check_manifest(manifest: Any) -> None:
    """Checks every field in use; free fields (cards, accuracy, provenance) have limits on size and depth only.

    Args:
        manifest: as parsed, or unchanged to be written.

    Raises:
        BundleError: a key is missing, or a value has another type or lies out of its range.
    """
    if not isinstance(manifest, dict):
        raise BundleError(f"manifest must be an object, got {shown(manifest)}; export the bundle again.")
    missing = [key for key in REQUIRED_KEYS if key not in manifest]
    if missing:
        raise BundleError(f"manifest must have {', '.join(missing)}, got none of them; export the bundle again.")
    _require(manifest["schema"], "schema", _is_int, "an int")
    if manifest["schema"] != BUNDLE_SCHEMA:
        raise BundleError(
            f"the bundle schema must be {BUNDLE_SCHEMA} (this edgeaff), got {manifest['schema']} (bundle); install a matching "
            "edgeaff or export the bundle again."
        )
    try:
        check_size(manifest)
    except Refused as error:
        raise BundleError(f"manifest must be bounded plain data, got {error}; export the bundle again.") from None
    for key, (rule, words) in _RULES.items():
        if key in manifest:
            _require(manifest[key], key, rule, words)
    _check_detector(manifest["detector"])
    _check_statistics(manifest["statistics"])
    _check_certificates(manifest["certificates"])
    _check_smoothing(manifest["smoothing"])
    check_uncertainty(manifest["uncertainty"])


def check_uncertainty(table: Any) -> None:
    """Checks the table of expected errors.

    Args:
        table: manifest["uncertainty"].

    Raises:
        BundleError: a key is missing, an axis does not rise within [0, 1], a grid has another shape, or a number is out of range.
    """
    at = "uncertainty"
    _require(table, at, _is_dict, "an object")
    sizes = []
    for name in ("video_coverage", "audio_coverage"):
        axis = table.get(name)
        _require(axis, f"{at}.{name}", _rises, f"1 to {MOST_COVERAGES} numbers that rise within [0, 1]")
        sizes.append(len(axis))
    rows, columns = sizes
    for name in ("valence_std", "arousal_std", "valence_half_68", "arousal_half_68"):
        if name in table or name.endswith("_std"):
            grid = table.get(name)
            _require(
                grid,
                f"{at}.{name}",
                lambda value: _is_grid(value, rows, columns),
                f"{rows} x {columns} numbers in [0, {MOST_STD}]",
            )
    shares = table.get("face_half_68_of_std", {"valence": 1.0, "arousal": 1.0})
    in_range = (
        _is_dict(shares)
        and set(shares) == {"valence", "arousal"}
        and all(_within(v, 0, MOST_STD) for v in shares.values())
    )
    _require(shares, f"{at}.face_half_68_of_std", lambda value: in_range, f"valence and arousal in [0, {MOST_STD}]")
    for name in ("abstain_above_std", "audio_only_valence_max_std"):
        _require(
            table.get(name), f"{at}.{name}", lambda value: _within(value, 0, MOST_STD), f"a number in [0, {MOST_STD}]"
        )


def _require(value: Any, name: str, rule: Callable[[Any], bool], words: str) -> None:
    if not rule(value):
        raise BundleError(f"manifest: {name} must be {words}, got {shown(value)}; export the bundle again.")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _within(value: Any, low: float, high: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high


def _is_list(value: Any, rule: Callable[[Any], bool], low: int, high: int) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and low <= len(value) <= high
        and all(map(rule, value))
    )


def _rises(value: Any) -> bool:
    if not _is_list(value, lambda item: _within(item, 0, 1), 1, MOST_COVERAGES):
        return False
    return all(before < after for before, after in zip(value, value[1:], strict=False))


def _is_grid(value: Any, rows: int, columns: int) -> bool:
    def row(items: Any) -> bool:
        return _is_list(items, lambda item: _within(item, 0, MOST_STD), columns, columns)

    return _is_list(value, row, rows, rows)


def _names_to(rule: Callable[[Any], bool], most: int) -> Callable[[Any], bool]:
    """Returns the rule of an object with at most this many names, whose values each obey a rule."""
    return lambda value: (
        isinstance(value, dict) and len(value) <= most and all(map(_is_name, value)) and all(map(rule, value.values()))
    )


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "model_id": (
        lambda value: _is_text(value) and bool(_MODEL_ID.fullmatch(value)),
        "a text of 1 to 200 printable characters",
    ),
    "preset": (_is_name, "a name"),
    "spec": (_is_dict, "an object"),
    "fingerprint": (lambda value: _is_text(value) and bool(_FINGERPRINT.fullmatch(value)), "16 hexadecimal digits"),
    "detector": (_is_dict, "an object"),
    "face_encoder": (_is_dict, "an object"),
    "statistics": (_is_dict, "an object"),
    "graphs": (_names_to(_is_name, MOST_GRAPHS), f"an object of at most {MOST_GRAPHS} names of members by role"),
    "precisions": (
        _names_to(lambda value: value in PRECISIONS, MOST_GRAPHS),
        f"an object of {', '.join(PRECISIONS)} by role",
    ),
    "smoothing": (_is_dict, "an object"),
    "default_backend": (_is_name, "a name"),
    "licences": (_is_dict, "an object"),
    "provenance": (_is_text, "a text"),
    "intended_use": (_is_text, "a text"),
    "accuracy": (_is_dict, "an object"),
    "fabricated": (lambda value: _is_list(value, _is_name, 0, MOST_GRAPHS), "a list of names"),
    "version": (lambda value: _is_int(value) and 0 <= value <= MOST_VERSION, f"an int in [0, {MOST_VERSION}]"),
}


def _check_detector(facts: dict[str, Any]) -> None:
    _require(facts.get("id"), "detector.id", _is_name, "a name")
    optional: dict[str, tuple[Callable[[Any], bool], str]] = {
        "score_threshold": (lambda value: _within(value, 1e-6, 1 - 1e-6), "a number in (0, 1)"),
        "input_long_side": (
            lambda value: _is_int(value) and 32 <= value <= 4096 and value % 32 == 0,
            "a multiple of 32 up to 4096",
        ),
        "stride": (lambda value: _is_int(value) and 1 <= value <= 1000, "an int in [1, 1000]"),
    }
    for name, (rule, words) in optional.items():
        if name in facts:
            _require(facts[name], f"detector.{name}", rule, words)


def _check_statistics(values: dict[str, Any]) -> None:
    limits = {"lld_mean": (-1e12, 1e12), "lld_std": (1e-12, 1e12)}
    for name, (low, high) in limits.items():
        column = functools.partial(_within, low=low, high=high)
        rule = functools.partial(_is_list, rule=column, low=LLD_SIZE, high=LLD_SIZE)
        _require(values.get(name), f"statistics.{name}", rule, f"{LLD_SIZE} numbers in [{low:g}, {high:g}]")


def _check_smoothing(values: dict[str, Any]) -> None:
    for name in ("valence_seconds", "arousal_seconds"):
        _require(values.get(name), f"smoothing.{name}", lambda value: _within(value, 0, 60), "a number in [0, 60]")


def _check_certificates(values: Any) -> None:
    _require(values, "certificates", lambda value: _is_list(value, _is_dict, 0, MOST_CERTIFICATES), "a list of objects")
    for index, certificate in enumerate(values):
        _require(certificate.get("backend"), f"certificates[{index}].backend", _is_name, "a name")
        _require(certificate.get("versions", {}), f"certificates[{index}].versions", _is_dict, "an object")
