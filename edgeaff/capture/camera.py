"""Cameras through OpenCV: V4L2 devices, and GStreamer pipelines where OpenCV has GStreamer (Jetson's own build).

A Jetson CSI camera, with the OpenCV that JetPack brings (not tested on one):

    gst:nvarguscamerasrc ! video/x-raw(memory:NVMM),framerate=30/1 ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert
        ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgeaff.capture.image import square_size
from edgeaff.capture.live import LiveSource
from edgeaff.capture.v4l2 import pixel_aspect
from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError
from edgeaff.naming import public_name
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.types import VideoFrame

FREEZE_SECONDS = 2.0  # of identical images
_FAILED_READS = 3  # a single failed read is a corrupt JPEG of a USB camera, three are a lost device
_MAX_BUFFER_AGE_NS = 1_000_000_000
_RIGHTS = {
    "linux": "the rights on /dev/video*",
    "darwin": "that System Settings, Privacy & Security, Camera allows this program",
    "win32": "that Settings, Privacy, Camera allows desktop programs",
}


class Camera(LiveSource):
    """Frames of a camera, with the time when the driver filled the buffer, or else when the frame was read.

    Only the newest frame is kept. A camera that repeats its frame for `freeze_seconds` is FROZEN: nothing is delivered, and
    it is reopened every 90 frames.
    """

    has_video = True

    def __init__(
        self,
        device: int | str = 0,
        *,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        pixel_format: str | None = None,
        pipeline: str | None = None,
        opener: Callable[[], Any] | None = None,
        **live: Any,
    ) -> None:
        """Prepares the camera; entering it opens the device.

        Args:
            device: number, or path such as /dev/video2.
            fps: requested frames per second; None for the device's default.
            size: requested (width, height) in pixels.
            pixel_format: requested four-character code, such as MJPG.
            pipeline: a GStreamer pipeline instead of a device.
            opener: returns an object with isOpened, read, get, set and release as cv2.VideoCapture has them, whose
                frames are BGR; for other camera libraries and for tests.
            live: options of LiveSource; freeze_seconds is 2 here, pass None for a camera that may stand still.

        Without an opener, OpenCV must be installed, with GStreamer for a pipeline; otherwise raises BackendUnavailableError.

        Raises:
            ArgumentError: device is neither a number nor a path, or pixel_format has not four characters.
        """
        if pipeline is None and not str(device).isdigit() and not str(device).startswith("/"):
            raise ArgumentError(
                f"device must be the number of a camera, or a path such as /dev/video2, got {public_name(str(device))!r}; "
                "`edgeaff doctor` lists them."
            )
        name = f"camera:{device}" if pipeline is None else "gst:"
        super().__init__(name, **{"freeze_seconds": FREEZE_SECONDS, **live})
        if pixel_format is not None and len(pixel_format) != 4:
            raise ArgumentError(f"format must be four characters, got {pixel_format!r}; pass for example MJPG.")
        self._counts.update(failed_reads=0)
        self.device, self._pipeline = device, pipeline
        self._fps, self._size, self._pixel_format = fps, size, pixel_format
        self._opener = opener or self._open_cv2
        self._aspect = 1.0
        self._cv2: Any = None
        if opener is None:
            self._cv2 = _import_cv2(needs_gstreamer=pipeline is not None)

    def _open(self) -> Any:
        capture = self._opener()
        if not capture.isOpened():
            capture.release()
            raise DeviceError(
                f"{self.name} must be a camera that can be opened, got one that is busy, gone or of another kind; "
                f"close other programs that use it, check the cable and {_RIGHTS.get(sys.platform, _RIGHTS['linux'])}."
            )
        return capture

    def _open_cv2(self) -> Any:
        cv2 = self._cv2
        if self._pipeline is not None:
            return cv2.VideoCapture(self._pipeline, cv2.CAP_GSTREAMER)
        text = str(self.device)
        path = f"/dev/video{text}" if text.isdigit() else text
        uses_files = sys.platform == "linux" and path.startswith(
            "/dev/"
        )  # elsewhere a number is all that names a camera
        if uses_files and not os.path.exists(path):
            there = ", ".join(sorted(glob.glob("/dev/video*"))) or "none"
            raise DeviceError(f"{self.name} must be there, got no {path} (cameras found: {there}); plug it in.")
        if text.isdigit():
            capture = cv2.VideoCapture(int(text))
        else:
            capture = cv2.VideoCapture(text, cv2.CAP_V4L2 if uses_files else cv2.CAP_ANY)
        if self._pixel_format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*self._pixel_format))
        if self._size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        if self._fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if uses_files:
            width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
            self._aspect = pixel_aspect(path, int(width), int(height))
        return capture

    def _read(self, device: Any) -> Iterator[VideoFrame | None]:
        failures = 0
        while failures < _FAILED_READS:
            good, image = device.read()
            if good and _is_image(image):
                failures = 0
                pts_ns = self._time_of(device)
                yield VideoFrame(pts_ns, self._with_square_pixels(self._to_rgb(image)))
            else:
                failures += 1
                self._counts["failed_reads"] += 1
                yield None
        raise DeviceError(f"{self.name} delivered no frame in {failures} reads. Is it unplugged?")

    def _time_of(self, device: Any) -> int:
        """Returns the driver's buffer time where it is on the monotonic clock (V4L2), else the present."""
        now = self._clock()
        buffer_ns = int(device.get(0) * 1e6)  # CAP_PROP_POS_MSEC
        return buffer_ns if 0 <= now - buffer_ns < _MAX_BUFFER_AGE_NS else now

    def _to_rgb(self, image: np.ndarray) -> np.ndarray:
        if image.ndim == 2:
            return np.repeat(image[:, :, None], 3, axis=2)
        image = image[:, :, :3]
        if self._cv2 is not None:
            return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB)
        return np.ascontiguousarray(image[:, :, ::-1])

    def _with_square_pixels(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        wide, high = square_size(width, height, self._aspect)
        if (wide, high) == (width, height):
            return image
        return crop_resize(image, (0.0, 0.0, float(width), float(height)), width=wide, height=high)

    def _shut(self, device: Any) -> None:
        device.release()


def _is_image(image: Any) -> bool:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or not image.size:
        return False
    return image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))


def has_gstreamer(cv2: Any) -> bool:
    """Returns whether this OpenCV was built with GStreamer; its list of backends names GStreamer in any case."""
    lines = [line for line in cv2.getBuildInformation().splitlines() if "GStreamer:" in line]
    return any("YES" in line for line in lines)


def _import_cv2(*, needs_gstreamer: bool) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise BackendUnavailableError(
            f"cameras need OpenCV, got: {error}; run `pip install 'edgeaff[live]'`, or push frames with PushVideo."
        ) from error
    if needs_gstreamer and not has_gstreamer(cv2):
        raise BackendUnavailableError(
            f"gst: needs an OpenCV with GStreamer, got {cv2.__version__} without it; use the OpenCV of the system or "
            "of JetPack instead of the one from pip."
        )
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)  # our own errors say what it would print
    return cv2
