"""Weight files that are crafted: refused with one kind of error, soon, and no other file is read."""

from __future__ import annotations

import struct
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from tests.training import vggface_files as files

pytestmark = pytest.mark.needs_torch


def refuse(path: Path, match: str | None = None, *, seconds: float = 2.0, **options: Any) -> None:
    from edgeaff.training.importers import import_vggface

    started = time.monotonic()
    with pytest.raises(ArgumentError, match=match):
        import_vggface(path, config=files.CONFIG, **{"channel_order": "rgb", **options})
    assert time.monotonic() - started < seconds


# --- Torch7 ---------------------------------------------------------------------------------------------------------------


def t7_string(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()


def t7_object(index: int, name: str, content: bytes) -> bytes:
    return struct.pack("<ii", 4, index) + t7_string("V 1") + t7_string(name) + content


def t7_table(index: int, *pairs: bytes) -> bytes:
    return struct.pack("<iii", 3, index, len(pairs) // 2) + b"".join(pairs)


def t7_key(name: str | int) -> bytes:
    return struct.pack("<i", 2) + t7_string(name) if isinstance(name, str) else struct.pack("<id", 1, name)


def t7_reference(index: int, kind: int = 3) -> bytes:
    return struct.pack("<ii", kind, index)


def doubling(depth: int) -> bytes:
    """A network whose every container holds the next one twice: 2^depth modules in a few hundred bytes."""
    inner = t7_table(2 * depth + 1)
    for level in reversed(range(depth)):
        children = t7_table(2 * level + 2, t7_key(1), inner, t7_key(2), t7_reference(2 * (level + 1) + 1))
        inner = t7_table(2 * level + 1, t7_key("modules"), children)
    return inner


TENSOR = t7_object(
    7,
    "torch.FloatTensor",
    struct.pack("<iqqq", 1, 1 << 40, 0, 1) + t7_object(8, "torch.FloatStorage", struct.pack("<qf", 1, 1.0)),
)
TORCH7 = {
    "holds itself": t7_table(1, t7_key("modules"), t7_table(2, t7_key(1), t7_reference(1))),
    "doubles at every level": doubling(60),
    "tensor larger than its storage": t7_table(
        1, t7_key("weight"), TENSOR, t7_key("bias"), TENSOR, t7_key("__class__"), t7_key("Linear")
    ),
    "layer without a bias": t7_table(1, t7_key("weight"), TENSOR, t7_key("__class__"), t7_key("Linear")),
    "many dimensions": t7_object(1, "torch.FloatTensor", struct.pack("<i", 1 << 30)),
    "hundred dimensions": t7_object(
        1,
        "torch.FloatTensor",
        struct.pack("<i", 100)
        + struct.pack("<200q", *([1] * 200))
        + struct.pack("<q", 1)
        + t7_object(8, "torch.FloatStorage", struct.pack("<qf", 1, 1.0)),
    ),
    "many entries": struct.pack("<iii", 3, 1, (1 << 31) - 1),
    "huge storage": t7_object(1, "torch.FloatStorage", struct.pack("<q", 1 << 60)),
    "nested": b"".join(struct.pack("<iii", 3, index, 1) for index in range(5000)),
    "key of NaN": t7_table(1, struct.pack("<id", 1, float("nan")), struct.pack("<i", 0)),
    "key of infinity": t7_table(1, struct.pack("<id", 1, float("inf")), struct.pack("<i", 0)),
}


@pytest.mark.parametrize("what", sorted(TORCH7))
def test_crafted_torch7_file_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "a.t7").write_bytes(TORCH7[what])
    refuse(tmp_path / "a.t7")


# --- MATLAB ---------------------------------------------------------------------------------------------------------------


def mat_element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def mat_matrix(kind: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"layers") -> bytes:
    head = (
        mat_element(6, struct.pack("<II", kind, 0))
        + mat_element(5, struct.pack(f"<{len(shape)}i", *shape))
        + mat_element(1, name)
    )
    return mat_element(14, head + b"".join(parts))


def mat_nested(depth: int) -> bytes:
    inner = mat_matrix(6, (0, 0))
    for _ in range(depth):
        inner = mat_matrix(1, (1, 1), inner)
    return inner


def mat_file(*elements: bytes) -> bytes:
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + b"".join(elements)


BOMB = zlib.compress(bytes(1 << 28), 9)
MATLAB = {
    "bomb": mat_file(struct.pack("<II", 15, len(BOMB)) + BOMB),
    "shape without numbers": mat_file(mat_matrix(6, (1 << 30, 1 << 30))),
    "shape that overflows": mat_file(mat_matrix(6, (1 << 30, 1 << 30, 1 << 30, 16), mat_element(9, b""))),
    "negative shape": mat_file(mat_matrix(6, (-2, -3), mat_element(9, bytes(48)))),
    "nested": mat_file(mat_nested(60)),
    "struct without fields": mat_file(mat_matrix(2, (1, 1))),
    "struct of more values than names": mat_file(
        mat_matrix(2, (1, 1), mat_element(5, struct.pack("<i", 4)), mat_element(1, b"abcd" * 2), mat_matrix(6, (0, 0)))
    ),
    "text beyond Unicode": mat_file(mat_matrix(4, (1, 1), mat_element(6, struct.pack("<I", 0xFFFFFFFF)))),
    "sparse": mat_file(mat_matrix(5, (1, 1), mat_element(9, bytes(8)))),
    "small element that is none": mat_file(struct.pack("<I", 0xFFFF0001) + b"\0" * 8),
    "flags of no bytes": mat_file(mat_element(14, mat_element(6, b"") + mat_element(5, b"") + mat_element(1, b""))),
    "names of another type": mat_file(mat_element(14, mat_element(99, b"12345678") * 3)),
}


@pytest.mark.parametrize("what", sorted(MATLAB))
def test_crafted_matlab_file_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "a.mat").write_bytes(MATLAB[what])
    refuse(tmp_path / "a.mat")


