"""csrc/vision/crop_resize against its NumPy twin (equal bytes) and OpenCV (at most one level apart)."""

import itertools
import math

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.ops.crop_resize import crop_resize, crop_resize_planes
from edgeaff.ops.reference_vision import axis_weights
from edgeaff.ops.reference_vision import crop_resize as twin

INSTRUCTION_SETS = ("scalar", "avx2", "avx512", "neon")
# Inside, out on each side, on an edge, wholly outside, thinner than a pixel, growing, mixed.
BOXES = (
    (10.3, 7.9, 61.2, 58.8),
    (-20.5, -9.25, 40.0, 70.5),
    (40.0, 30.0, 130.0, 99.0),
    (0.0, 0.0, 97.0, 71.0),
    (-300.0, -300.0, -200.0, -200.0),
    (500.0, 20.0, 600.0, 50.0),
    (33.4, 20.1, 33.9, 20.6),
    (30.0, 20.0, 47.0, 37.0),
    (5.0, 30.0, 95.0, 33.0),
)


def raw_image(height: int, width: int, *, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Returns noise: every mistake in a weight or an index shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def smooth_image(height: int, width: int) -> np.ndarray:
    """Returns slow waves without saturated colors."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / 37 + k) + np.cos(x / 53 - k) for k in range(3)]
    return np.rint(128 + 45 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.mark.needs_native
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("pixel_format", ["rgb", "bgr", "gray", "nv12"])
def test_crop_resize_equals_the_twin(instruction_set, pixel_format, box):
    image = raw_image(72, 98)
    if pixel_format == "gray":
        image = image[..., 0]
    if pixel_format == "nv12":
        image = np.ascontiguousarray(raw_image(108, 98)[..., 0])
    for width, height in ((96, 96), (1, 1), (7, 13), (33, 5)):
        native = crop_resize(image, box, width=width, height=height, pixel_format=pixel_format)
        np.testing.assert_array_equal(native, twin(image, box, width=width, height=height, pixel_format=pixel_format))


@pytest.mark.needs_native
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 97), (101, 1), (2, 3), (31, 64), (5, 199)])
def test_crop_resize_equals_the_twin_on_ugly_images(instruction_set, height, width):
    image = raw_image(height, width, seed=height)
    for box in ((0, 0, width, height), (-3.5, -2.5, width + 7.25, height + 1.0)):
        native = crop_resize(image, box, width=11, height=9)
        np.testing.assert_array_equal(native, twin(image, box, width=11, height=9))


@pytest.mark.needs_native
def test_crop_resize_takes_any_strides():
    frame = raw_image(80, 120, channels=4)
    views = {
        "rows reversed": frame[::-1, :, :3],
        "columns reversed": frame[:, ::-1, :3],
        "channels reversed": np.ascontiguousarray(frame[..., :3])[..., ::-1],
        "every second": frame[::2, ::3, 1:],
        "window": np.ascontiguousarray(frame[..., :3])[9:70, 11:99],
        "planes": np.ascontiguousarray(frame[..., :3].transpose(2, 0, 1)).transpose(1, 2, 0),
        "one row for all": np.broadcast_to(frame[:1, :, :3], (50, 120, 3)),
    }
    for name, view in views.items():
        expected = crop_resize(view.copy(), (-4, 3, 31, 38), width=24, height=20)
        result = crop_resize(view, (-4, 3, 31, 38), width=24, height=20)
        np.testing.assert_array_equal(result, expected, err_msg=name)
    gray = frame[..., 2]
    np.testing.assert_array_equal(
        crop_resize(gray, (1, 2, 50, 51), width=24, height=24, pixel_format="gray"),
        crop_resize(gray.copy(), (1, 2, 50, 51), width=24, height=24, pixel_format="gray"),
    )
    semi_planar = np.zeros((108, 200), np.uint8)
    semi_planar[:, :98] = raw_image(108, 98)[..., 0]
    np.testing.assert_array_equal(
        crop_resize(semi_planar[:, :98], (1, 2, 50, 51), width=24, height=24, pixel_format="nv12"),
        twin(semi_planar[:, :98], (1, 2, 50, 51), width=24, height=24, pixel_format="nv12"),
    )


@pytest.mark.needs_native
def test_crop_resize_never_reads_outside_the_image():
    # The raw_image ends where the buffer ends; its neighbors in the buffer must not change anything.
    buffer = np.full(50 * 61 * 3 + 400, 255, np.uint8)
    inside = buffer[200:-200].reshape(50, 61, 3)
    inside[:] = raw_image(50, 61)
    first = crop_resize(inside, (-5, -5, 70, 60), width=40, height=40)
    buffer[:200], buffer[-200:] = 0, 0
    np.testing.assert_array_equal(first, crop_resize(inside, (-5, -5, 70, 60), width=40, height=40))


@pytest.mark.needs_native
@pytest.mark.parametrize("side", [96, 97, 150, 300, 671])
@pytest.mark.needs_cv2
def test_crop_resize_is_within_one_level_of_cv2_area(side):
    import cv2

    frame = raw_image(720, 960)
    for x, y in ((0, 0), (100, 30), (-40, -17), (700, 500)):
        padded = cv2.copyMakeBorder(frame, 700, 700, 700, 700, cv2.BORDER_REPLICATE)
        patch = padded[700 + y : 700 + y + side, 700 + x : 700 + x + side]
        expected = cv2.resize(patch, (96, 96), interpolation=cv2.INTER_AREA)
        result = crop_resize(frame, (x, y, x + side, y + side), width=96, height=96)
        assert np.abs(result.astype(int) - expected).max() <= 1


@pytest.mark.needs_native
@pytest.mark.parametrize("side", [1, 2, 20, 48, 95])
@pytest.mark.needs_cv2
def test_crop_resize_is_within_one_level_of_cv2_linear(side):
    import cv2

    frame = raw_image(120, 160)
    # cv2 replicates at the patch's edge, crop_resize at the raw_image's: take the whole raw_image as the patch.
    patch = np.ascontiguousarray(frame[5 : 5 + side, 9 : 9 + side])
    expected = cv2.resize(patch, (96, 96), interpolation=cv2.INTER_LINEAR)
    result = crop_resize(patch, (0, 0, side, side), width=96, height=96)
    assert np.abs(result.astype(int) - expected).max() <= 1


@pytest.mark.needs_native
@pytest.mark.needs_cv2
@pytest.mark.parametrize("side", [300, 60])
def test_crop_resize_of_bgr_gray_and_nv12_is_within_one_level_of_cv2(side):
    import cv2

    rgb = smooth_image(360, 480)
    method = cv2.INTER_AREA if side > 96 else cv2.INTER_LINEAR
    images = {
        "bgr": (rgb[..., ::-1].copy(), rgb),
        "gray": (rgb[..., 1].copy(), np.repeat(rgb[..., 1:2], 3, axis=2)),
    }
    i420 = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    nv12 = np.concatenate([i420[:360], i420[360:].reshape(2, 180, 240).transpose(1, 2, 0).reshape(180, 480)])
    images["nv12"] = (nv12, cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12))
    for pixel_format, (image, reference) in images.items():
        expected = cv2.resize(reference[30 : 30 + side, 40 : 40 + side], (96, 96), interpolation=method)
        box = (40, 30, 40 + side, 30 + side)
        result = crop_resize(image, box, width=96, height=96, pixel_format=pixel_format)
        inner = np.s_[2:-2, 2:-2]  # growing, cv2 does not see beyond the patch
        difference = np.abs(result.astype(int) - expected)[inner].max()
        assert difference <= 1, (pixel_format, difference)


def test_axis_weights_sum_to_one_and_never_drift():
    cases = itertools.product((-7.3, 0.0, 3.6), (40.0, 99.9, 5000.25), (1, 7, 96), (1, 41, 100))
    for start, end, size, source in cases:
        weights = axis_weights(start, end, size, source)
        assert (weights.sum(axis=1) == 1 << 14).all()
        assert (weights >= 0).all()
    weights = axis_weights(0.0, 1000.0, 3, 1000)
    assert math.isclose((weights[1] * np.arange(1000)).sum() / (1 << 14), 499.5, abs_tol=0.05)


@pytest.mark.needs_native
def test_crop_resize_is_continuous_in_the_box():
    image = smooth_image(200, 200)
    before = crop_resize(image, (20.0, 20.0, 115.99, 115.99), width=96, height=96).astype(int)
    after = crop_resize(image, (20.0, 20.0, 116.0, 116.0), width=96, height=96).astype(int)
    assert np.abs(before - after).max() <= 1


@pytest.mark.needs_native
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box": (0, 0, 0, 5)}, "x1 > x0"),
        ({"box": (0, 0, float("nan"), 5)}, "finite"),
        ({"box": (0, 0, 2e6, 5)}, "1000000 px"),
        ({"box": (0, 0, 5)}, "x0, y0, x1, y1"),
        ({"width": 0}, "width must be an int in .1"),
        ({"height": 20000}, "height must be an int in .1"),
        ({"pixel_format": "yuyv"}, "pixel_format must be one of"),
        ({"image": np.zeros((4, 4, 4), np.uint8)}, "H, W, 3"),
        ({"image": np.zeros((4, 4, 3), np.float32)}, "float32"),
        ({"image": np.zeros((0, 4, 3), np.uint8)}, "uint8"),
        ({"image": np.zeros((7, 4), np.uint8), "pixel_format": "nv12"}, "UV"),
        ({"image": [[1]]}, "list"),
    ],
)
def test_crop_resize_states_what_is_wrong(changes, message):
    arguments = {"image": np.zeros((6, 4, 3), np.uint8), "box": (0, 0, 2, 2), "width": 3, "height": 3, **changes}
    with pytest.raises(ArgumentError, match=message):
        crop_resize(arguments.pop("image"), arguments.pop("box"), **arguments)


@pytest.mark.needs_native
@pytest.mark.parametrize("pixel_format", ["rgb", "bgr", "gray", "nv12"])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (16, 5), (17, 9), (53, 40)])
def test_planes_are_the_pixels_channels_first_on_a_black_canvas(instruction_set, pixel_format, size):
    image = raw_image(108 if pixel_format == "nv12" else 72, 98)
    if pixel_format in ("gray", "nv12"):
        image = np.ascontiguousarray(image[..., 0])
    width, height = size
    box = (-3.5, 7.0, 90.25, 60.5)
    pixels = crop_resize(image, box, width=width, height=height, pixel_format=pixel_format)
    planes = np.zeros((3, height + 3, width + 11), np.uint8)
    crop_resize_planes(image, box, planes, width=width, height=height, pixel_format=pixel_format)
    expected = np.zeros((3, height + 3, width + 11), np.uint8)
    expected[:, :height, :width] = pixels.transpose(2, 0, 1)
    np.testing.assert_array_equal(planes, expected)


@pytest.mark.needs_native
@pytest.mark.parametrize(
    ("out", "match"),
    [
        (np.zeros((3, 7, 8), np.uint8), "out must hold 8 x 8 pixels"),
        (np.zeros((3, 8, 8), np.float32), "out must be .3, H, W. uint8"),
        (np.zeros((3, 8, 16), np.uint8)[:, :, ::2], "out must be contiguous and writable"),
    ],
)
def test_planes_refuse_a_canvas_that_does_not_fit(out, match):
    with pytest.raises(ArgumentError, match=match):
        crop_resize_planes(raw_image(9, 9), (0, 0, 9, 9), out, width=8, height=8)
