"""Doors of the bundle: the archive, the manifest, the whole way to a Session, packed weights, ONNX members, signatures."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle, pack_arrays
from edgeaff.errors import BundleError
from edgeaff.inference import load_predictor
from edgeaff.manifest import Manifest
from edgeaff.parsing.archives import read_npz
from edgeaff.parsing.boundary import Refused
from tests.bundles import field, manifest, npy, npz, sums
from tests.fuzz.door import Door, Feed
from tests.fuzz.mutate import json_bytes, mutate, mutate_message, mutate_value

D, HEADS, FFN, BAND, LAYERS, VIDEO, AUDIO = 16, 1, 16, 3, 1, 4, 65


def packed_step() -> dict[str, np.ndarray]:
    """Returns packed weights of the smallest native step."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"bias": (2,)}
    for name, inputs in (("video", VIDEO), ("audio", AUDIO)):
        shapes |= {
            f"{name}.absent": (D,),
            f"{name}.present": (2, D),
            f"{name}.0.age_bias": (HEADS, BAND),
            f"{name}.cross.age_bias": (HEADS, BAND),
        }
        wide = 2 * D + 2 * HEADS + 2
        sizes = {
            "input": (inputs, D),
            "0.qkv": (D, 3 * D),
            "0.out": (D, D),
            "0.ffn1": (D, FFN),
            "0.ffn2": (FFN, D),
            "cross": (D, wide),
        }
        for part, size in sizes.items():
            shapes |= {f"{name}.{part}.weight": size, f"{name}.{part}.bias": (size[1],)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    meta = {
        "format": 1,
        "architecture": "edgeaff-edge-1",
        "precision": "float32",
        "size": D,
        "num_heads": HEADS,
        "ffn_size": FFN,
        "layers": LAYERS,
        "band": BAND,
        "video_size": VIDEO,
        "audio_size": AUDIO,
    }
    return arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}


def packed_window() -> dict[str, np.ndarray]:
    """Returns packed weights of the smallest native window."""
    rng, d, heads, ticks = np.random.default_rng(1), 64, 1, 3
    arrays: dict[str, np.ndarray] = {"bias": np.zeros(2, np.float32)}

    def linear(name: str, inputs: int, outputs: int) -> None:
        arrays[f"{name}.weight"] = rng.integers(-127, 127, (inputs, outputs)).astype(np.int8)
        arrays[f"{name}.scale"], arrays[f"{name}.bias"] = (
            np.full(outputs, 1e-3, np.float32),
            np.zeros(outputs, np.float32),
        )

    for name, inputs in (("video", 4), ("audio", 68)):
        linear(f"{name}.project", inputs, d)
        linear(f"{name}.query", d, d)
        linear(f"{name}.key.0", d // heads, d)
        for part, outputs in (("qkv", 3 * d), ("out", d), ("ffn1", d), ("ffn2", d)):
            linear(f"{name}.0.{part}", d, outputs)
        shapes = {
            "positions": (ticks, d),
            "packed_positions": (ticks, 3 * d),
            "answer": (2, heads, d),
            "answer_bias": (2,),
            "residual": (2, d),
        }
        shapes |= {f"0.norm{index}.{part}": (d,) for index in (1, 2) for part in ("weight", "bias")}
        arrays |= {f"{name}.{part}": rng.standard_normal(shape).astype(np.float32) for part, shape in shapes.items()}
    meta = {
        "format": 1,
        "architecture": "edgeaff-paper-1",
        "precision": "int8",
        "size": d,
        "num_heads": heads,
        "ffn_size": d,
        "layers": 1,
        "ticks": ticks,
        "video_size": 4,
        "audio_size": 68,
    }
    return arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}


def tensor_value(name: str, size: int) -> bytes:
    """Returns a ValueInfoProto of (1, size) float32."""
    shape = b"".join(field(1, field(1, number)) for number in (1, size))
    return field(1, name.encode()) + field(2, field(1, field(1, 1) + field(2, shape)))


def small_graph() -> bytes:
    """Returns an ONNX file that runs: Tanh(x W + b)."""
    rng = np.random.default_rng(0)

    def node(kind: str, inputs: Sequence[str], output: str) -> bytes:
        return field(
            1,
            b"".join(field(1, name.encode()) for name in inputs) + field(2, output.encode()) + field(4, kind.encode()),
        )

    def weights(name: str, *shape: int) -> bytes:
        values = rng.standard_normal(shape).astype(np.float32).tobytes()
        return field(
            5, b"".join(field(1, size) for size in shape) + field(2, 1) + field(8, name.encode()) + field(9, values)
        )

    body = node("MatMul", ("x", "w"), "p") + node("Add", ("p", "b"), "s") + node("Tanh", ("s",), "y") + field(2, b"g")
    body += weights("w", 4, 3) + weights("b", 3) + field(11, tensor_value("x", 4)) + field(12, tensor_value("y", 3))
    return field(1, 8) + field(7, body) + field(8, field(2, 17))


