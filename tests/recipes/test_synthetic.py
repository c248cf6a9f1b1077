"""A made-up corpus in the layout of Aff-Wild2 is read back as what it was made of."""

from fractions import Fraction

import numpy as np
import pytest

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError
from edgeaff.training.corpora import fit_rows
from edgeaff.training.corpora.affwild2 import crop_files, read_corpus
from recipes.default_bundle.voices import Clip
from recipes.synthetic import (
    TEST_LIST,
    Cast,
    FaceImages,
    TrackPlan,
    read_casts,
    read_plans,
    split_of_speaker,
    write_corpus,
)

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_media]
PLANS = [
    TrackPlan("10-60-1280x720", "train", 60, Fraction(30)),
    TrackPlan("10-60-1280x720_right", "train", 60, Fraction(30)),
    TrackPlan("video5_1", "valid", 50, Fraction(24000, 1001)),
    TrackPlan("102", "test", 45, Fraction(15, 2)),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rng = np.random.default_rng(0)
    affect = rng.uniform(-0.7, 0.7, (50, 2)).astype(np.float32)
    images = np.repeat(np.repeat((127 + 120 * affect[:, :1, None]).astype(np.uint8), 48, axis=1), 48, axis=2)
    clips = [
        Clip((0.1 * rng.standard_normal(8000)).astype(np.float32), "EmoDB", "x", "anger", np.float32([0.0, arousal]))
        for arousal in (-0.3, 0.5)
    ]
    root = tmp_path_factory.mktemp("corpus") / "aff"
    cast = Cast(FaceImages(images, affect), clips)
    return root, write_corpus(root, PLANS, dict.fromkeys(("train", "valid", "test"), cast), seed=1)


def test_every_track_is_found_with_video_and_crops(corpus):
    root, truth = corpus
    tracks = {track.name: track for track in read_corpus(root, test_list=root / TEST_LIST)}
    assert {name: track.split for name, track in tracks.items()} == {plan.name: plan.split for plan in PLANS}
    assert all(track.media is not None and track.crops is not None for track in tracks.values())
    assert tracks["10-60-1280x720"].media == tracks["10-60-1280x720_right"].media
    assert set(truth) == set(tracks)


def test_labels_are_the_truth_where_annotated(corpus):
    root, truth = corpus
    for track in read_corpus(root):
        labels = fit_rows(track.labels, len(truth[track.name]))
        keep = (np.abs(labels) <= 1).all(axis=1)
        assert keep.mean() > 0.85
        np.testing.assert_allclose(labels[keep], truth[track.name][keep], atol=6e-4)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_videos_have_their_rate_and_length(corpus, plan):
    root, _ = corpus
    tracks = {track.name: track for track in read_corpus(root, test_list=root / TEST_LIST)}
    times = MediaFile(tracks[plan.name].media).frame_times_ns()
    assert len(times) == plan.frames
    assert np.diff(times).mean() == pytest.approx(1e9 / float(plan.rate), rel=2e-3)


def test_crops_show_the_face_of_the_row(corpus):
    from PIL import Image

    root, truth = corpus
    (track,) = (track for track in read_corpus(root) if track.name == "video5_1")
    rows = list(crop_files(track.crops))
    assert rows[0][0] == 0
    assert 0.8 * 50 < len(rows) <= 50
    brightness = np.array([np.asarray(Image.open(path)).mean() for _, path in rows])
    valence = truth["video5_1"][[row for row, _ in rows], 0]
    assert np.corrcoef(brightness, valence)[0, 1] > 0.6


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ArgumentError, match="must be an empty folder"):
        write_corpus(tmp_path, PLANS, {})


@pytest.mark.needs_shared
def test_real_names_lengths_and_rates_are_planned(shared):
    plans = read_plans(shared / "data/affect/affwild2_format")
    counts = {split: sum(plan.split == split for plan in plans) for split in ("train", "valid", "test")}
    assert counts["train"] > 340 and counts["valid"] > 65 and counts["test"] > 130
    assert all(plan.frames >= 40 and 7 <= plan.rate <= 60 for plan in plans)
    assert len(read_plans(shared / "data/affect/affwild2_format", limit=2)) == 6


@pytest.mark.needs_shared
@pytest.mark.needs_cv2
def test_no_speaker_is_in_two_splits_and_faces_are_split_as_published(shared):
    casts = read_casts(shared)
    speakers = {split: {clip.speaker for clip in cast.clips} for split, cast in casts.items()}
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not speakers[one] & speakers[other]
    assert [len(casts[split].faces.images) for split in ("train", "valid", "test")] == [
        28_556,
        3_579,
        3_573,
    ]  # two faces of train have no vote
    assert all(len(names) >= 20 for names in speakers.values())
    assert all(len(cast.clips) >= 100 for cast in casts.values())
    assert all(split_of_speaker(clip) == split for split, cast in casts.items() for clip in cast.clips)


@pytest.mark.needs_shared
@pytest.mark.needs_cv2
def test_the_command_writes_a_corpus_from_what_is_at_hand(tmp_path, capsys, shared):
    from recipes.synth import main

    arguments = [str(tmp_path / "c"), "--data", str(shared), "--limit", "1", "--scale", "0.005"]
    assert main(arguments) == 0
    assert '"tracks": 3' in capsys.readouterr().out.splitlines()[-1]
    assert [track.split for track in read_corpus(tmp_path / "c", test_list=tmp_path / "c" / TEST_LIST)] == [
        "train",
        "valid",
        "test",
    ]
    assert main(arguments) == 2
    assert main([str(tmp_path / "d"), "--data", str(tmp_path)]) == 2
