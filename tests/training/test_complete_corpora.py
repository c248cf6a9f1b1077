"""Readers of CREMA-D complete and of EmoNet-Face, on folders made in their layouts."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.cremad import read_cremad_complete
from edgeaff.training.corpora.emonet_face import FERPLUS, read_emonet_face, votes_of
from edgeaff.training.corpora.ferplus import EMOTIONS

TABLE = '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"\n'
RATINGS = {"human-1": {"Positive High-Energy Emotions|Elation": 6, "Cognitive States and Processes|Confusion": 7}}


def write_png(path, shade=90):
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 24, 3), (0, shade, 200), np.uint8))


def make_cremad(root, names=("1001_IEO_HAP_LO", "1002_DFA_ANG_XX")):
    for folder, ending in (("AudioWAV", "wav"), ("VideoFlash", "flv")):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / f"{name}.{ending}").write_bytes(b"RIFF not read here")
    (root / "processedResults").mkdir()
    rows = ['"1","1001_IEO_HAP_LO","N","71","H","57","H:N","57"', '"2","1002_DFA_ANG_XX","A","71","A","57","A","57"']
    (root / "processedResults" / "summaryTable.csv").write_text(TABLE + "\n".join(rows) + "\n")


def test_clips_of_cremad_have_face_and_voice_intensity_and_votes_of_each_kind(tmp_path):
    make_cremad(tmp_path)
    first, second = read_cremad_complete(tmp_path)
    assert (first.name, first.speaker, first.sentence) == ("1001_IEO_HAP_LO", "1001", "IEO")
    assert (first.emotion, first.intensity) == ("happiness", "LO")
    assert first.audio == tmp_path / "AudioWAV" / "1001_IEO_HAP_LO.wav"
    assert first.video == tmp_path / "VideoFlash" / "1001_IEO_HAP_LO.flv"
    assert first.votes["voice"] == {"neutral": 1.0}
    assert first.votes["face"] == {"happiness": 1.0}
    assert first.votes["both"] == {"happiness": 0.5, "neutral": 0.5}
    assert (second.emotion, second.intensity) == ("anger", "XX")


def test_half_of_cremad_is_read_too(tmp_path):
    make_cremad(tmp_path)
    for path in (tmp_path / "VideoFlash").iterdir():
        path.unlink()
    (tmp_path / "VideoFlash").rmdir()
    (tmp_path / "processedResults" / "summaryTable.csv").unlink()
    clips = read_cremad_complete(tmp_path)
    assert [clip.video for clip in clips] == [None, None]
    assert clips[0].audio is not None and clips[0].votes == {}


def test_what_is_no_cremad_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="cremad must be a folder with AudioWAV or VideoFlash"):
        read_cremad_complete(tmp_path)
    make_cremad(tmp_path)
    pointer = tmp_path / "AudioWAV" / "1001_IEO_HAP_LO.wav"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(ArgumentError, match="git lfs pull"):
        read_cremad_complete(tmp_path)


def test_every_emotion_with_a_counterpart_is_one_of_ferplus():
    assert set(FERPLUS.values()) == set(EMOTIONS)
    assert len(FERPLUS) == 24


def test_an_expert_votes_for_the_strongest_rating_that_has_a_counterpart():
    votes = votes_of({**RATINGS, "human-2": {"Fear": 3, "Distress": 2, "Sadness": 1}, "human-3": {"Doubt": 7}}, "x")
    assert votes[EMOTIONS.index("happiness")] == 0.5
    assert votes[EMOTIONS.index("fear")] == 0.5
    assert votes.sum() == 1.0
    assert not votes_of({"human-1": {"Doubt": 7, "Sadness": 0}}, "x").any()
    with pytest.raises(ArgumentError, match="ratings must be 0 to 7, got 9"):
        votes_of({"human-1": {"Fear": 9}}, "x")


@pytest.mark.needs_cv2
def test_the_table_of_hq_is_read_without_the_machines(tmp_path):
    write_png(tmp_path / "images" / "part" / "a.png")
    write_png(tmp_path / "images" / "part" / "b.png")
    rows = [
        "image,annotator,human,annotations",
        f'a.png,human-1,True,"{RATINGS["human-1"]!r}"',
        "a.png,some-model,False,\"{'Anger': 7}\"",
        "b.png,human-1,True,\"{'Negative High-Energy Emotions|Anger': 2}\"",
        "gone.png,human-1,True,\"{'Anger': 2}\"",
    ]
    (tmp_path / "hq.csv").write_text("\n".join(rows) + "\n")
    first, second = read_emonet_face(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert first.votes[EMOTIONS.index("happiness")] == 1.0
    assert second.votes[EMOTIONS.index("anger")] == 1.0
    image = first.decode()
    assert image.shape == (20, 24, 3) and tuple(image[0, 0]) == (200, 90, 0)


@pytest.mark.needs_cv2
def test_binary_takes_what_experts_saw(tmp_path):
    write_png(tmp_path / "images" / "00000.png")
    write_png(tmp_path / "images" / "00001.png")
    rows = ["path,annotator,value,emotion", "00000,human-1,True,Anger", "00000,human-3,False,Contentment"]
    rows += ["00001,human-1,False,Elation", "00001,human-2,True,Longing"]
    (tmp_path / "binary.csv").write_text("\n".join(rows) + "\n")
    (face,) = read_emonet_face(tmp_path)
    assert face.name == "00000" and face.votes[EMOTIONS.index("anger")] == 1.0


@pytest.mark.needs_cv2
@pytest.mark.needs_table
def test_parquet_holds_images_and_ratings(tmp_path):
    import pyarrow
    from pyarrow import parquet

    write_png(tmp_path / "a.png")
    label = repr([RATINGS, {"human-2": {"Fear": 5}}])
    columns = {"path": [{"bytes": (tmp_path / "a.png").read_bytes(), "path": "a.png"}], "label": [label]}
    (tmp_path / "data").mkdir()
    parquet.write_table(pyarrow.table(columns), tmp_path / "data" / "train-00000-of-00001.parquet")
    (face,) = read_emonet_face(tmp_path)
    assert face.votes[EMOTIONS.index("happiness")] == 0.5 == face.votes[EMOTIONS.index("fear")]
    assert face.decode().shape == (20, 24, 3)


def test_what_is_no_emonet_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="emonet_face must be a folder with"):
        read_emonet_face(tmp_path)
    (tmp_path / "hq.csv").write_text("image,annotator\n")
    with pytest.raises(ArgumentError, match="must have the columns image, annotator, human, annotations"):
        read_emonet_face(tmp_path)
    (tmp_path / "hq.csv").write_text("image,annotator,human,annotations\na.png,human-1,True,{1\n")
    with pytest.raises(ArgumentError, match="line 2: ratings must be a literal"):
        read_emonet_face(tmp_path)
    (tmp_path / "hq.csv").write_text("image,annotator,human,annotations\na.png,human-1,True,{'Anger': 3}\n")
    with pytest.raises(ArgumentError, match="images that its table names, got none"):
        read_emonet_face(tmp_path)
