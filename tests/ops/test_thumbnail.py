"""csrc/vision/thumbnail against its NumPy twin: equal bits for any size and strides."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.ops.reference_vision import gray_thumbnail as twin
from edgeaff.ops.thumbnail import gray_thumbnail


@pytest.mark.needs_native
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (31, 64, 3), (129, 257, 3), (480, 640, 3)])
def test_thumbnail_equals_the_twin(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(gray_thumbnail(image), twin(image))
    np.testing.assert_array_equal(gray_thumbnail(image[::-1, ::-1, ::-1]), twin(image[::-1, ::-1, ::-1]))
    assert gray_thumbnail(image).dtype == np.float32


@pytest.mark.needs_native
def test_thumbnail_is_the_area_mean_where_cells_divide_the_image():
    image = np.random.default_rng(0).integers(0, 256, (128, 256, 3), dtype=np.uint8)
    # 256 columns are sampled at every second one, the one right of the cell's middle
    gray = image[:, 1::2] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray_thumbnail(image), gray.reshape(32, 4, 32, 4).mean((1, 3)), atol=1e-4)


@pytest.mark.needs_native
def test_thumbnail_refuses_what_is_no_image():
    with pytest.raises(ArgumentError, match="image must be"):
        gray_thumbnail(np.zeros((4, 4, 3), np.float32))