# --- Keras ----------------------------------------------------------------------------------------------------------------


def other_file(folder: Path) -> Path:
    """A file of weights that only its owner may name."""
    files.write_keras(folder / "other.h5", files.known_layers(7), nested=True)
    return folder / "other.h5"


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    other = other_file(tmp_path)
    with h5py.File(other, "r") as file:
        names = list(file.get("model_weights", file))
    for root in ("", "model_weights/"):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name in names:
                file[f"{root}{name}"] = h5py.ExternalLink("other.h5", f"/{name}")
        refuse(tmp_path / "a.h5", "got nothing of that name")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink("other.h5", "/")
    refuse(tmp_path / "a.h5", "got nothing of that name")


def make_h5(path: Path, what: str) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("conv1_1")
        if what == "not stored":
            group.create_dataset("w", (1 << 20, 1 << 16), "f4", chunks=(1024, 1024))
        elif what == "bomb":
            group.create_dataset("w", data=np.zeros((1 << 14, 1 << 11), np.float32), compression="gzip")
        elif what == "virtual":
            layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
            layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
            group.create_virtual_dataset("w", layout)
        elif what == "external":
            group.create_dataset("w", (4,), "f4", external=[("/etc/passwd", 0, 16)])
        elif what == "holds itself":
            group["again"] = group
        elif what == "many":
            for index in range(1100):
                group[f"a{index}"] = np.zeros(1, np.float32)
        elif what == "text":
            group["w"] = "text"
        elif what == "no group":
            del file["conv1_1"]
            file["model_weights"] = 3


@pytest.mark.parametrize(
    "what", ["not stored", "bomb", "virtual", "external", "holds itself", "many", "text", "no group"]
)
def test_crafted_keras_file_is_refused(tmp_path: Path, what: str) -> None:
    pytest.importorskip("h5py")
    make_h5(tmp_path / "a.h5", what)
    refuse(tmp_path / "a.h5")


