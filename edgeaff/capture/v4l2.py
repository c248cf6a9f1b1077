"""Frame formats, sizes and rates of a V4L2 camera, from its driver. Captures no frame.

Structures and numbers are those of linux/videodev2.h, the same on x86-64 and aarch64.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FORMAT = struct.Struct("<III32sII12x")  # index, type, flags, description, pixel format, mbus code
_SIZE = struct.Struct("<III24s8x")  # index, pixel format, type, a union
_INTERVAL = struct.Struct("<IIIII24s8x")  # index, pixel format, width, height, type, a union
_CROP = struct.Struct(
    "<I16s8x2I2I"
)  # type, bounds, default rectangle: x y, width height; height of a pixel over its width
_VIDEO_CAPTURE, _DISCRETE = 1, 1
_MOST = 256  # of each list; a driver that never ends one is not followed
Ioctl = Callable[[int, int, bytearray], object]


def _request(number: int, size: int) -> int:
    return (3 << 30) | (size << 16) | (ord("V") << 8) | number


ENUM_FORMAT = _request(2, _FORMAT.size)
ENUM_SIZE = _request(74, _SIZE.size)
ENUM_INTERVAL = _request(75, _INTERVAL.size)
CROP_CAPABILITY = _request(58, _CROP.size)


@dataclass(frozen=True, slots=True)
class CameraMode:
    """One way to open a camera. pixel_format: four characters; fps: the fastest rate at this size, 0.0 if unknown."""

    pixel_format: str
    width: int
    height: int
    fps: float


def list_modes(path: str, *, ioctl: Ioctl | None = None) -> list[CameraMode]:
    """Returns the modes of a camera, in the driver's order. OSError if the device cannot be opened.

    Args:
        path: device file such as /dev/video0.
        ioctl: (file descriptor, request, buffer) as fcntl.ioctl, for tests; it fills the buffer, or raises OSError at the end
            of a list.
    """
    if ioctl is None:
        from fcntl import ioctl as system_ioctl

        ioctl = system_ioctl
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        return [
            CameraMode(code.to_bytes(4, "little").decode("ascii", "replace").strip(), width, height, rate)
            for code in _formats(descriptor, ioctl)
            for width, height in _sizes(descriptor, ioctl, code)
            for rate in [max(_rates(descriptor, ioctl, code, width, height), default=0.0)]
        ]
    finally:
        os.close(descriptor)


def pixel_aspect(path: str, width: int, height: int, *, ioctl: Ioctl | None = None) -> float:
    """Returns the width of a captured pixel over its height; 1.0 where the driver declares square pixels, or none.

    Analog television has pixels that are not square, and a driver scales them with the frame.

    Args:
        path: device file such as /dev/video0.
        width: of the captured frames, pixels.
        height: of the captured frames, pixels.
        ioctl: as in `list_modes`.
    """
    if ioctl is None:
        from fcntl import ioctl as system_ioctl

        ioctl = system_ioctl
    buffer = bytearray(_CROP.size)
    struct.pack_into("<I", buffer, 0, _VIDEO_CAPTURE)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return 1.0
    try:
        ioctl(descriptor, CROP_CAPABILITY, buffer)
    except OSError:
        return 1.0
    finally:
        os.close(descriptor)
    _, _, whole_width, whole_height, tall, wide = _CROP.unpack(buffer)
    if not all((whole_width, whole_height, tall, wide, width, height)) or tall == wide:
        return 1.0
    return (wide / tall) * (whole_width / width) / (whole_height / height)


def _enumerate(
    descriptor: int, ioctl: Ioctl, request: int, layout: struct.Struct, *head: int
) -> Iterator[tuple[int | bytes, ...]]:
    """Yields the entries of one of the driver's lists. head: the fields after the index that choose the list."""
    for index in range(_MOST):
        buffer = bytearray(layout.size)
        struct.pack_into(f"<{1 + len(head)}I", buffer, 0, index, *head)
        try:
            ioctl(descriptor, request, buffer)
        except OSError:
            return
        yield layout.unpack(buffer)


def _formats(descriptor: int, ioctl: Ioctl) -> Iterator[int]:
    for row in _enumerate(descriptor, ioctl, ENUM_FORMAT, _FORMAT, _VIDEO_CAPTURE):
        yield int(row[4])


def _sizes(descriptor: int, ioctl: Ioctl, code: int) -> Iterator[tuple[int, int]]:
    for row in _enumerate(descriptor, ioctl, ENUM_SIZE, _SIZE, code):
        union = bytes(row[3])  # type: ignore[arg-type]
        if row[2] == _DISCRETE:
            yield struct.unpack_from("<II", union)
            continue
        _, widest, _, _, highest, _ = struct.unpack("<6I", union)  # a range: its largest, and the usual one inside it
        yield widest, highest
        if (widest, highest) > (640, 480):
            yield 640, 480
        return


def _rates(descriptor: int, ioctl: Ioctl, code: int, width: int, height: int) -> Iterator[float]:
    for row in _enumerate(descriptor, ioctl, ENUM_INTERVAL, _INTERVAL, code, width, height):
        numerator, denominator = struct.unpack_from("<II", bytes(row[5]))  # type: ignore[arg-type]
        if numerator:
            yield denominator / numerator  # of a range this is its shortest interval
        if row[4] != _DISCRETE:
            return
