"""Doors of weight files: the six public layouts, and what `edgeaff models import` writes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.bundles import make_npz
from tests.fuzz.door import Door, Feed
from tests.fuzz.mutate import mutate, mutate_message

Write = Callable[[Any, Path, Any], None]


def open_layout(suffix: str, write: Write, *, map_px: int = 7) -> Callable[[Path], tuple[Sequence[bytes], Feed]]:
    """Returns the opening of a layout.

    Args:
        suffix: of its files.
        write: (module of writers, path, layers) writes a file.
        map_px: side of the map before its fc6.
    """

    def opening(folder: Path) -> tuple[Sequence[bytes], Feed]:
        from edgeaff.training.importers import import_vggface
        from tests.training import vggface_files as files

        path = folder / f"a{suffix}"
        write(files, path, files.known_layers(map_px))
        seed = path.read_bytes()

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            import_vggface(path, channel_order="rgb", config=files.CONFIG)

        return [seed], feed

    return opening


def open_imported(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """What save_weights writes -> read_weights."""
    from edgeaff.training.importers import import_vggface, read_weights, save_weights
    from tests.training import vggface_files as files

    files.write_caffe(folder / "a.caffemodel", files.known_layers(7))
    path = folder / "a.npz"
    save_weights(import_vggface(folder / "a.caffemodel", channel_order="rgb", config=files.CONFIG), path)
    seed = path.read_bytes()

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        read_weights(path)

    return [seed], feed


def make_message(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns a protobuf message with a field or two changed."""
    if rng.random() < 0.3:
        return mutate(rng, seeds)
    data = mutate_message(rng, rng.choice(seeds))
    return mutate_message(rng, data) if rng.random() < 0.3 else data


def make_matlab(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns a MATLAB file with changed bytes, now and then packed as a compressed element."""
    data = mutate(rng, seeds)
    if rng.random() < 0.3 and len(data) > 128:
        packed = zlib.compress(data[128:])
        data = data[:128] + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    return data


def make_imported(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns imported weights with one thing changed."""
    return mutate(rng, seeds) if rng.random() < 0.5 else _without_texts(rng, seeds)


def _without_texts(rng: Random, seeds: Sequence[bytes]) -> bytes:
    from edgeaff.bundle import pack_arrays
    from edgeaff.parsing.archives import read_npz

    plain = {name: array for name, array in read_npz(rng.choice(seeds), text=True).items() if array.dtype.kind != "U"}
    return make_npz(rng, pack_arrays(plain))


def write_matconvnet(files: Any, path: Path, layers: Any) -> None:
    """Writes an uncompressed MATLAB file."""
    files.write_matconvnet(path, layers, compress=False)


DOORS = [
    Door(
        "torch7",
        open_layout(".t7", lambda files, path, layers: files.write_torch7(path, layers)),
        mutate,
        needs=("torch",),
    ),
    Door("matlab", open_layout(".mat", write_matconvnet), make_matlab, needs=("torch", "scipy")),
    Door(
        "keras",
        open_layout(".h5", lambda files, path, layers: files.write_keras(path, layers, nested=True)),
        mutate,
        needs=("torch", "h5py"),
    ),
    Door(
        "caffe",
        open_layout(".caffemodel", lambda files, path, layers: files.write_caffe(path, layers)),
        make_message,
        needs=("torch", "google.protobuf"),
    ),
    Door(
        "pytorch",
        open_layout(".pth", lambda files, path, layers: files.write_pytorch(path, layers, wrapped=False)),
        mutate,
        needs=("torch",),
    ),
    Door(
        "tensorflow",
        open_layout(
            ".ckpt",
            lambda files, path, layers: files.write_single_file(path, files.affwildnet_tensors(layers)),
            map_px=3,
        ),
        mutate,
        needs=("torch", "google.protobuf"),
    ),
    Door("imported weights", open_imported, make_imported, share=0.5, needs=("torch", "google.protobuf")),
]
