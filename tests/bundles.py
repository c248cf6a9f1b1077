"""Small bundles for tests: a valid manifest, ONNX files written by hand, and archives that break one rule each."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from edgeaff.manifest import REQUIRED_KEYS
from edgeaff.spec import LLD_SIZE, PreprocessSpec

TABLE = {
    "video_coverage": [0.0, 1.0],
    "audio_coverage": [0.0, 1.0],
    "valence_std": [[0.5, 0.4], [0.3, 0.2]],
    "arousal_std": [[0.5, 0.4], [0.3, 0.2]],
    "abstain_above_std": 1.0,
    "audio_only_valence_max_std": 1.0,
}


def manifest(**changes: Any) -> dict[str, Any]:
    """Returns a manifest that loads, with changes at the top."""
    spec = changes.pop("spec_object", PreprocessSpec())
    values: dict[str, Any] = {key: {} for key in REQUIRED_KEYS}
    values.update(
        schema=1,
        model_id="test",
        preset="edge",
        spec=spec.to_dict(),
        fingerprint=spec.fingerprint,
        detector={"id": spec.detector_id},
        statistics={"lld_mean": [0.0] * LLD_SIZE, "lld_std": [1.0] * LLD_SIZE},
        graphs={"affect_step": "affect_step.onnx"},
        uncertainty=TABLE,
        smoothing={"valence_seconds": 0.3, "arousal_seconds": 0.6},
        default_backend="onnxruntime",
        provenance="none",
        intended_use="tests",
        certificates=[],
    )
    values.update(changes)
    return values


def field(number: int, content: bytes | int) -> bytes:
    """Returns a protobuf field: a number, or bytes with their length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tensor(*extra: bytes) -> bytes:
    """Returns a TensorProto of one float32, with more fields."""
    return field(1, 1) + field(2, 1) + field(8, b"w") + field(9, struct.pack("<f", 1.0)) + b"".join(extra)


def graph(*, node: bytes = b"", initializer: bytes = b"", model: bytes = b"", graph_field: bytes = b"") -> bytes:
    """Returns an ONNX file: one Identity node and one tensor, with more fields in either, in the graph or in the model."""
    identity = field(1, b"x") + field(2, b"y") + field(4, b"Identity") + node
    body = field(1, identity) + field(2, b"g") + field(5, initializer or tensor()) + graph_field
    return field(1, 8) + field(7, body) + field(8, field(2, 17)) + model


def sums(members: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in sorted(members)).encode()


def write(
    path: Path,
    content: dict[str, Any] | bytes,
    members: dict[str, bytes] | None = None,
    *,
    stated: bytes | None = None,
    compression: int = zipfile.ZIP_STORED,
    extra: tuple[tuple[str, bytes], ...] = (),
) -> Path:
    """Writes a bundle with right checksums, whichever members it has.

    Args:
        path: the file.
        content: manifest, or its bytes.
        members: name -> bytes; None for one graph.
        stated: SHA256SUMS in place of the right one.
        compression: of the members.
        extra: members that are added once more.
    """
    parts = {"affect_step.onnx": graph()} if members is None else dict(members)
    parts["manifest.json"] = content if isinstance(content, bytes) else json.dumps(content).encode()
    parts["SHA256SUMS"] = sums(parts) if stated is None else stated
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (*sorted(parts.items()), *extra):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, compression)
    return path


def npz(members: dict[str, bytes], *, deflate: bool = False) -> bytes:
    """Returns an archive of raw .npy members, each stored or compressed, without looking at them."""
    body, directory = b"", b""
    for name, data in members.items():
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(data) + packer.flush() if deflate else data
        facts = (8 if deflate else 0, 0, 0x21, zlib.crc32(data), len(packed), len(data), len(name), 0)
        offset, raw = len(body), name.encode()
        body += struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, *facts) + raw + packed
        directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, *facts, 0, 0, 0, 0, offset) + raw
    count = len(members)
    return body + directory + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)


def npy(descr: str, shape: tuple[int, ...], data: bytes, *, fortran: bool = False) -> bytes:
    """Returns a .npy file with any header."""
    head = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data
