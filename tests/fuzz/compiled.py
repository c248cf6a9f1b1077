"""Doors of compiled code: arguments of every op. An input is the seed of a call, so that arrays of any kind can be made of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgeaff.detection.decode import decode_maps
from edgeaff.errors import EdgeaffError
from edgeaff.features.lld import LldStream
from edgeaff.features.resample import Resampler
from edgeaff.ops import reference
from edgeaff.ops.crop_resize import PIXEL_FORMATS, crop_resize, crop_resize_planes
from edgeaff.ops.cross_modal_attention import cross_modal_attention
from edgeaff.ops.thumbnail import gray_thumbnail
from edgeaff.types import FaceBox, TrackedFace
from tests.fuzz.door import Door, Feed
from tests.ops.exporters import Forged, Raising
from tests.recording.test_recorder import SumSession

DTYPES = ("f4", "f4", "f4", ">f4", "f8", "f2", "i4", "u1", "?", "c8", "V0", "S0", "V4", "O", "M8[s]", "U1")
NUMBERS = (
    0,
    -1,
    1,
    2,
    3,
    2**31,
    2**40,
    2**63,
    2**64,
    -(2**63),
    0.5,
    1e300,
    float("nan"),
    float("inf"),
    None,
    True,
    "2",
    [],
    b"x",
)
SAMPLE_TYPES = (*("i2", "f4") * 6, ">i2", ">f4", "f8", "i4", "u1", "V0", "O")
ARRAYS = ("q_audio", "kv_audio", "q_video", "kv_video")
TOLERANCE = 2e-4  # of small sums in float32 against float64


def make_seed(rng: Random, _: Sequence[bytes]) -> bytes:
    """Returns the seed of a call."""
    return rng.randbytes(8)


def odd_array(rng: Random, shape: tuple[int, ...]) -> Any:
    """Returns an array of about this shape that differs in type, order, strides, place, or kind."""
    choice = rng.random()
    if choice < 0.1:
        return rng.choice(
            (None, 5, "x", [[1.0]], np.float32(1), Raising(rng.choice((KeyError("k"), ValueError("v"), MemoryError()))))
        )
    if choice < 0.2:
        return forged(rng, shape)
    if choice < 0.35:
        changed = list(shape)
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 2, 7, 33))
        shape = rng.choice((tuple(changed), shape[1:], (*shape, 1), ()))
    array = np.zeros(shape, rng.choice(DTYPES))
    if rng.random() < 0.3:
        array = np.broadcast_to(array[..., :1], shape) if array.ndim and array.shape[-1] else array
    if rng.random() < 0.3 and array.ndim:
        array = rng.choice((array[::-1], array[..., ::-1], array.T, np.asfortranarray(array), array[..., ::2]))
    if rng.random() < 0.2 and array.dtype.kind != "O" and array.nbytes:
        memory = np.zeros(array.nbytes + 1, np.uint8)
        array = memory[1:].view(array.dtype).reshape(array.shape) if array.dtype.itemsize else array
    if rng.random() < 0.2:
        array = array.view()
        array.flags.writeable = False
    return np.ma.masked_array(array) if rng.random() < 0.02 else array


def forged(rng: Random, shape: tuple[int, ...]) -> Forged:
    """Returns an exporter of DLPack with a field or two that are wrong."""
    fields: dict[str, Any] = {}
    for name in rng.sample(
        ("data", "device_type", "device_id", "ndim", "code", "bits", "lanes", "byte_offset", "name", "device"),
        rng.choice((0, 1, 2)),
    ):
        values: Any = {
            "data": (None,),
            "name": (b"used_dltensor", b"dltensor_versioned", b"x"),
            "device": ((2, 0), (7, 7), (1,)),
            "byte_offset": (0,),
            "ndim": (0, 1, 2, -1, 65, 2**30),
            "lanes": (0, 1, 2, 65535),
            "bits": (0, 8, 16, 64, 255),
            "code": (0, 1, 2, 4, 5, 6, 99),
        }.get(name, (-1, 0, 1, 2, 13, 2**31 - 1))
        fields[name] = rng.choice(values)
    if fields.get("ndim", 0) > len(shape):
        fields["ndim"] = rng.choice((65, 2**30))  # axes in between would be read behind the sizes that are there
    sizes = tuple(rng.choice((size, size, size, -1, 2**62)) for size in shape) if rng.random() < 0.3 else shape
    return Forged(sizes, **fields)


def attention_call(rng: Random) -> dict[str, Any]:
    """Returns the arguments of a call that is valid but for some of them."""
    batch, queries, keys, heads, head = (
        rng.choice(row) for row in ((1, 2), (1, 2, 3, 5, 30), (0, 1, 4, 5, 33), (1, 2), (16, 16, 32))
    )
    wide, band, numbers = heads * head, rng.choice((1, 3, 40)), np.random.default_rng(rng.getrandbits(32))
    shapes = {
        "q_audio": (batch, queries, wide),
        "kv_audio": (batch, keys, 2 * wide),
        "q_video": (batch, queries, wide),
        "kv_video": (batch, keys, 2 * wide),
    }
    more = {
        "key_mask_audio": (batch, keys),
        "key_mask_video": (batch, keys),
        "age_bias_audio": (heads, band),
        "age_bias_video": (heads, band),
        "residual_audio": (batch, queries, wide),
        "residual_video": (batch, queries, wide),
    }
    chosen = shapes | {name: more[name] for name in rng.sample(sorted(more), rng.choice((0, 0, 1, 3)))}
    call: dict[str, Any] = {name: numbers.standard_normal(shape).astype(np.float32) for name, shape in chosen.items()}
    for name in call:
        if name.startswith("key_mask"):
            call[name] = call[name] > 0
    call |= {"alpha": 0.5, "beta": 1.5, "num_heads": heads}
    if any(name.startswith("age_bias") for name in call) or rng.random() < 0.2:
        call["band"] = band
    if rng.random() < 0.3:
        call["threads"] = rng.choice((1, 2, 3))
    if rng.random() < 0.2:
        call["out"] = np.zeros(shapes["q_audio"], np.float32)
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice((*chosen, "out", "alpha", "beta", "num_heads", "band", "threads", "stream"))
        is_array = name in chosen or name == "out"
        call[name] = odd_array(rng, {**chosen, "out": shapes["q_audio"]}[name]) if is_array else rng.choice(NUMBERS)
    return call


def feed_attention(data: bytes) -> None:
    """Makes a call; where it is taken and the inputs are numbers, the result is compared with the reference."""
    call = attention_call(Random(data))
    found = cross_modal_attention(**call)
    given = {name: value for name, value in call.items() if name not in ("threads", "out", "stream")}
    if all(isinstance(value, (np.ndarray, int, float)) or value is None for value in given.values()) and isinstance(
        found, np.ndarray
    ):
        if given.get("band") is not None:
            given["band"] = min(given["band"], 1 << 20)
        expected = reference.cross_modal_attention(**given)
        scale = max(1.0, *(abs(float(given[name])) for name in ("alpha", "beta")))
        if not np.allclose(found, expected, atol=TOLERANCE * scale, rtol=TOLERANCE, equal_nan=True):
            raise AssertionError(f"off by {np.abs(found - expected).max()}")


def feed_images(data: bytes) -> None:
    """Calls the ops on images."""
    rng = Random(data)
    pixel_format = rng.choice((*PIXEL_FORMATS, "rgb", "rgb", "yuv", None))
    shape = {"gray": (9, 8), "nv12": (12, 8)}.get(pixel_format, (9, 8, 3))
    image: Any = np.full(shape, 7, np.uint8) if rng.random() < 0.5 else odd_array(rng, shape)
    if rng.random() < 0.4 and isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim:
        image = rng.choice(
            (
                image[::-1],
                image[:, ::-1] if image.ndim > 1 else image,
                image[..., ::-1],
                np.broadcast_to(image, image.shape),
            )
        )
    box: Any = (
        [rng.choice((0, 0, 8, 9, -3, 4.5, 1e6, -1e6)) for _ in range(4)]
        if rng.random() < 0.7
        else [rng.choice(NUMBERS) for _ in range(rng.choice((3, 4, 4, 5)))]
    )
    sizes = {name: rng.choice((1, 2, 7, 32, *NUMBERS)) for name in ("width", "height")}
    which = rng.randrange(4)
    if which == 0:
        gray_thumbnail(image)
    elif which == 1:
        out: Any = np.zeros((3, 8, 8), np.uint8) if rng.random() < 0.5 else odd_array(rng, (3, 8, 8))
        crop_resize_planes(image, box, out, pixel_format=pixel_format, **sizes)
    elif which == 2:
        crop_resize(image, box, pixel_format=pixel_format, **sizes)
    else:
        numbers = np.random.default_rng(rng.getrandbits(32))
        maps: list[Any] = [
            (numbers.standard_normal((15, side, side)) * rng.choice((1, 1e4, 1e38))).astype(np.float32)
            for side in (4, 2, 1)
        ]
        maps[rng.randrange(3)] = (
            odd_array(rng, (15, 2, 2)) if rng.random() < 0.5 else maps[0] * np.float32(rng.choice((1, np.nan, np.inf)))
        )
        decode_maps(maps, score_threshold=0.5)


def feed_samples(data: bytes) -> None:
    """Pushes audio of every kind through descriptors and resampler."""
    rng = Random(data)
    takers: list[Callable[[Any], Any]] = [
        LldStream(sample_rate_hz=rng.choice((16_000, 8_000, 44_100))).push,
        Resampler(rng.choice((8_000, 48_000))).push,
    ]
    taker = rng.choice(takers)
    for _ in range(3):
        if rng.random() < 0.2:
            samples = odd_array(rng, (rng.choice((0, 1, 400)),))
        else:
            numbers = np.random.default_rng(rng.getrandbits(32)).standard_normal(rng.choice((0, 1, 7, 160, 900)))
            with np.errstate(all="ignore"):
                samples = (np.clip(numbers, -1, 1) * rng.choice((0, 1e-30, 0.1, 1, 1))).astype(rng.choice(SAMPLE_TYPES))
                if samples.dtype.kind == "i" or rng.random() < 0.05:
                    samples = (numbers * 3e4).astype(samples.dtype)
        if (
            rng.random() < 0.1
            and isinstance(samples, np.ndarray)
            and samples.dtype.kind == "f"
            and samples.size
            and samples.flags.writeable
        ):
            samples.flat[rng.randrange(samples.size)] = rng.choice((np.nan, np.inf, -np.inf))
        taker(samples)


def feed_session(data: bytes) -> None:
    """Pushes what no caller should push, between what is right."""
    rng, session = Random(data), SumSession()
    for index in range(4):
        pts_ns: Any = rng.choice((index * 33_000_000, index * 33_000_000, rng.randrange(2**62), -5, *NUMBERS))
        odd = rng.random() < 0.6
        crop = odd_array(rng, (96, 96, 3)) if odd else np.zeros((96, 96, 3), np.uint8)
        faces = rng.choice((None, [], [(TrackedFace(1, FaceBox(0, 0, 9, 9), 0.9), crop)], [(None, crop)], [crop]))
        with contextlib.suppress(EdgeaffError):
            session.push_frame(odd_array(rng, (8, 8, 3)) if odd else np.zeros((8, 8, 3), np.uint8), pts_ns=pts_ns)
        with contextlib.suppress(EdgeaffError):
            samples = odd_array(rng, (300,)) if odd else np.zeros(300, np.int16)
            session.push_audio(samples, pts_ns=pts_ns, sample_rate_hz=rng.choice((16_000, 16_000, *NUMBERS)))
        with contextlib.suppress(EdgeaffError):
            session.push_lld(odd_array(rng, (4, 65)) if odd else np.zeros((4, 65), np.float32), pts_ns=pts_ns)
        with contextlib.suppress(EdgeaffError):
            session.push_face(faces, pts_ns=pts_ns)
        with contextlib.suppress(EdgeaffError):
            session.advance(pts_ns)
    session.finish()


def opened(feed: Feed) -> Callable[[Path], tuple[Sequence[bytes], Feed]]:
    """Returns the opening of a door without files."""
    return lambda _: ([b"0", b"1"], feed)


DOORS = [
    Door("attention arguments", opened(feed_attention), make_seed, share=1.5),
    Door("image arguments", opened(feed_images), make_seed),
    Door("sample arguments", opened(feed_samples), make_seed),
    Door("session arguments", opened(feed_session), make_seed),
]
