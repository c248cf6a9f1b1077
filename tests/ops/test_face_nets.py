"""The native int8 networks against their NumPy twin: equal bytes on every instruction set."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.ops import set_instruction_set
from edgeaff.ops.face_nets import MOST_SIZES, FaceNet, product_roof
from edgeaff.ops.reference_nets import fused, run_net
from tests.ops.made_nets import NetMaker, small_detector, small_encoder

pytestmark = pytest.mark.needs_native
DETECTOR_SIZES = [(32, 32), (64, 96), (96, 64), (32, 224)]
LAYERS = [  # inputs, outputs, kernel, stride: one to nine groups of outputs, in blocks of equal and of unequal size
    (16, 16, 3, 2),
    (16, 48, 3, 2),
    (48, 80, 3, 2),
    (64, 96, 3, 1),
    (32, 112, 1, 1),
    (80, 128, 3, 1),
    (16, 144, 1, 1),
    (144, 32, 3, 1),
]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def written(net: FaceNet, image: np.ndarray, height: int, width: int) -> dict[int, np.ndarray]:
    """The tensors of a run, each read right after its step."""
    found: dict[int, np.ndarray] = {}
    for tensors in net.run_steps(image, height=height, width=width):
        found.update(tensors)
    return found


def require_twin(arrays: dict[str, np.ndarray], image: np.ndarray, height: int, width: int) -> None:
    tensors, outputs = run_net(arrays, image)
    net = FaceNet(arrays, strips=False)
    for index, tensor in written(net, image, height, width).items():
        np.testing.assert_array_equal(tensor, tensors[index], err_msg=f"tensor {index} on {net.instruction_set}")
    for strips in (False, True):
        for made, expected in zip(
            FaceNet(arrays, strips=strips).run(image, height=height, width=width), outputs, strict=True
        ):
            np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize(("height", "width"), DETECTOR_SIZES)
def test_detector_layers_equal_the_twin(instruction_set, height, width):
    require_twin(small_detector(height), noise(3, height, width), height, width)


@pytest.mark.parametrize("side", [8, 32, 96])
def test_encoder_layers_equal_the_twin(instruction_set, side):
    require_twin(small_encoder(side), noise(side, side, 3), side, side)


@pytest.mark.parametrize("layer", LAYERS)
def test_convolutions_of_many_channels_equal_the_twin(instruction_set, layer):
    inputs, outputs, kernel, stride = layer
    make = NetMaker(outputs)
    x = make.convolution(make.image(), inputs)
    first = make.convolution(x, outputs, kernel=kernel, stride=stride)
    second = make.convolution(x, outputs, kernel=kernel, stride=stride, zero=120, second=first)
    make.mean(second)
    require_twin(make.arrays(), noise(3, 20, 28), 20, 28)


@pytest.mark.parametrize("width", [4, 12, 20, 28, 36, 44, 52, 60])
def test_rows_of_any_length_equal_the_twin(instruction_set, width):
    make = NetMaker(width)
    x = make.convolution(make.image(), 48)
    half = make.convolution(x, 64, stride=2)
    make.map(make.convolution(half, 32, kernel=1))
    make.map(make.convolution(make.convolution(x, 64), 64, kernel=1, zero=99, second=half))
    require_twin(make.arrays(), noise(3, 12, width), 12, width)


def test_zero_points_of_borders_equal_the_twin(instruction_set):
    make = NetMaker(5)
    x = make.image(zero=7)
    x = make.convolution(x, 16, out_zero=31, zero=31)
    x = make.convolution(x, 32, stride=2, out_zero=200, zero=200)
    make.mean(make.convolution(x, 16))
    require_twin(make.arrays(), noise(3, 16, 24), 16, 24)


@pytest.mark.parametrize("value", [0, 255])
def test_extreme_images_equal_the_twin(instruction_set, value):
    require_twin(small_detector(3), np.full((3, 32, 64), value, np.uint8), 32, 64)
    require_twin(small_encoder(3), np.full((32, 32, 3), value, np.uint8), 32, 32)


@pytest.mark.parametrize("contrast", [0, 1, 2, 8, 40, 255])
def test_standardization_equals_the_twin_at_any_contrast(instruction_set, contrast):
    faces = 100 + noise(96, 96, 3).astype(int) % (contrast + 1) - contrast // 2
    require_twin(small_encoder(1), faces.clip(0, 255).astype(np.uint8), 96, 96)


def test_runs_do_not_depend_on_earlier_ones():
    net, arrays = FaceNet(small_detector()), small_detector()
    first = [output.copy() for output in net.run(noise(3, 64, 96), height=64, width=96)]
    net.run(noise(3, 32, 32, seed=1), height=32, width=32)
    net.run(noise(3, 64, 96, seed=2), height=64, width=96)
    again = net.run(noise(3, 64, 96), height=64, width=96)
    for a, b, c in zip(first, again, run_net(arrays, noise(3, 64, 96))[1], strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_workspaces_are_kept_for_few_sizes():
    net = FaceNet(small_detector())
    for index in range(MOST_SIZES + 3):
        net.run(noise(3, 32, 32 * (index + 1)), height=32, width=32 * (index + 1))
    assert len(net._bound) == MOST_SIZES


@pytest.mark.parametrize(("height", "width"), [(0, 32), (-8, 32), (12, 32), (32, 4), (1 << 20, 32)])
def test_sizes_that_are_not_served_raise(height, width):
    net = FaceNet(small_detector())
    with pytest.raises(ArgumentError, match="multiples of 8"):
        net.run(noise(3, 8, 8), height=height, width=width)


def test_images_of_another_size_or_type_raise():
    net = FaceNet(small_detector())
    for image in (noise(3, 32, 31), noise(3, 32, 32).astype(np.int8), noise(3, 32, 64)[:, :, ::2]):
        with pytest.raises(ArgumentError, match="image must be contiguous uint8"):
            net.run(image, height=32, width=32)


BROKEN = {
    "a weight of 8 bits": ("weights", lambda a: np.where(np.arange(a.size) == 5, np.int8(100), a)),
    "too few weights": ("weights", lambda a: a[:-1]),
    "too many starts": ("starts", lambda a: np.append(a, np.int32(0))),
    "a sum beyond 32 bits": ("starts", lambda a: np.full_like(a, 2**30)),
    "a scale that overflows": ("floats", lambda a: np.full_like(a, 1e30)),
    "a scale that is no number": ("floats", lambda a: np.full_like(a, np.nan)),
    "a tensor that is not there": ("steps", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 10, 99, a)),
    "a tensor read before it is written": ("steps", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 10, 3, a)),
    "a negative tensor": ("steps", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 10, -5, a)),
    "an unknown kind": ("steps", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 9, 77, a)),
    "a kernel of 5": ("steps", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 12, 5, a)),
    "a stride of 3": ("steps", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 13, 3, a)),
    "channels beyond the limit": ("tensors", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 1, 1 << 20, a)),
    "a divisor of 0": ("tensors", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 3, 0, a)),
    "another type": ("weights", lambda a: a.astype(np.int16)),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_networks_raise(fault):
    name, change = BROKEN[fault]
    arrays = small_detector()
    arrays[name] = np.ascontiguousarray(change(arrays[name])).astype(
        arrays[name].dtype if fault != "another type" else np.int16
    )
    with pytest.raises(ArgumentError):
        FaceNet(arrays)


def test_missing_arrays_raise():
    with pytest.raises(ArgumentError, match="luma"):
        FaceNet({name: array for name, array in small_detector().items() if name != "luma"})


def test_fused_rounds_once():
    # 1 + 2^-24 rounds to 1 at once; rounded to float64 first nothing changes, so a sum that needs both is built from its parts.
    values = np.array([16777215, 3, 1], np.int64)
    for factor, addend in (
        (np.float32(1.0000001), np.float32(-16777216)),
        (np.float32(2**-24), np.float32(1)),
        (np.float32(1e-30), np.float32(1)),
    ):
        exact = [np.float32(np.longdouble(int(v)) * np.longdouble(factor) + np.longdouble(addend)) for v in values]
        np.testing.assert_array_equal(fused(values, factor, addend), exact)


def test_product_roof_counts_products(instruction_set):
    count, name = product_roof(100)
    assert count > 0
    assert isinstance(name, str)


def test_instruction_sets_agree_on_the_bytes():
    image, made = noise(3, 64, 96), []
    for name in ("scalar", "neon", "neondot", "avx2", "avx512", "best"):
        set_instruction_set(name)
        made.append(b"".join(output.tobytes() for output in FaceNet(small_detector()).run(image, height=64, width=96)))
    set_instruction_set("best")
    assert len(set(made)) == 1
