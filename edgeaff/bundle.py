"""ModelBundle: one file `NAME.eaff` with everything that turns frames and sound into affect.

A stored zip: `manifest.json` (what it is, for which preprocessing, from which data), ONNX graphs, packed weights, golden windows, and
`SHA256SUMS` over every other member. `ModelBundle.load` checks all of it before anything is deserialised by a runtime.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BundleError, SpecMismatchError
from edgeaff.spec import PreprocessSpec

BUNDLE_SCHEMA = 1
SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"  # sequences with the outputs of the trained system
PACKED = "step.npz"  # weights of the native step
REQUIRED_KEYS = (
    "schema", "model_id", "preset", "spec", "fingerprint", "detector", "face_encoder", "statistics", "graphs", "uncertainty",
    "smoothing", "default_backend", "licences", "provenance", "intended_use", "accuracy", "certificates",
)  # fmt: skip
DEFAULT_BUNDLE = Path(__file__).parent / "assets" / "edge.eaff"
MEMBER_LIMIT_BYTES = 1 << 30


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """Returns arrays as the bytes of an .npz member; `ModelBundle.arrays` reads them."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


@dataclass(frozen=True)
class ModelBundle:
    """A verified bundle.

    Attributes:
        path: where it was read from.
        manifest: its manifest, as documented in docs/bundle.md.
        spec: the preprocessing it was trained with.
        members: name -> bytes of every other member.
    """

    path: Path
    manifest: dict[str, Any]
    spec: PreprocessSpec
    members: dict[str, bytes]

    def __repr__(self) -> str:
        return f"ModelBundle({self.manifest['model_id']!r}, path={str(self.path)!r}, fingerprint={self.spec.fingerprint!r})"

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> ModelBundle:
        """Reads and verifies a bundle.

        Args:
            path: the file; None for the bundle that ships with edgeaff.

        Returns:
            The bundle; nothing in it has been handed to a runtime yet.

        Raises:
            ArgumentError: path is no path.
            BundleError: the file is missing, no bundle, damaged, or not what its manifest says.
            SpecMismatchError: it was made for another preprocessing than this edgeaff has.
        """
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise ArgumentError(
                f"bundle must be a ModelBundle, a path or None, got {path!r}; pass for example 'affect.eaff'."
            )
        path = DEFAULT_BUNDLE if path is None else Path(path)
        members = _read_members(path)
        _verify_sums(path, members)
        manifest = _parse_manifest(path, members.pop(MANIFEST))
        members.pop(SUMS)
        spec = PreprocessSpec.from_dict(manifest["spec"])
        if spec.fingerprint != manifest["fingerprint"]:
            raise SpecMismatchError(
                f"{path}: the preprocessing fingerprint must be {manifest['fingerprint']} (bundle), got {spec.fingerprint} (this "
                "edgeaff: other LLD order or spec); export the bundle again with this version."
            )
        missing = sorted(set(manifest["graphs"].values()) - set(members))
        if missing:
            raise BundleError(
                f"{path}: graphs must be members of the bundle, got none named {', '.join(missing)}; export it again."
            )
        return cls(path, manifest, spec, members)

    def member(self, name: str) -> bytes:
        """Returns the bytes of a member.

        Raises:
            BundleError: there is none of that name.
        """
        if name not in self.members:
            raise BundleError(
                f"member must be one of {', '.join(sorted(self.members))}, got {name!r}; see manifest['graphs']."
            )
        return self.members[name]

    def has_graph(self, role: str) -> bool:
        """Returns whether the bundle holds a graph for this role (face_detector, face_encoder, affect_step, affect_window)."""
        return role in self.manifest["graphs"]

    def graph_bytes(self, role: str) -> bytes:
        """Returns the ONNX file for a role.

        Raises:
            BundleError: the bundle has no graph for it.
        """
        if not self.has_graph(role):
            raise BundleError(
                f"role must be one of {', '.join(sorted(self.manifest['graphs']))}, got {role!r}; export it into the bundle."
            )
        return self.member(self.manifest["graphs"][role])

    def precision(self, role: str) -> str:
        """Returns the precision of a graph: fp32, fp16 or int8."""
        return str(self.manifest.get("precisions", {}).get(role, "fp32"))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Returns the arrays of an .npz member (never pickled objects)."""
        with np.load(io.BytesIO(self.member(name)), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}

    def statistics(self, name: str) -> np.ndarray:
        """Returns normalisation statistics by name, float32."""
        return np.asarray(self.manifest["statistics"][name], dtype=np.float32)

    @staticmethod
    def save(path: str | Path, manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        """Writes a bundle; the same content gives the same bytes.

        Args:
            path: the file to write.
            manifest: all required keys; see docs/bundle.md.
            members: name -> bytes.

        Raises:
            BundleError: a key is missing, or a name is reserved.
        """
        missing = [key for key in REQUIRED_KEYS if key not in manifest]
        if missing:
            raise BundleError(
                f"manifest must have {', '.join(REQUIRED_KEYS)}, got none named {', '.join(missing)}; add them."
            )
        reserved = {MANIFEST, SUMS} & set(members)
        if reserved:
            raise BundleError(
                f"member names must differ from {MANIFEST} and {SUMS}, got {sorted(reserved)}; rename them."
            )
        content = {MANIFEST: json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode(), **members}
        content[SUMS] = _sums(content)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(content):
                archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content[name])


def _sums(content: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content)).encode()


def _read_members(path: Path) -> dict[str, bytes]:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "which is not there"
        raise BundleError(f"bundle must be an .eaff file, got {path}, {what}; `edgeaff export` writes one.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {}
            for info in archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > MEMBER_LIMIT_BYTES:
                    raise BundleError(
                        f"{path}: members must be stored and below 1 GiB, got {info.filename}; export it again."
                    )
                members[info.filename] = archive.read(info)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise BundleError(
            f"{path}: must be an .eaff bundle, got a file that cannot be read ({error}); copy it again."
        ) from error
    for name in (MANIFEST, SUMS):
        if name not in members:
            raise BundleError(
                f"{path}: must hold {name}, got only {', '.join(sorted(members)) or 'nothing'}; it is no bundle."
            )
    return members


def _verify_sums(path: Path, members: dict[str, bytes]) -> None:
    stated = {}
    for line in members[SUMS].decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        stated[name] = digest
    actual = {name: hashlib.sha256(data).hexdigest() for name, data in members.items() if name != SUMS}
    for name in sorted(set(stated) | set(actual)):
        if stated.get(name) != actual.get(name):
            raise BundleError(
                f"{path}: {name} must have sha256 {stated.get(name, 'none stated')}, got {actual.get(name, 'no such member')}; "
                "the file was changed or damaged: copy or export it again."
            )


def _parse_manifest(path: Path, data: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise BundleError(f"{path}: {MANIFEST} must be JSON, got {error}; export the bundle again.") from error
    missing = [key for key in REQUIRED_KEYS if key not in manifest]
    if missing:
        raise BundleError(f"{path}: the manifest must have {', '.join(missing)}, got none; export the bundle again.")
    if manifest["schema"] != BUNDLE_SCHEMA:
        raise BundleError(
            f"{path}: the bundle schema must be {BUNDLE_SCHEMA} (this edgeaff), got {manifest['schema']} (bundle); "
            "install a matching edgeaff or export the bundle again."
        )
    if manifest["detector"].get("id") != manifest["spec"].get("detector_id"):
        raise SpecMismatchError(
            f"{path}: the detector must be {manifest['spec'].get('detector_id')!r} (spec), got {manifest['detector'].get('id')!r} "
            "(manifest); export the bundle with the detector it was trained with."
        )
    return manifest
