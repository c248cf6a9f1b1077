"""ModelBundle: one file `NAME.eaff` with everything that turns frames and audio into affect.

A stored zip: `manifest.json` (description, preprocessing, data), ONNX graphs, packed weights, golden windows, and
`SHA256SUMS` over every other member. `ModelBundle.load` reads the file once and checks all of it before a runtime gets a byte,
including the signature if a key is given: the verified bytes are the loaded bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BundleError, SpecMismatchError
from edgeaff.manifest import BUNDLE_SCHEMA, MOST_VERSION, REQUIRED_KEYS, Manifest
from edgeaff.naming import public_name
from edgeaff.parsing.archives import check_arrays, is_member_name, read_npz, read_zip
from edgeaff.parsing.boundary import Refused, boundary, read_bounded, shown
from edgeaff.parsing.json_text import parse_json
from edgeaff.parsing.onnx_graph import check_onnx
from edgeaff.spec import PreprocessSpec

__all__ = [
    "BUNDLE_SCHEMA",
    "DEFAULT_BUNDLE",
    "GOLDEN",
    "MANIFEST",
    "PACKED",
    "REQUIRED_KEYS",
    "SUMS",
    "ModelBundle",
    "pack_arrays",
]
SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"  # sequences with the outputs of the trained system
SPEECH = "speech.npz"  # weights of the speech gate
PACKED = "step.npz"  # weights of the native step
DEFAULT_BUNDLE = Path(__file__).parent / "assets" / "edge.eaff"
MOST_BUNDLE_BYTES = 1 << 31
MOST_MEMBERS = 64
MOST_MANIFEST_BYTES, MOST_SUMS_BYTES = 1 << 20, 1 << 16
MOST_UNPACKED_BYTES = (
    1 << 28
)  # of the arrays of one compressed .npz member; what is stored needs no limit but the file's
MOST_GOLDEN_TICKS = 1_000_000
_SUM = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """Returns arrays as the bytes of an .npz member; `ModelBundle.arrays` reads them."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


