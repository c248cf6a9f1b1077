"""Hostile bundles: each breaks one rule of the archive, the manifest, a graph or an array, and is refused as a BundleError."""

from __future__ import annotations

import copy
import dataclasses
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.bundle import ModelBundle, pack_arrays
from edgeaff.errors import BundleError, EdgeaffError
from edgeaff.manifest import Manifest
from tests.bundles import field, graph, manifest, npy, npz, sums, tensor, varint, write

WRONG = [None, True, 3, -1.5, "text\x1b[31m", [], ["a"], {"a": {}}, 1 << 62, 1e308, [[1]], "x" * 70_000]
MEMBERS = {"affect_step.onnx": graph(), "manifest.json": json.dumps(manifest()).encode()}


def patched(path: Path, find: bytes, put: Callable[[int], bytes], *, after: bytes = b"") -> None:
    """Overwrites bytes of a file at the last place of `find` behind `after`."""
    data = bytearray(path.read_bytes())
    position = data.rindex(find, data.index(after) if after else 0)
    new = put(position)
    data[position : position + len(new)] = new
    path.write_bytes(data)


def refuse(path: Path, match: str = "") -> None:
    with pytest.raises(BundleError, match=match):
        ModelBundle.load(path)


# --- the archive ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["affect_step.onnx", "manifest.json", "SHA256SUMS"])
def test_duplicate_member_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write(tmp_path / "a.eaff", manifest(), extra=((name, graph(node=field(3, b"other"))),))
    refuse(path, "twice")


def test_member_stated_twice_in_the_sums_is_refused(tmp_path: Path) -> None:
    stated = sums(MEMBERS)
    refuse(
        write(tmp_path / "a.eaff", manifest(), stated=stated + stated.splitlines(keepends=True)[0]),
        "name each member once",
    )


@pytest.mark.parametrize("flags", [0x1, 0x20, 0x40, 0x2000, 0x8])
def test_encrypted_or_patched_member_is_refused(tmp_path: Path, flags: int) -> None:
    path = write(tmp_path / "a.eaff", manifest())
    patched(path, b"PK\x01\x02", lambda _: b"PK\x01\x02" + struct.pack("<HHH", 20, 20, flags))
    refuse(path, "flags")


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    refuse(write(tmp_path / "a.eaff", manifest(), compression=zipfile.ZIP_DEFLATED), "stored")


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99])
def test_unknown_compression_is_refused(tmp_path: Path, method: int) -> None:
    path = write(tmp_path / "a.eaff", manifest())
    patched(path, b"PK\x01\x02", lambda _: b"PK\x01\x02" + struct.pack("<HHHH", 20, 20, 0, method))
    refuse(path, "stored")


@pytest.mark.parametrize("size", [1 << 20, 0xFFFFFFFF])
def test_member_beyond_the_end_is_refused(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.eaff", manifest())
    patched(path, b"PK\x01\x02", lambda at: path.read_bytes()[at : at + 20] + struct.pack("<II", size, size))
    refuse(path, "beyond the end")


def test_members_over_each_other_are_refused(tmp_path: Path) -> None:
    data = npz({"a.onnx": b"\0" * 4000, "b.onnx": b"\1" * 10})
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    inner = bytearray(data)
    local = data.index(b"PK\x03\x04", 10)
    inner[40 : 40 + 36 + 10] = data[
        local : local + 36 + 10
    ]  # the second member's header and content lie in the first one
    inner[second + 42 : second + 46] = struct.pack("<I", 40)
    (tmp_path / "a.eaff").write_bytes(inner)
    refuse(tmp_path / "a.eaff", "over each other")


@pytest.mark.parametrize("name", ["../x.onnx", "/etc/x", "a\\b", "\x1b[31m", "a b", "", "x" * 200])
def test_member_with_an_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.eaff", manifest(), {"affect_step.onnx": graph(), name: b"x"})
    with pytest.raises(BundleError) as caught:
        ModelBundle.load(path)
    assert "\x1b" not in str(caught.value).replace(str(path), "")


def test_more_members_than_a_bundle_has_are_refused(tmp_path: Path) -> None:
    many = {f"m{index}": b"" for index in range(100)}
    refuse(write(tmp_path / "a.eaff", manifest(), {"affect_step.onnx": graph(), **many}), "more than 64")


def test_zip64_and_comments_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.eaff", manifest())
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b"\x05\0hello")
    refuse(path, "comment")
    path.write_bytes(data[:-22] + b"PK\x06\x07" + b"\0" * 16 + data[-22:])
    refuse(path, "directory")


# --- the manifest ---------------------------------------------------------------------------------------------------------

FREE = {"accuracy", "licences", "face_encoder"}  # of these the type alone is a rule


