"""The rendered clips: raw_images of a video, a face where it was put, and a report that counts what had no answer."""

import numpy as np
import pytest

from edgeaff.bundle import ModelBundle
from recipes.default_bundle.end_to_end import HEIGHT, WIDTH, Predictions, render, report, see
from recipes.face_encoder.data import FaceSet

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_native]


def test_a_clip_is_video_with_the_photograph_in_it():
    tile = np.zeros((48, 48), np.uint8)
    tile[::2] = 255
    raw_images = list(render(np.random.default_rng(0), tile, frames=3))
    assert [image.shape for image in raw_images] == [(HEIGHT, WIDTH, 3)] * 3
    assert raw_images[0].dtype == np.uint8
    assert (raw_images[0] != raw_images[1]).mean() > 0.5  # camera noise
    stripes = np.abs(np.diff(raw_images[0].astype(float).mean(axis=2), axis=0)) > 20
    rows, columns = np.nonzero(stripes)
    assert 40 <= np.ptp(np.percentile(rows, [2, 98])) <= 270 and np.ptp(np.percentile(columns, [2, 98])) <= 270


def test_the_report_counts_what_had_no_answer_and_what_the_intervals_hold():
    rng = np.random.default_rng(1)
    labels = rng.uniform(-0.8, 0.8, (400, 2))
    stated = labels + 0.1 * rng.standard_normal((400, 2))
    stated[:40] = np.nan
    half = {68: np.full((400, 2), 0.1), 95: np.full((400, 2), 0.196)}
    figures = report(Predictions(stated, half), labels, repeats=100)
    assert figures["answered"] == 0.9
    assert figures["valence_ccc"] > 0.95 > figures["valence_ccc_all"]
    low, high = figures["valence_interval"]
    assert low < figures["valence_ccc"] < high
    assert figures["arousal_inside_68"] == pytest.approx(0.683, abs=0.06)
    assert figures["arousal_inside_95"] == pytest.approx(0.95, abs=0.03)


@pytest.mark.needs_shared
def test_photographs_go_through_the_whole_session(shared):
    from recipes.face_encoder.data import read_split

    faces = read_split(shared / "data" / "affect" / "fer2013plus", "test")
    sure = [int(np.flatnonzero(faces.votes[:, column] >= 0.95)[0]) for column in (1, 3)]  # a smile, a sad face
    result = see(ModelBundle.load(), FaceSet(faces.images[sure], faces.votes[sure], faces.affect[sure]), frames=12)
    happy, sad = result.stated[:, 0]
    assert happy > 0.3 > -0.2 > sad