@dataclass(frozen=True)
class ModelBundle:
    """A verified bundle.

    Attributes:
        path: the file that was read.
        manifest: its description, see docs/bundle.md.
        members: name -> bytes of every other member.
        signed_by: id of the key whose signature was verified when it was loaded, None without one.
        sha256: of the file; None for a bundle that was put together in memory.
    """

    path: Path
    manifest: Manifest
    members: dict[str, bytes]
    signed_by: str | None = None
    sha256: str | None = None

    @property
    def spec(self) -> PreprocessSpec:
        """The preprocessing that the model was trained with."""
        return self.manifest.spec

    def __repr__(self) -> str:
        return (
            f"ModelBundle({self.manifest.model_id!r}, path={str(self.path)!r}, fingerprint={self.spec.fingerprint!r})"
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        key: str | os.PathLike[str] | None = None,
        minimum_version: int | None = None,
    ) -> ModelBundle:
        """Reads and verifies a bundle.

        Args:
            path: the file; None for the bundle that ships with edgeaff.
            key: PEM file of the public ed25519 key that must have signed it (`NAME.eaff.sig` beside it); None requires no signature.
            minimum_version: lowest accepted `version` of the manifest, against older bundles with a valid signature.

        Returns:
            The bundle; no runtime has read any of it yet.

        Raises:
            ArgumentError: an argument has a wrong type or value.
            BundleError: the file is missing, no bundle, damaged, not signed by the key, too old, or differs from its manifest.
            SpecMismatchError: it was made for a different preprocessing.
        """
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise ArgumentError(
                f"bundle must be a ModelBundle, a path or None, got {path!r}; pass for example 'affect.eaff'."
            )
        check_minimum_version(minimum_version)
        path = DEFAULT_BUNDLE if path is None else Path(path)
        data = _read_file(path)
        signed_by = None
        if key is not None:
            from edgeaff.signature import check_signature, read_signature

            signed_by = check_signature(path, data, read_signature(path), key)
        with boundary(BundleError, f"{path} must be an .eaff bundle", "copy it again."):
            bundle = _parse(path, data, signed_by)
        _require_version(bundle, minimum_version)
        return bundle

    @property
    def version(self) -> int:
        """The counter of the manifest that every release raises; 0 if it has none."""
        return self.manifest.version

    def member(self, name: str) -> bytes:
        """Returns the bytes of a member.

        Raises:
            BundleError: there is none of that name.
        """
        if name not in self.members:
            raise BundleError(
                f"member must be one of {', '.join(sorted(self.members))}, got {name!r}; see manifest.graphs."
            )
        return self.members[name]

    def has_graph(self, role: str) -> bool:
        """Returns whether the bundle holds a graph for this role (face_detector, face_encoder, affect_step, affect_window)."""
        return role in self.manifest.graphs

    def graph_bytes(self, role: str) -> bytes:
        """Returns the ONNX file for a role.

        Raises:
            BundleError: the bundle has no graph for it.
        """
        if not self.has_graph(role):
            raise BundleError(
                f"role must be one of {', '.join(sorted(self.manifest.graphs))}, got {role!r}; export it into the bundle."
            )
        return self.member(self.manifest.graphs[role])

    def precision(self, role: str) -> str:
        """Returns the precision of a graph: fp32, fp16 or int8."""
        return self.manifest.precisions.get(role, "fp32")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Returns the arrays of an .npz member, in native byte order; Python objects are never unpickled.

        Raises:
            BundleError: there is no such member, or it is no .npz of plain arrays within the limits.
        """
        data = self.member(name)
        with boundary(BundleError, f"{self.path}: {name} must be an .npz of plain arrays", "export the bundle again."):
            return read_npz(data, most_unpacked=MOST_UNPACKED_BYTES)

    def golden(self) -> dict[str, np.ndarray]:
        """Returns the golden sequences, float32: video (S, T, D), audio (S, T, A), present (S, T, 2) and values (S, T, 2).

        Raises:
            BundleError: there are none, or they are not of these shapes, or not finite.
        """
        if GOLDEN not in self.members:
            raise BundleError(f"{self.path} must hold {GOLDEN} to be tested, got none; export it again.")
        arrays = self.arrays(GOLDEN)
        with boundary(
            BundleError, f"{self.path}: {GOLDEN} must hold sequences with their outputs", "export the bundle again."
        ):
            return _checked_golden(arrays)

    def statistics(self, name: str) -> np.ndarray:
        """Returns normalization statistics by name, float32.

        Raises:
            BundleError: there are none of that name.
        """
        if name not in self.manifest.statistics:
            raise BundleError(
                f"{self.path}: statistics must hold {name}, got {', '.join(sorted(self.manifest.statistics)) or 'none'}; "
                "export the bundle again."
            )
        return np.asarray(self.manifest.statistics[name], dtype=np.float32)

    @staticmethod
    def save(path: str | Path, manifest: Manifest, members: dict[str, bytes]) -> None:
        """Writes a bundle; the same content gives the same bytes.

        Args:
            path: the file to write.
            manifest: the description of the bundle.
            members: name -> bytes.

        Raises:
            BundleError: the manifest breaks a rule, a name is reserved or unusable, or there are too many.
        """
        values = manifest.to_dict()
        unusable = [name for name in members if not is_member_name(name)]
        if unusable or len(members) > MOST_MEMBERS - 2:
            raise BundleError(
                f"members must be at most {MOST_MEMBERS - 2}, named by letters, digits and . _ : -, got {len(members)} and "
                f"{shown(unusable[0]) if unusable else 'too many'}; rename or drop them."
            )
        reserved = {MANIFEST, SUMS} & set(members)
        if reserved:
            raise BundleError(
                f"member names must differ from {MANIFEST} and {SUMS}, got {sorted(reserved)}; rename them."
            )
        content = {MANIFEST: json.dumps(values, indent=1, sort_keys=True, allow_nan=False).encode(), **members}
        content[SUMS] = _sums(content)
        import zipfile

        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(content):
                archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content[name])


def open_bundle(
    bundle: ModelBundle | str | os.PathLike[str] | None,
    *,
    key: str | os.PathLike[str] | None = None,
    minimum_version: int | None = None,
) -> ModelBundle:
    """Returns a bundle that may run.

    Args:
        bundle: a path, None for the shipped one, or a loaded bundle, which must have been verified with the same key if one is given.
        key: as for `ModelBundle.load`.
        minimum_version: as for `ModelBundle.load`.

    Raises:
        BundleError: a loaded bundle was not verified with the key, or is too old.
    """
    if not isinstance(bundle, ModelBundle):
        return ModelBundle.load(bundle, key=key, minimum_version=minimum_version)
    check_minimum_version(minimum_version)
    if key is not None:
        from edgeaff.signature import public_key_id

        wanted = public_key_id(key)
        if bundle.signed_by != wanted:
            raise BundleError(
                f"{bundle!r} must have been verified with key {wanted}, got {bundle.signed_by or 'no key'}; pass its path, or "
                "ModelBundle.load(path, key=...)."
            )
    _require_version(bundle, minimum_version)
    return bundle


def _require_version(bundle: ModelBundle, minimum_version: int | None) -> None:
    """Refuses an older bundle.

    Raises:
        BundleError: its version is lower.
    """
    if minimum_version is not None and bundle.version < minimum_version:
        raise BundleError(
            f"{bundle.path}: the version must be at least {minimum_version}, got {bundle.version}; install the newer bundle."
        )


def check_minimum_version(minimum_version: Any) -> None:
    """Checks the lowest version that a caller accepts.

    Raises:
        ArgumentError: it is neither None nor an int that a version can have.
    """
    whole = isinstance(minimum_version, int) and not isinstance(minimum_version, bool)
    if minimum_version is not None and not (whole and 0 <= minimum_version <= MOST_VERSION):
        raise ArgumentError(
            f"minimum_version must be an int in [0, {MOST_VERSION}] or None, got {minimum_version!r}; "
            "pass the version of the oldest bundle that may run."
        )


def _sums(content: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content)).encode()


def _read_file(path: Path) -> bytes:
    """Returns the bytes of a bundle.

    Raises:
        BundleError: it is not there, no file, too large or not readable.
    """
    with boundary(BundleError, f"bundle must be an .eaff file, got {public_name(path)}", "check the path."):
        if path.is_file():
            return read_bounded(path, most_bytes=MOST_BUNDLE_BYTES)
        what = "a folder" if path.is_dir() else "which is not there"
    raise BundleError(f"bundle must be an .eaff file, got {public_name(path)}, {what}; `edgeaff export` writes one.")


def _parse(path: Path, data: bytes, signed_by: str | None) -> ModelBundle:
    """Returns the bundle in a file's bytes. What a parser may still raise is left to the boundary of the caller.

    Raises:
        BundleError: a rule is broken.
        SpecMismatchError: spec and manifest, or spec and this edgeaff, disagree.
    """
    members = {name: bytes(content) for name, content in read_zip(data, most_members=MOST_MEMBERS).items()}
    for name in (MANIFEST, SUMS):
        if name not in members:
            raise BundleError(
                f"{path}: must hold {name}, got only {', '.join(sorted(members)) or 'nothing'}; it is no bundle."
            )
    _verify_sums(path, members)
    manifest = _parse_manifest(path, members.pop(MANIFEST))
    members.pop(SUMS)
    missing = sorted(set(manifest.graphs.values()) - set(members))
    if missing:
        raise BundleError(
            f"{path}: graphs must be members of the bundle, got none named {', '.join(missing)}; export it again."
        )
    for name in sorted(set(manifest.graphs.values()) | {name for name in members if name.endswith(".onnx")}):
        try:
            check_onnx(members[name])
        except Refused as error:
            raise BundleError(f"{path}: {name} must be a plain ONNX graph, got {error}; export it again.") from None
    return ModelBundle(path, manifest, members, signed_by, hashlib.sha256(data).hexdigest())


def _checked_golden(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the golden sequences of an archive.

    Raises:
        Refused: an array is missing or does not fit the others.
    """
    found = check_arrays(arrays, {"video": (None, None, None)})
    rows, ticks = found["video"].shape[:2]
    if not 1 <= rows * ticks <= MOST_GOLDEN_TICKS:
        raise Refused(f"{rows} sequences of {ticks} ticks")
    shapes: dict[str, tuple[int | None, ...]] = {
        "audio": (rows, ticks, None),
        "present": (rows, ticks, 2),
        "values": (rows, ticks, 2),
    }
    if "std" in arrays:
        shapes["std"] = (rows, ticks, 2)
    return found | check_arrays(arrays, shapes)