@pytest.mark.parametrize("key", sorted(manifest()))
def test_top_level_key_of_a_wrong_type_or_range_is_refused(tmp_path: Path, key: str) -> None:
    original = manifest()[key]
    for value in WRONG:
        if isinstance(original, dict) and isinstance(value, dict) and key in FREE:
            continue
        if value == [] and key == "certificates":
            continue
        with pytest.raises(EdgeaffError) as caught:
            ModelBundle.load(write(tmp_path / "a.eaff", manifest(**{key: value})))
        assert "\x1b" not in str(caught.value), (key, value)


@pytest.mark.parametrize("section", ["spec", "uncertainty", "smoothing", "statistics"])
def test_inner_key_of_a_wrong_type_or_range_is_refused(tmp_path: Path, section: str) -> None:
    for key in manifest()[section]:
        for value in (None, True, -1e30, "text", [[[1]]], {"a": 1}, 1e308, [0.5, 0.1], [1e30] * 65):
            changed = copy.deepcopy(manifest())
            changed[section][key] = value
            with pytest.raises(EdgeaffError):
                ModelBundle.load(write(tmp_path / "a.eaff", changed))


@pytest.mark.parametrize("rate", [0, -30, 10**9, 30.0, True])
def test_rate_that_would_hang_is_refused_by_the_spec(tmp_path: Path, rate: Any) -> None:
    changed = manifest()
    changed["spec"]["model_rate_hz"] = rate
    refuse(write(tmp_path / "a.eaff", changed), "model_rate_hz")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"[" * 100_000, "nested|JSON"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "nested|nesting"),
        (b'{"schema": 1, "schema": 1}', "twice"),
        (b'{"a": NaN}', "finite"),
        (b'{"a": -Infinity}', "finite"),
        (b'{"a": 1e999}', "finite"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "64 bits"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"[1]", "no object"),
        (b'{"a": [' + b"0," * 60_000 + b"0]}", "more than"),
    ],
)
def test_json_beyond_its_limits_is_refused(tmp_path: Path, text: bytes, match: str) -> None:
    refuse(write(tmp_path / "a.eaff", text), match)


def test_schema_true_is_not_schema_1(tmp_path: Path) -> None:
    refuse(write(tmp_path / "a.eaff", manifest(schema=True)), "schema must be an int")


def test_saving_refuses_what_loading_refuses(tmp_path: Path) -> None:
    hostile = dataclasses.replace(Manifest.from_dict(manifest()), smoothing={})
    with pytest.raises(BundleError, match="smoothing.valence_seconds"):
        ModelBundle.save(tmp_path / "a.eaff", hostile, {"affect_step.onnx": graph()})


@pytest.mark.parametrize("name", ["../x", "a b", "\x1b"])
def test_saving_refuses_names_that_loading_refuses(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="rename or drop"):
        ModelBundle.save(tmp_path / "a.eaff", Manifest.from_dict(manifest()), {"affect_step.onnx": graph(), name: b""})
    assert not (tmp_path / "a.eaff").exists()


# --- the graphs -----------------------------------------------------------------------------------------------------------

EXTERNAL = field(13, field(1, b"location") + field(2, b"weights.bin")) + field(14, 1)
GRAPHS = {
    "external initializer": graph(initializer=tensor(EXTERNAL)),
    "external by its location alone": graph(initializer=tensor(field(14, 1))),
    "external in a constant": graph(node=field(5, field(1, b"value") + field(5, tensor(EXTERNAL)))),
    "external in a list of tensors": graph(node=field(5, field(1, b"value") + field(10, tensor(EXTERNAL)))),
    "external in a function": graph(model=field(25, field(7, field(5, field(5, tensor(EXTERNAL)))))),
    "loop": graph(node=field(5, field(1, b"body") + field(6, field(2, b"g")))),
    "branches": graph(node=field(5, field(1, b"bodies") + field(11, field(2, b"g")))),
    "sparse initializer": graph(graph_field=field(15, b"")),
    "sparse constant": graph(node=field(5, field(22, b""))),
    "training part": graph(model=field(20, b"")),
    "unknown domain": graph(node=field(7, b"evil")),
    "two graphs": graph(model=field(7, field(1, b""))),
    "cut off": graph()[:-3],
    "wire type": varint(7 << 3 | 3),
    "nothing": b"",
}


@pytest.mark.parametrize("what", sorted(GRAPHS))
@pytest.mark.parametrize("name", ["affect_step.onnx", "not_named_in_graphs.onnx"])
def test_graph_that_reaches_outside_is_refused(tmp_path: Path, what: str, name: str) -> None:
    refuse(write(tmp_path / "a.eaff", manifest(), {"affect_step.onnx": graph(), name: GRAPHS[what]}), name)


def test_graph_from_a_file_is_checked_as_well() -> None:
    from edgeaff.backends import load_graph

    with pytest.raises(BundleError, match="external data"):
        load_graph(GRAPHS["external initializer"])