# --- Caffe, PyTorch, TensorFlow -------------------------------------------------------------------------------------------

CAFFE = {
    "no message": b"\xff" * 40,
    "groups": b"\x0b\x0c",
    "floats of three bytes": b"\x12\x0b\x22\x01a\x32\x06\x2a\x03abc",
    "long number": b"\x08" + b"\xff" * 20,
    "huge shape": b"\x12\x14\x22\x01a\x32\x0f\x3a\x0d\x0a\x0b" + b"\xff" * 9 + b"\x01\x00",
}


@pytest.mark.parametrize("what", sorted(CAFFE))
def test_crafted_caffe_file_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "a.caffemodel").write_bytes(CAFFE[what])
    refuse(tmp_path / "a.caffemodel")


def test_crafted_pytorch_file_is_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "a.pth"
    torch.save({"conv1_1.weight": torch.zeros(1).expand(1 << 30, 64)}, path)
    refuse(path, "plain tensor in its storage")
    torch.save({"conv1_1.weight": torch.zeros(1, dtype=torch.float16).as_strided((1 << 31, 9), (0, 0))}, path)
    refuse(path, "plain tensor in its storage")
    torch.save({"conv1_1.weight": torch.zeros(4, 4).to_sparse()}, path)
    refuse(path, "plain tensor in its storage")
    torch.save({("conv1_1.weight",): torch.zeros(4)}, path)
    refuse(path, "got nothing of that name")
    torch.save({"conv1_1.weight": torch.zeros(1 << 20)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    refuse(path, "stored members")
    path.write_bytes(b"storages".ljust(512, b"\0"))  # the tar form, which torch unpacks into a folder
    refuse(path, "state dict of tensors")


def test_table_of_ever_longer_keys_is_refused() -> None:
    from edgeaff.training.importers.tensorflow import block_entries

    first = b"\x00" + files.varint(3000) + b"\x00" + b"k" * 3000
    longer = files.varint(3000) + files.varint(2000) + b"\x00" + b"k" * 2000
    block = first + longer + struct.pack("<II", 0, 1)
    with pytest.raises(ArgumentError, match="beyond its block"):
        list(block_entries(memoryview(block + b"\0" * 5), 0, len(block)))


# --- all ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".t7", ".mat", ".h5", ".caffemodel", ".pth", ".ckpt"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, suffix: str) -> None:
    link = tmp_path / f"a{suffix}"
    link.symlink_to("/dev/zero")
    refuse(link)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    layers = files.known_layers(7)
    layers["conv1_1"][0][0, 0, 0, 0] = np.nan
    files.write_caffe(tmp_path / "a.caffemodel", layers)
    refuse(tmp_path / "a.caffemodel", "conv1_1.weight must be finite")


IMPORTED = {
    "empty": {},
    "text for a number": {"mean": np.array(["a", "b", "c"]), "map_px": np.array(7), "scale": np.array(1.0)},
    "two means": {"mean": np.zeros(2), "map_px": np.array(7), "scale": np.array(1.0)},
    "array for a number": {"mean": np.zeros(3), "map_px": np.zeros(2), "scale": np.array(1.0)},
}


@pytest.mark.parametrize("what", [*sorted(IMPORTED), "no archive", "objects", "bomb"])
def test_crafted_imported_weights_are_refused(tmp_path: Path, what: str) -> None:
    from edgeaff.training.importers import read_weights

    path = tmp_path / "a.npz"
    if what in IMPORTED:
        np.savez(path, **IMPORTED[what])
    elif what == "objects":
        np.savez(path, mean=np.array([{}], dtype=object))
    elif what == "bomb":
        np.savez_compressed(path, mean=np.zeros(1 << 24))
    else:
        path.write_bytes(b"PK\x03\x04 half")
    for place in (path, tmp_path, tmp_path / "none.npz", Path("/dev/zero")):
        with pytest.raises(ArgumentError, match="edgeaff models import"):
            read_weights(place)