def _verify_sums(path: Path, members: dict[str, bytes]) -> None:
    """Compares every member with its stated checksum.

    Raises:
        BundleError: they differ, or a statement is malformed or repeated.
    """
    if len(members[SUMS]) > MOST_SUMS_BYTES:
        raise BundleError(
            f"{path}: {SUMS} must be at most {MOST_SUMS_BYTES} bytes, got {len(members[SUMS])}; copy it again."
        )
    stated: dict[str, str] = {}
    for line in members[SUMS].decode("utf-8", "replace").splitlines():
        match = _SUM.fullmatch(line)
        if match is None or match[2] in stated:
            raise BundleError(
                f"{path}: {SUMS} must name each member once with its sha256, got {shown(line)}; copy or export it again."
            )
        stated[match[2]] = match[1]
    actual = {name: hashlib.sha256(data).hexdigest() for name, data in members.items() if name != SUMS}
    for name in sorted(set(stated) | set(actual)):
        if stated.get(name) != actual.get(name):
            raise BundleError(
                f"{path}: {shown(name)[1:-1]} must have sha256 {stated.get(name, 'none stated')}, got "
                f"{actual.get(name, 'no such member')}; the file was changed or damaged: copy or export it again."
            )


def _parse_manifest(path: Path, data: bytes) -> Manifest:
    """Returns the manifest, every field that code reads checked.

    Raises:
        BundleError: it is no bounded JSON, or breaks a rule.
        SpecMismatchError: spec, fingerprint, detector and this edgeaff do not belong together.
    """
    try:
        return Manifest.from_dict(parse_json(data, most_bytes=MOST_MANIFEST_BYTES))
    except Refused as error:
        raise BundleError(f"{path}: {MANIFEST} must be JSON, got {error}; export it again.") from None
    except (BundleError, SpecMismatchError) as error:
        raise type(error)(f"{path}: {error}") from None
