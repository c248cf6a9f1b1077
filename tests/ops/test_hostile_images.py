"""Images, maps and samples that no caller should pass to compiled code: an error of the tree, never a signal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeaff.errors import ArgumentError, BundleError
from edgeaff.features.lld import LldStream, extract
from edgeaff.features.resample import Resampler
from edgeaff.ops.crop_resize import crop_resize, crop_resize_planes
from edgeaff.ops.thumbnail import gray_thumbnail

pytestmark = pytest.mark.needs_native

IMAGE = np.zeros((8, 8, 3), np.uint8)
BOXES = [
    None,
    5,
    "box",
    (),
    (0, 0, 8),
    (0, 0, 8, None),
    (0, 0, 8, "x"),
    (0, 0, np.nan, 8),
    (0, 0, np.inf, 8),
    (0, 0, 1e7, 8),
    (4, 4, 4, 8),
    [[0, 0], [8, 8]],
    (0, 0, 8, 10**400),
]


@pytest.mark.parametrize("box", BOXES, ids=repr)
def test_box_that_is_none_is_refused(box: Any) -> None:
    with pytest.raises(ArgumentError, match="box must"):
        crop_resize(IMAGE, box, width=4, height=4)
    with pytest.raises(ArgumentError, match="box must"):
        crop_resize_planes(IMAGE, box, np.zeros((3, 4, 4), np.uint8), width=4, height=4)


@pytest.mark.parametrize("size", [0, -1, 16385, 2**31, 2**63, 4.0, "4", None, True], ids=repr)
@pytest.mark.parametrize("name", ["width", "height"])
def test_size_of_a_crop_out_of_range_is_refused(name: str, size: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{name} must"):
        crop_resize(IMAGE, (0, 0, 8, 8), **{"width": 4, "height": 4, name: size})


@pytest.mark.parametrize(
    "image",
    [
        None,
        5,
        "x",
        [[[0, 0, 0]]],
        np.zeros((8, 8, 3), "V1"),
        np.zeros((8, 8, 3), np.int8),
        np.zeros((8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.broadcast_to(np.uint8(0), (1 << 25, 8, 3)),
        np.broadcast_to(np.uint8(0), (8, 1 << 33, 3)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_image_that_is_none_is_refused(image: Any) -> None:
    with pytest.raises(ArgumentError, match="image must"):
        crop_resize(image, (0, 0, 8, 8), width=4, height=4)
    with pytest.raises(ArgumentError, match="image must"):
        gray_thumbnail(image)


@pytest.mark.parametrize(
    "out",
    [
        None,
        5,
        np.zeros((3, 4, 4), np.float32),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((3, 4, 8), np.uint8)[..., ::2],
        np.zeros((3, 3, 4), np.uint8),
    ],
    ids=lambda v: type(v).__name__,
)
def test_canvas_that_does_not_fit_is_refused(out: Any) -> None:
    with pytest.raises(ArgumentError, match="out must"):
        crop_resize_planes(IMAGE, (0, 0, 8, 8), out, width=4, height=4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_detector_that_gives_no_boxes_finds_no_faces(value: float) -> None:
    from edgeaff.detection.decode import decode_maps, decode_maps_reference

    maps = [np.zeros((15, 8 // ratio, 8 // ratio), np.float32) for ratio in (1, 2, 4)]
    for grid in maps:
        grid[:1] = 5.0
        grid[1:5] = value
    for decode in (decode_maps, decode_maps_reference):
        boxes, scores, points = decode(maps, score_threshold=0.5)
        assert len(boxes) == len(scores) == len(points) == 0


def test_maps_of_another_network_are_a_bundle_error() -> None:
    from edgeaff.detection.decode import decode_maps

    for maps in (
        [np.zeros((15, 4, 4), np.float32)],
        [np.zeros((3, 4, 4), np.float32)] * 3,
        [np.zeros(5, np.float32)] * 3,
        [None] * 3,
    ):
        with pytest.raises(BundleError, match="maps must be"):
            decode_maps(maps, score_threshold=0.5)  # type: ignore[arg-type]


# --- samples --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [">i2", ">f4", ">f8"])
def test_big_endian_samples_give_the_same_rows(dtype: str) -> None:
    samples = np.random.default_rng(0).standard_normal(3200) * 3000
    native = samples.astype(np.dtype(dtype).newbyteorder("=")) / (1 if dtype == ">i2" else 32768)
    native = native.astype(np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(extract(native.astype(dtype)), extract(native))
    np.testing.assert_array_equal(
        Resampler(16_000, 8_000).push(native.astype(dtype)), Resampler(16_000, 8_000).push(native)
    )


class NoArray:
    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise KeyError("no array")


@pytest.mark.parametrize(
    "samples",
    [
        None,
        5,
        "x",
        [[1, 2], [3]],
        np.zeros((2, 2), np.int16),
        np.zeros(4, "V0"),
        np.zeros(4, "O"),
        np.zeros(4, np.uint8),
        NoArray(),
    ],
    ids=lambda v: type(v).__name__,
)
def test_samples_that_are_none_are_refused(samples: Any) -> None:
    for taker in (LldStream(), LldStream(sample_rate_hz=44_100), Resampler(8_000)):
        with pytest.raises(ArgumentError, match="samples must"):
            taker.push(samples)


def test_samples_at_an_odd_address_give_the_same_rows() -> None:
    samples = (0.1 * np.random.default_rng(0).standard_normal(3200)).astype(np.float32)
    odd = np.zeros(samples.nbytes + 1, np.uint8)[1:].view(np.float32)
    odd[:] = samples
    assert not odd.flags.aligned
    np.testing.assert_array_equal(extract(odd), extract(samples))
    np.testing.assert_array_equal(Resampler(16_000, 8_000).push(odd), Resampler(16_000, 8_000).push(samples))
