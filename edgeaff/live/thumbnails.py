"""`Thumbnails`: JPEGs of crops or frames, made on their own thread, at most one at a time; the newest frame wins."""

from __future__ import annotations

import importlib.util
import io
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeaff.closing import Closing
from edgeaff.errors import BackendUnavailableError, EdgeaffError
from edgeaff.features.face import crop
from edgeaff.live.protocol import Image, encode_image
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.spec import PreprocessSpec
from edgeaff.types import TrackedFace, VideoFrame

LONG_SIDE_PX = 480
_log = logging.getLogger(__name__)
QUALITY = 75


class Thumbnails(Closing):
    """Encodes what is offered when nothing else is being encoded.

    Attributes:
        failures: frames that could not be encoded.
    """

    def __init__(self, kind: str, spec: PreprocessSpec, post: Callable[[list[bytes]], Any]) -> None:
        """Starts the thread.

        Args:
            kind: "crop" for the faces as the model sees them, "frame" for the whole image.
            spec: how faces are cropped.
            post: takes the binary messages of one frame; called on that thread.

        Raises:
            BackendUnavailableError: no package that writes JPEG is installed.
        """
        self._encode = jpeg_encoder()
        self._kind, self._spec, self._post = kind, spec, post
        self.failures = 0
        self._waiting: tuple[VideoFrame, Sequence[TrackedFace]] | None = None
        self._wake = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._work, name="edgeaff-thumbnails", daemon=True)
        self._thread.start()

    def offer(self, frame: VideoFrame, faces: Sequence[TrackedFace]) -> None:
        """Has a frame encoded, in place of one that still waits; never waits itself."""
        self._waiting = (frame, tuple(faces))
        self._wake.set()

    def close(self) -> None:
        """Ends the thread."""
        self._stop = True
        self._wake.set()
        if self._thread is not threading.current_thread():
            self._thread.join(0.5)

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stop:
                return
            offered, self._waiting = self._waiting, None
            if offered is None:
                continue
            try:
                messages = self._messages(*offered)
            except (
                EdgeaffError,
                OSError,
                ValueError,
                MemoryError,
            ) as error:  # this frame is not shown; the next may be
                self.failures += 1
                if self.failures == 1:
                    _log.warning(
                        "a frame could not be written as JPEG (%s: %s); it is not shown.", type(error).__name__, error
                    )
                continue
            self._post(messages)

    def _messages(self, frame: VideoFrame, faces: Sequence[TrackedFace]) -> list[bytes]:
        if self._kind == "frame":
            return [self._message(frame, scaled(frame.image), None)]
        return [self._message(frame, crop(frame.image, face.box, self._spec), face.track_id) for face in faces]

    def _message(self, frame: VideoFrame, image: np.ndarray, track_id: int | None) -> bytes:
        head = Image(self._kind, frame.pts_ns, track_id, width=image.shape[1], height=image.shape[0])
        return encode_image(head, self._encode(image))


def scaled(image: np.ndarray) -> np.ndarray:
    """Returns an image whose long side has at most LONG_SIDE_PX pixels.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    share = min(1.0, LONG_SIDE_PX / max(height, width))
    if share == 1.0:
        return image
    new_width, new_height = max(1, round(width * share)), max(1, round(height * share))
    return crop_resize(image, (0, 0, width, height), width=new_width, height=new_height)


def jpeg_encoder() -> Callable[[np.ndarray], bytes]:
    """Returns a function from (H, W, 3) uint8 RGB to JPEG: of OpenCV where it is loaded anyway, else of Pillow, else of OpenCV.

    Raises:
        BackendUnavailableError: neither is installed.
    """
    has_pillow = importlib.util.find_spec("PIL") is not None
    if "cv2" in sys.modules or (not has_pillow and importlib.util.find_spec("cv2") is not None):
        import cv2

        def encode(image: np.ndarray) -> bytes:
            try:
                written, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            except cv2.error as error:
                raise ValueError(f"OpenCV wrote no JPEG: {error}") from error
            if not written:
                raise ValueError(f"OpenCV wrote no JPEG of an image {image.shape}")
            return bytes(data)

        return encode
    if has_pillow:
        from PIL import Image as PillowImage

        def encode_with_pillow(image: np.ndarray) -> bytes:
            written = io.BytesIO()
            PillowImage.fromarray(image).save(written, "JPEG", quality=QUALITY)
            return written.getvalue()

        return encode_with_pillow
    raise BackendUnavailableError(
        "live_images must have OpenCV or Pillow to write JPEG, got neither; run `pip install 'edgeaff[live]'`, or leave live_images out."
    )