def golden() -> bytes:
    """Returns golden sequences of the smallest step; their values are not its own."""
    shapes = {"video": (1, 4, VIDEO), "audio": (1, 4, AUDIO), "present": (1, 4, 2), "values": (1, 4, 2)}
    return pack_arrays({name: np.ones(shape, np.float32) for name, shape in shapes.items()})


def parts() -> dict[str, bytes]:
    """Returns manifest and members of the smallest bundle."""
    content = manifest(default_backend="native", precisions={"affect_step": "fp32"}, version=3)
    members = {"affect_step.onnx": small_graph(), "step.npz": pack_arrays(packed_step()), "golden.npz": golden()}
    return {"manifest.json": json.dumps(content).encode(), **members}


def pack(members: dict[str, bytes], *, twice: str | None = None, deflate: bool = False) -> bytes:
    """Returns a bundle of these members with right checksums; one of them twice, or compressed, where that is asked for."""
    buffer = io.BytesIO()
    named = sorted({**members, "SHA256SUMS": sums(members)}.items())
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
        for name, data in [*named, *((name, data) for name, data in named if name == twice)]:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, archive.compression)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Returns the members of a bundle that is whole."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "SHA256SUMS"}


def make_npz(rng: Random, data: bytes) -> bytes:
    """Returns an archive of arrays with one thing changed: a header, the description, a name, a value, or any bytes."""
    choice = rng.random()
    if choice < 0.3:
        return mutate(rng, [data])
    arrays = read_npz(data, most_unpacked=1 << 24)
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    if choice < 0.6 and "meta" in arrays:
        meta = json_bytes(rng, mutate_value(rng, json.loads(arrays["meta"].tobytes())))
        arrays["meta"] = np.frombuffer(meta, np.uint8)
    elif choice < 0.7:
        arrays[rng.choice(("", "meta", name + "x", "../x"))] = arrays.pop(name)
    elif choice < 0.8:
        members = {f"{key}.npy": npy(value.dtype.str, value.shape, value.tobytes()) for key, value in arrays.items()}
        shape = rng.choice((array.shape[::-1], (*array.shape, 1), (1 << 40,), (-1,), (0,), (1 << 20, 1 << 20), ()))
        members[f"{name}.npy"] = npy(
            rng.choice(("<f4", ">f4", "<f8", "|O", "|V0", "<U1", "<f2", "|b1", "<c8")), shape, array.tobytes()
        )
        return npz(members, deflate=rng.random() < 0.3)
    elif array.size and array.dtype.kind == "f":
        array = array.copy()
        array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, 1e38, -1e38, 0.0))
        arrays[name] = array.astype(rng.choice(("f4", "f4", ">f4", "f8", "f2", "i1")))
    elif array.size and array.dtype.kind in "iu":
        array = array.copy()
        limits = np.iinfo(array.dtype)
        for _ in range(rng.choice((1, 1, 3))):
            near = int(array.flat[rng.randrange(array.size)]) + rng.choice((-1, 1, 16))
            value = rng.choice((limits.min, limits.max, 0, 1, -1, 1 << 16, near))
            array.flat[rng.randrange(array.size)] = min(max(value, limits.min), limits.max)
        arrays[name] = array if rng.random() < 0.9 else array[: rng.randrange(len(array))] if array.ndim else array
    else:
        del arrays[name]
    return pack_arrays(arrays)


