"""Crop rule, normalization and encoder of edgeaff.features.face."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.features.face import FaceEncoder, crop, crop_square, normalize
from edgeaff.spec import PreprocessSpec

SPEC = PreprocessSpec(crop_margin=1.2)


class MeanGraph:
    """Gives the mean of each channel and keeps what it was asked."""

    def __init__(self):
        self.inputs = []

    def run(self, inputs):
        self.inputs.append(inputs["face"])
        return {"descriptor": inputs["face"].mean(axis=(2, 3))}


def test_crop_square_is_around_the_center_with_the_longer_side():
    assert crop_square((10, 20, 30, 60), margin=1.5) == (-10.0, 10.0, 50.0, 70.0)
    assert crop_square((10, 20, 50, 40), margin=1.0) == (10.0, 10.0, 50.0, 50.0)


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0, 5, 3, 5), (3, 0, 2, 1), (0, 0, float("inf"), 1)])
def test_crop_square_refuses_empty_boxes(box):
    with pytest.raises(ArgumentError, match="drop this box"):
        crop_square(box, margin=1.0)


def test_crop_square_refuses_a_margin_of_nothing():
    with pytest.raises(ArgumentError, match="margin must be positive"):
        crop_square((0, 0, 1, 1), margin=0.0)


@pytest.mark.needs_native
def test_crop_shows_the_square_of_the_box_and_repeats_the_border():
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:80, 60:120] = (200, 100, 50)  # exactly the square of a 50 px box with margin 1.2
    result = crop(image, (65, 25, 115, 75), SPEC)
    assert result.shape == (96, 96, 3)
    assert (result[1:-1, 1:-1] == (200, 100, 50)).all()  # growing: the outermost pixels see over the edge
    image[:, 0] = 255
    assert (crop(image, (-90, 30, -50, 70), SPEC) == 255).all()


@pytest.mark.needs_native
def test_crop_of_every_pixel_format_is_rgb():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    box = (20, 10, 60, 50)
    expected = crop(image, box, SPEC)
    np.testing.assert_array_equal(crop(image[..., ::-1], box, SPEC, pixel_format="bgr"), expected)
    gray = crop(image[..., 1], box, SPEC, pixel_format="gray")
    np.testing.assert_array_equal(gray[..., 0], expected[..., 1])


def test_normalize_maps_bytes_to_minus_one_to_one():
    crops = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (0, 51, 255)])
    crops[1, ..., 2] = 204
    result = normalize(crops)
    assert result.shape == (3, 3, 4, 4)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[:, 0, 0, 0], [-1.0, -0.6, 1.0], atol=1e-6)
    np.testing.assert_allclose(result[1, 2], 0.6, atol=1e-6)
    with pytest.raises(ArgumentError, match="uint8 RGB"):
        normalize(crops.astype(np.float32))


@pytest.mark.needs_native
def test_encode_gives_a_row_per_face_and_asks_for_one_at_a_time():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:] = (255, 0, 255)
    graph = MeanGraph()
    rows = FaceEncoder(graph, SPEC).encode([(image, (5, 30, 35, 60)), (image, (65, 30, 95, 60))])
    np.testing.assert_allclose(rows, [[-1, -1, -1], [1, -1, 1]], atol=1e-6)
    assert rows.dtype == np.float32
    assert [one.shape for one in graph.inputs] == [(1, 3, 96, 96)] * 2
    assert FaceEncoder(graph, SPEC).encode([]).shape == (0, 0)


def test_encode_crops_refuses_other_sizes():
    with pytest.raises(ArgumentError, match=r"\(96, 96, 3\)"):
        FaceEncoder(MeanGraph(), SPEC).encode_crops([np.zeros((64, 64, 3), np.uint8)])


def test_face_encoder_refuses_an_unknown_crop_rule():
    with pytest.raises(SpecMismatchError, match="box_centre_square_v1"):
        FaceEncoder(MeanGraph(), PreprocessSpec(crop_rule="eyes_v9"))