# --- the arrays -----------------------------------------------------------------------------------------------------------

ARRAYS = {
    "no archive": b"PK",
    "object": npz({"a.npy": npy("|O", (1,), b"\0" * 8)}),
    "structure": npz({"a.npy": npy("[('x', '<f4')]", (1,), b"\0" * 4)}),
    "no width": npz({"a.npy": npy("|V0", (1,), b"")}),
    "code in the header": npz({"a.npy": b"\x93NUMPY\x01\x00\x10\x00__import__('os')"}),
    "shape beyond the data": npz({"a.npy": npy("<f4", (1 << 40,), b"\0" * 4)}),
    "shape that overflows": npz({"a.npy": npy("<f4", (1 << 32, 1 << 32, 0, 7), b"\0" * 4)}),
    "bytes behind the data": npz({"a.npy": npy("<f4", (1,), b"\0" * 8)}),
    "unpacks beyond the limit": npz({"a.npy": npy("<f4", (1 << 27,), b"\0" * (1 << 29))}, deflate=True),
}


@pytest.mark.parametrize("what", sorted(ARRAYS))
def test_arrays_beyond_the_rules_are_refused(what: str) -> None:
    bundle = ModelBundle.load()
    hostile = ModelBundle(bundle.path, bundle.manifest, {**bundle.members, "step.npz": ARRAYS[what]})
    with pytest.raises(BundleError, match="step.npz"):
        hostile.arrays("step.npz")
    with pytest.raises(BundleError):
        edgeaff.Session(hostile)


def test_bytes_of_the_other_order_are_read_as_numbers() -> None:
    bundle = ModelBundle.load()
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in bundle.arrays("step.npz").items()}
    members = {**bundle.members, "step.npz": pack_arrays(swapped)}
    values = [
        session.push_lld(np.ones((30, 65), np.float32), pts_ns=0)[0].arousal_raw
        for session in (
            edgeaff.Session(ModelBundle(bundle.path, bundle.manifest, held), video=False)
            for held in (bundle.members, members)
        )
    ]
    assert values[0] == values[1]


def with_step(**changes: Any) -> ModelBundle:
    """Returns the shipped bundle with another description of its packed step, and other arrays where a value is one."""
    bundle = ModelBundle.load()
    arrays = bundle.arrays("step.npz")
    meta = json.loads(arrays["meta"].tobytes())
    arrays |= {name: value for name, value in changes.items() if isinstance(value, np.ndarray)}
    meta |= {name: value for name, value in changes.items() if not isinstance(value, np.ndarray)}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    return ModelBundle(bundle.path, bundle.manifest, {**bundle.members, "step.npz": pack_arrays(arrays)})


@pytest.mark.parametrize("name", ["num_heads", "size", "ffn_size", "layers", "band", "video_size", "audio_size"])
@pytest.mark.parametrize("value", [0, -1, 3, 1 << 28, 1 << 31, 1 << 62, 4.0, "4", None, True, [4]])
def test_size_of_the_packed_step_out_of_range_is_refused(name: str, value: Any) -> None:
    if (name, value) == ("layers", 0):
        return  # a model without layers; its other tensors are then the wrong ones, or right
    with pytest.raises(BundleError):
        edgeaff.Session(with_step(**{name: value}))


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "float128"},
        {"precision": None},
        {"architecture": "other"},
        {"format": True},
        {"bias": np.array([np.nan, 0], np.float32)},
        {"bias": np.zeros(2, np.float64)},
        {"bias": np.zeros((2, 1), np.float32)},
    ],
    ids=str,
)
def test_packed_step_that_is_not_whole_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        edgeaff.Session(with_step(**changes))


@pytest.mark.parametrize(
    "values", [{}, {"video": np.zeros((1, 2, 3), np.float32)}, {"values": np.full((4, 150, 2), np.nan, np.float32)}]
)
def test_golden_sequences_of_other_shapes_are_refused(values: dict[str, np.ndarray]) -> None:
    bundle = ModelBundle.load()
    arrays = {**bundle.arrays("golden.npz"), **values} if values else {}
    members = {**bundle.members, "golden.npz": pack_arrays(arrays)}
    with pytest.raises(BundleError):
        edgeaff.Session(ModelBundle(bundle.path, bundle.manifest, members), self_test="refuse")


@pytest.mark.parametrize("role", ["face_detector", "face_encoder", "affect_step"])
def test_graph_that_does_not_fit_is_refused_at_load(role: str) -> None:
    bundle = ModelBundle.load()
    other = {"face_detector": "face_encoder", "face_encoder": "face_detector", "affect_step": "face_encoder"}[role]
    members = {**bundle.members, f"{role}.onnx": bundle.members[f"{other}.onnx"]}
    with pytest.raises(BundleError):
        edgeaff.Session(ModelBundle(bundle.path, bundle.manifest, members), backend="onnxruntime")