def make_bundle(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns a bundle with right checksums in which one member is changed in its own way."""
    members = unpack(rng.choice(seeds))
    name = rng.choice(("manifest.json",) * 4 + ("step.npz",) * 3 + ("golden.npz", "affect_step.onnx"))
    if name == "manifest.json":
        changed: Any = json.loads(members[name])
        for _ in range(rng.choice((1, 1, 2))):
            changed = mutate_value(rng, changed)
        members[name] = json_bytes(rng, changed)
    elif name.endswith(".npz"):
        members[name] = make_npz(rng, members[name])
    else:
        members[name] = mutate_message(rng, members[name])
    if rng.random() < 0.05:
        members[rng.choice(("x", "../x", "a/b", "\x1b", "y" * 300))] = b"x"
    return pack(members, twice=name if rng.random() < 0.02 else None, deflate=rng.random() < 0.02)


def open_archive(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """A bundle's bytes -> ModelBundle.load."""
    path = folder / "a.eaff"

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        ModelBundle.load(path)

    return [pack(parts())], feed


def open_session(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """A bundle's bytes -> Session of audio, its test at load, a few rows and samples."""
    from edgeaff.session import Session

    path, rows, samples = folder / "a.eaff", np.ones((40, 65), np.float32), np.zeros(1600, np.int16)

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        bundle = ModelBundle.load(path, minimum_version=1)
        session = Session(bundle, video=False, self_test="warn")
        for event in session.push_lld(rows, pts_ns=0) + session.push_audio(samples, pts_ns=0, sample_rate_hz=16_000):
            for value in (event.valence, event.arousal, event.valence_std):
                if value is not None and not abs(value) <= 10.0:
                    raise AssertionError(f"{value} left a Session")

    return [pack(parts())], feed


def open_packed(_: Path) -> tuple[Sequence[bytes], Feed]:
    """The bytes of step.npz -> the native step and a tick."""
    facts = Manifest.from_dict(manifest(default_backend="native"))

    def feed(data: bytes) -> None:
        predictor = load_predictor(ModelBundle(Path("a.eaff"), facts, {"step.npz": data}))
        for size in (AUDIO, 68):
            with contextlib.suppress(BundleError):  # of the other model's size
                predictor.step(predictor.initial_state(), None, np.zeros(size, np.float32))

    return [pack_arrays(packed_step()), pack_arrays(packed_window())], feed


def open_face_networks(_: Path) -> tuple[Sequence[bytes], Feed]:
    """The bytes of face_nets.npz -> both native networks and an image."""
    from edgeaff.ops.face_nets import FaceNet, net_arrays
    from tests.ops.made_nets import small_detector, small_encoder

    made = {"detector": (small_detector(), 64, 96), "encoder": (small_encoder(), 96, 96)}

    def feed(data: bytes) -> None:
        arrays = read_npz(data, most_unpacked=1 << 24)
        for name, (_, height, width) in made.items():
            FaceNet(net_arrays(arrays, name)).run(np.zeros(3 * height * width, np.uint8), height=height, width=width)

    every = {f"{name}.{key}": array for name, (arrays, _, _) in made.items() for key, array in arrays.items()}
    return [pack_arrays(every)], feed


def open_graph(_: Path) -> tuple[Sequence[bytes], Feed]:
    """The bytes of an ONNX file -> ONNX Runtime and a run."""
    from edgeaff.backends import load_graph

    def feed(data: bytes) -> None:
        graph = load_graph(data)
        shapes = {name: tuple(size or 1 for size in shape) for name, shape in graph.inputs.items()}
        if all(int(np.prod(shape, dtype=object)) <= 1 << 16 for shape in shapes.values()):
            graph.run({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})

    return [small_graph()], feed


def open_signature(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """Bytes that are cut in two: a key file and a signature file."""
    from edgeaff.signature import sign_bundle, verify_signature
    from tests.test_signature import write_keys

    bundle, (private, public) = folder / "a.eaff", write_keys(folder, "mine")
    bundle.write_bytes(b"bundle")
    signature = sign_bundle(bundle, private)

    def feed(data: bytes) -> None:
        key, _, signed = data.partition(b"====")
        public.write_bytes(key)
        signature.write_bytes(signed)
        verify_signature(bundle, public)

    return [public.read_bytes() + b"====" + signature.read_bytes()], feed


def make_npz_alone(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns packed weights with one thing changed."""
    return make_npz(rng, rng.choice(seeds))


def make_graph(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns an ONNX file with one to three fields changed, or any bytes."""
    data = rng.choice(seeds)
    if rng.random() < 0.2:
        return mutate(rng, seeds)
    for _ in range(rng.choice((1, 1, 3))):
        data = mutate_message(rng, data)
    return data


DOORS = [
    Door("bundle archive", open_archive, mutate),
    Door("bundle to session", open_session, make_bundle, share=2.0),
    Door("packed step", open_packed, make_npz_alone),
    Door("face networks", open_face_networks, make_npz_alone, refusals=(Refused,)),
    Door("onnx member", open_graph, make_graph, needs=("onnxruntime",)),
    Door("signature", open_signature, mutate, share=0.5, needs=("cryptography",)),
]
