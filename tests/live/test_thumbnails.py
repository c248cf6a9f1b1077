"""JPEGs for the live page: only what was allowed, small, and never more than one waiting."""

from __future__ import annotations

import importlib.util
import io
import json
import queue
import sys

import numpy as np
import pytest
from PIL import Image as PillowImage

from edgeaff.errors import BackendUnavailableError
from edgeaff.live import thumbnails
from edgeaff.live.thumbnails import LONG_SIDE_PX, Thumbnails, jpeg_encoder, scaled
from edgeaff.spec import PreprocessSpec
from edgeaff.types import FaceBox, TrackedFace, VideoFrame
from tests.waiting import wait_until

FACE = TrackedFace(3, FaceBox(40.0, 30.0, 80.0, 80.0), 0.9)


def frame(height: int = 120, width: int = 160, pts_ns: int = 5) -> VideoFrame:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = 200  # red, so that swapped channels show
    return VideoFrame(pts_ns, image)


def made(kind: str, offered: VideoFrame, faces: list[TrackedFace]) -> list[tuple[dict, np.ndarray]]:
    posted: queue.Queue = queue.Queue()
    with Thumbnails(kind, PreprocessSpec(), posted.put) as maker:
        maker.offer(offered, faces)
        messages = posted.get(timeout=5.0)
    found = []
    for data in messages:
        length = int.from_bytes(data[:4], "little")
        found.append((json.loads(data[4 : 4 + length]), np.asarray(PillowImage.open(io.BytesIO(data[4 + length :])))))
    return found


def test_crop_is_what_the_model_sees():
    ((head, image),) = made("crop", frame(), [FACE])
    assert (head["kind"], head["track_id"], head["pts_ns"]) == ("crop", 3, 5)
    assert image.shape == (96, 96, 3) and image[48, 48, 0] > 180 and image[48, 48, 2] < 40


def test_crop_of_no_face_is_no_image():
    assert made("crop", frame(), []) == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1080, 1920), (270, 480)), ((1920, 1080), (480, 270)), ((120, 160), (120, 160)), ((1, 3000), (1, 480))],
)
def test_frame_has_at_most_480_pixels_on_its_long_side(size, expected):
    ((head, image),) = made("frame", frame(*size), [FACE])
    assert image.shape[:2] == expected == (head["height"], head["width"]) and max(image.shape) <= LONG_SIDE_PX
    assert head["track_id"] is None


def test_small_image_is_not_copied():
    image = frame().image
    assert scaled(image) is image


def without(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    """Makes packages look as if they were not installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(thumbnails.importlib.util, "find_spec", lambda name: None if name in absent else found(name))
    if "cv2" in absent:
        monkeypatch.delitem(sys.modules, "cv2", raising=False)


@pytest.mark.parametrize("package", ["PIL", pytest.param("cv2", marks=pytest.mark.needs_cv2)])
def test_either_package_writes_the_same_colors(monkeypatch, package):
    without(monkeypatch, "cv2" if package == "PIL" else "PIL")
    encode = jpeg_encoder()
    assert ("pillow" in encode.__name__) == (package == "PIL")
    image = np.asarray(PillowImage.open(io.BytesIO(encode(frame().image))))
    assert image[60, 80, 0] > 180 and image[60, 80, 2] < 40


def test_no_package_for_jpeg_names_the_extra(monkeypatch):
    without(monkeypatch, "cv2", "PIL")
    with pytest.raises(BackendUnavailableError, match=r"pip install 'edgeaff\[live\]'"):
        jpeg_encoder()


def test_newest_frame_wins_while_one_is_encoded():
    posted: queue.Queue = queue.Queue()
    go_on: queue.Queue = queue.Queue()

    def post(messages):
        posted.put(messages)
        go_on.get(timeout=5.0)

    with Thumbnails("frame", PreprocessSpec(), post) as maker:
        maker.offer(frame(pts_ns=0), [])
        posted.get(timeout=5.0)
        for pts_ns in (1, 2, 3):
            maker.offer(frame(pts_ns=pts_ns), [])
        go_on.put(None)
        (data,) = posted.get(timeout=5.0)
        go_on.put(None)
    assert b'"pts_ns":3' in data


def test_frame_that_cannot_be_encoded_does_not_end_the_others(monkeypatch):
    encode = jpeg_encoder()

    def fails_once(image):
        if image[0, 0, 0] == 1:
            raise OSError("no JPEG")
        return encode(image)

    monkeypatch.setattr(thumbnails, "jpeg_encoder", lambda: fails_once)
    posted: queue.Queue = queue.Queue()
    with Thumbnails("frame", PreprocessSpec(), posted.put) as maker:
        maker.offer(VideoFrame(0, np.ones((8, 8, 3), np.uint8)), [])
        wait_until(lambda: maker.failures == 1)
        maker.offer(frame(), [])
        assert posted.get(timeout=5.0)
