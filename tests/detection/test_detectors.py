"""load_detector and the detectors behind it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edgeaff.detection import FaceDetector, load_detector
from edgeaff.detection.boxes import fit_letterbox
from edgeaff.detection.ssd import LOOK_WEIGHT, SsdDetector, place_image
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.spec import PreprocessSpec
from edgeaff.types import FaceBox, FaceDetection


class OneFaceGraph:
    """Answers as our network would for one face at the middle of the canvas; keeps the input it saw."""

    backend = "fake"
    inputs = {"image": (1, 3, None, None)}
    outputs = ("map_8", "map_16", "map_32")

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.seen = feeds["image"]
        height, width = self.seen.shape[2:]
        maps = {f"map_{s}": np.full((1, 15, height // s, width // s), -9.0, np.float32) for s in (8, 16, 32)}
        row, column = height // 32, width // 32
        maps["map_16"][0, :, row, column] = [3.0, -0.5, -0.5, math.log(4), math.log(5), *([0.0] * 10)]
        return maps


def test_ssd_letterboxes_and_maps_boxes_back_to_the_image() -> None:
    graph = OneFaceGraph()
    detector = SsdDetector(graph, score_threshold=0.5)
    image = np.full((360, 640, 3), 200, np.uint8)
    (face,) = detector.detect(image)
    assert graph.seen.shape == (1, 3, 192, 320) and graph.seen.dtype == np.uint8
    assert (graph.seen[0, :, :180] == 200).all() and (graph.seen[0, :, 180:] == 0).all()
    # cell (row 6, column 10) of stride 16: center at (160, 96) of the canvas, 64 x 80; the image is twice as large
    assert face.box == pytest.approx((320 - 64, 192 - 80, 320 + 64, 192 + 80), abs=0.01)
    assert face.landmarks is not None and face.landmarks.shape == (5, 2)


class UnsureGraph(OneFaceGraph):
    """Sees one face with a logit of 0.8 at the first look and answers the second with another logit."""

    def __init__(self, second: float) -> None:
        self.second, self.looks = second, []

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        maps = super().run(feeds)
        self.looks.append(feeds["image"])
        height, width = feeds["image"].shape[2:]
        if len(self.looks) == 1:
            maps["map_16"][0, 0, height // 32, width // 32] = 0.8
        else:
            maps["map_16"][...] = -9.0
            maps["map_32"][0, :5, 1, 1] = [self.second, 0.0, 0.0, math.log(1.4), math.log(1.75)]
        return maps


@pytest.mark.parametrize(("second", "expected"), [(3.0, (0.8 + LOOK_WEIGHT * 3.0) / (1 + LOOK_WEIGHT)), (-4.0, None)])
def test_ssd_looks_again_at_what_it_is_not_sure_of(second: float, expected: float | None) -> None:
    graph = UnsureGraph(second)
    image = np.zeros((360, 640, 3), np.uint8)
    image[192 - 160 : 192 + 160, 320 - 160 : 320 + 160] = 90
    faces = SsdDetector(graph, score_threshold=0.6).detect(image)
    assert [look.shape for look in graph.looks] == [(1, 3, 192, 320), (1, 3, 96, 96)]
    assert (graph.looks[1][0, :, 20:76, 20:76] == 90).all(), "the square around the candidate, enlarged"
    if expected is None:
        assert faces == []
    else:
        assert faces[0].score == pytest.approx(1 / (1 + math.exp(-expected)), abs=1e-4)
    alone = UnsureGraph(second)
    assert len(SsdDetector(alone, score_threshold=0.6, second_look=False).detect(image)) == 1
    assert len(alone.looks) == 1


def test_ssd_does_not_look_again_at_a_clear_face() -> None:
    graph = OneFaceGraph()
    assert len(SsdDetector(graph, score_threshold=0.6).detect(np.zeros((360, 640, 3), np.uint8))) == 1
    assert graph.seen.shape == (1, 3, 192, 320), "the last and only look is the first"


@pytest.mark.parametrize("shape", [(1, 1, 3), (2000, 3, 3), (33, 65, 3), (480, 640, 3)])
def test_ssd_takes_any_size_and_stride(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (shape[0] * 2, shape[1] * 2, 3), dtype=np.uint8)[::2, ::2]
    detector = SsdDetector(OneFaceGraph(), score_threshold=0.5, input_long_side=160)
    assert len(detector.detect(image)) == 1


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_ssd_refuses_what_is_no_image(image: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="image must be"):
        SsdDetector(OneFaceGraph(), score_threshold=0.5).detect(image)


@pytest.mark.parametrize("options", [{"score_threshold": 0.0}, {"score_threshold": 0.5, "input_long_side": 300}])
def test_ssd_refuses_numbers_out_of_range(options: dict) -> None:
    with pytest.raises(ArgumentError, match="must be"):
        SsdDetector(OneFaceGraph(), **options)


def test_a_image_of_the_right_size_is_not_resampled() -> None:
    image = np.random.default_rng(1).integers(0, 256, (192, 320, 3), dtype=np.uint8)
    np.testing.assert_array_equal(place_image(image, fit_letterbox(320, 192, long_side=320)), image)


def test_full_frame_fixed_and_cropped() -> None:
    image = np.zeros((90, 60, 3), np.uint8)
    assert load_detector("full_frame").detect(image)[0].box == (0, 0, 60, 90)
    assert load_detector("fixed:1,2,30,40.5").detect(image)[0].box == (1, 2, 30, 40.5)
    box = load_detector("cropped").detect(np.zeros((96, 96, 3), np.uint8))[0].box
    margin = PreprocessSpec().crop_margin
    assert (box.x1 - box.x0) * margin == pytest.approx(96)
    assert (box.x0 + box.x1) / 2 == pytest.approx(48)


def test_a_function_becomes_a_detector() -> None:
    detector = load_detector(lambda image: [(1, 2, 3, 4), (0, 0, 9, 9, 0.25), FaceDetection(FaceBox(0, 0, 1, 1), 0.5)])
    assert isinstance(detector, FaceDetector) and detector.id == "callable"
    assert [face.score for face in detector.detect(np.zeros((9, 9, 3), np.uint8))] == [1.0, 0.25, 0.5]
    assert load_detector(detector) is detector
    with pytest.raises(ArgumentError, match="must give FaceDetection"):
        load_detector(lambda image: [(1, 2, 3)]).detect(np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize("name", ["haar", "yunet", "opencv_ssd:", "fixed:1,2,3", "fixed:5,5,1,9", "", 7])
def test_an_unknown_name_is_an_error_that_lists_the_known(name: object) -> None:
    with pytest.raises(ArgumentError, match="must be"):
        load_detector(name)


@pytest.mark.parametrize("kind", ["ssd", "yunet"])
def test_a_missing_file_and_a_wrong_file_are_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing\.onnx"):
        load_detector(f"{kind}:{tmp_path / 'nothing.onnx'}")
    path = tmp_path / "wrong.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(BundleError, match="must be"):
        load_detector(f"{kind}:{path}")


@pytest.mark.needs_cv2
def test_opencv_ssd_names_a_missing_or_wrong_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing\.pb"):
        load_detector(f"opencv_ssd:{tmp_path / 'nothing.pb'}")
    path = tmp_path / "wrong.pb"
    path.write_bytes(b"no graph at all")
    path.with_suffix(".pbtxt").write_text("nothing")
    with pytest.raises(BundleError, match="must be"):
        load_detector(f"opencv_ssd:{path}")


@pytest.mark.needs_shared
def test_one_detector_refuses_the_other_ones_file(shared: Path) -> None:
    with pytest.raises(BundleError, match="graph must have the input image"):
        load_detector(f"ssd:{shared / 'data/weights/yunet_n_dynamic.onnx'}")
    with pytest.raises(BundleError, match="must be a YuNet"):
        load_detector(f"yunet:{shared / 'data/weights/ulf_version-slim-320.onnx'}")


@pytest.fixture(scope="module")
def opencv_ssd(shared: Path):
    return load_detector(f"opencv_ssd:{shared / 'data/weights/opencv_face_detector_uint8.pb'}")


def sampled(path: Path, step: int, most: int):
    from benchmarks.face_media import read_clip

    frames = (frame for number, frame in enumerate(read_clip(path)) if number % step == 0)
    return [frame for _, frame in zip(range(most), frames, strict=False)]


@pytest.mark.needs_shared
@pytest.mark.needs_media
@pytest.mark.needs_cv2
@pytest.mark.parametrize("clip", ["close_greenscreen.mp4", "expressions_close.mp4"])
def test_opencv_ssd_finds_one_face_in_close_ups_thanks_to_its_rule(opencv_ssd, shared: Path, clip: str) -> None:
    frames = sampled(shared / "data/media/face" / clip, 9, 8)
    assert [len(opencv_ssd.detect(image)) for _, image in frames] == [1] * len(frames)


@pytest.mark.needs_shared
@pytest.mark.needs_media
@pytest.mark.needs_cv2
def test_yunet_and_opencv_ssd_agree_where_the_face_is(opencv_ssd, shared: Path) -> None:
    from benchmarks.face_media import read_image

    image = read_image(shared / "data/media/face/single_face.jpg")
    (theirs,) = opencv_ssd.detect(image)
    for name in ("yunet_n_dynamic.onnx", "yunet_n_320_320.onnx", "yunet_s_dynamic.onnx"):
        (face,) = load_detector(f"yunet:{shared / 'data/weights' / name}").detect(image)
        assert np.abs(np.subtract(face.box, theirs.box)).max() < 0.08 * (face.box.y1 - face.box.y0)
        eyes_nose_mouth = face.landmarks[:, 1]
        assert eyes_nose_mouth[:2].max() < eyes_nose_mouth[2] < eyes_nose_mouth[3:].min()
        assert face.landmarks[0, 0] < face.landmarks[1, 0], "the subject's right eye is on the left"
