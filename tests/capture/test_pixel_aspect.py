"""Cameras whose driver declares pixels that are not square."""

import struct

import pytest

from edgeaff.capture.v4l2 import CROP_CAPABILITY, pixel_aspect


def answering(width: int, height: int, tall: int, wide: int):
    def ioctl(_: int, request: int, buffer: bytearray) -> int:
        assert request == CROP_CAPABILITY == 0xC02C563A and len(buffer) == 44
        struct.pack_into("<4I2I", buffer, 20, 0, 0, width, height, tall, wide)
        return 0

    return ioctl


@pytest.mark.parametrize(
    ("declared", "frame", "aspect"),
    [
        ((720, 576, 54, 59), (720, 576), 59 / 54),  # PAL
        ((704, 480, 11, 10), (704, 480), 10 / 11),  # NTSC
        ((720, 576, 54, 59), (360, 576), 2 * 59 / 54),  # half of the columns
        ((640, 480, 1, 1), (320, 480), 1.0),  # declared square: a driver that crops
        ((0, 0, 0, 0), (640, 480), 1.0),
    ],
)
def test_pixel_aspect_is_the_drivers_scaled_with_the_frame(tmp_path, declared, frame, aspect):
    (tmp_path / "video0").touch()
    assert pixel_aspect(str(tmp_path / "video0"), *frame, ioctl=answering(*declared)) == pytest.approx(aspect)


def test_a_driver_without_the_call_has_square_pixels(tmp_path):
    def refusing(*_: object) -> int:
        raise OSError(25, "not a typewriter")

    (tmp_path / "video0").touch()
    assert pixel_aspect(str(tmp_path / "video0"), 720, 576, ioctl=refusing) == 1.0
    assert pixel_aspect(str(tmp_path / "absent"), 720, 576, ioctl=refusing) == 1.0
