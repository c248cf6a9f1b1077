"""`python -m recipes.default_bundle --with NAME=FOLDER`: voices and faces of corpora that a user has."""

import argparse
import json
import sys
import wave

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.cremad import read_cremad_complete
from edgeaff.training.corpora.ferplus import EMOTIONS

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_media, pytest.mark.needs_cv2]
NAMES = ("1001_DFA_ANG_XX", "1001_IEO_SAD_LO", "1002_DFA_HAP_HI")
TABLE = "FileName,VoiceVote,FaceVote,MultiModalVote\n1002_DFA_HAP_HI,H:N,H,H\n"


def write_voice(path, seed):
    times = np.arange(12_000) / 16_000
    tone = sum(np.sin(2 * np.pi * (130 + 20 * seed) * k * times) / k for k in range(1, 9)) * np.hanning(12_000)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((6000 * tone).astype("<i2").tobytes())


def write_film(path, frames=12):
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="flv") as container:
        stream = container.add_stream("flv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(frames):
            image = np.full((64, 96, 3), 20 * index, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@pytest.fixture
def cremad(tmp_path):
    root = tmp_path / "cremad"
    for index, name in enumerate(NAMES):
        write_voice(root / "AudioWAV" / f"{name}.wav", index)
        write_film(root / "VideoFlash" / f"{name}.flv")
    (root / "summaryTable.csv").write_text(TABLE)
    return root


def test_voices_take_the_place_of_those_at_hand_but_for_the_clips_of_the_check(cremad):
    from recipes.default_bundle.more import with_voices
    from recipes.default_bundle.voices import ANCHORS, Clip

    silence, nothing = np.zeros(8, np.float32), np.zeros(2, np.float32)
    at_hand = [Clip(silence, "CREMA-D", "crema_9", "anger", nothing), Clip(silence, "EmoDB", "e", "anger", nothing)]
    clips = with_voices(at_hand, {"cremad": cremad})
    assert [(clip.corpus, clip.speaker) for clip in clips] == [
        ("EmoDB", "e"),
        ("CREMA-D", "crema_1001"),
        ("CREMA-D", "crema_1002"),
    ]
    assert len(clips[1].samples) == 12_000
    assert clips[1].affect == pytest.approx(0.6 * np.array(ANCHORS["sadness"]))  # acted weakly, no votes
    assert clips[2].affect == pytest.approx((np.array(ANCHORS["happiness"]) + ANCHORS["neutral"]) / 2)
    assert with_voices(at_hand, {}) == at_hand


def test_faces_of_films_have_the_votes_for_the_face(cremad):
    from recipes.default_bundle.more import face_set, images_of

    images = list(images_of({"cremad": cremad}))
    assert len(images) == 6  # three moments of two films; the clip of the check is left out
    assert images[0][0].shape == (64, 96, 3)
    assert images[0][0].mean() < images[1][0].mean() < images[2][0].mean()
    assert images[0][1][EMOTIONS.index("sadness")] == 1.0
    assert images[3][1][EMOTIONS.index("happiness")] == 1.0
    found = face_set(images, lambda image: None if image.mean() < 100 else np.full((48, 48), 7, np.uint8))
    assert 0 < len(found) < 6 and found.images.shape[1:] == (48, 48)
    assert found.affect.shape == (len(found), 2)
    with pytest.raises(ArgumentError, match="images must show faces, got none in 6 images"):
        face_set(images, lambda image: None)


def test_an_option_names_a_corpus_and_a_folder(tmp_path):
    from recipes.default_bundle.more import named_folder

    assert named_folder(f"cremad={tmp_path}") == ("cremad", tmp_path)
    for wrong in ("cremad", "other=.", f"cremad={tmp_path}/gone"):
        with pytest.raises(argparse.ArgumentTypeError, match="must be NAME=FOLDER"):
            named_folder(wrong)


def test_faces_need_the_encoder_that_made_the_others(cremad, tmp_path):
    from recipes.default_bundle.more import with_faces

    with pytest.raises(ArgumentError, match="encoder must be given"):
        with_faces(tmp_path / "f.npz", {"cremad": cremad}, None, tmp_path)
    for path in (cremad / "VideoFlash").iterdir():
        path.unlink()
    (cremad / "VideoFlash").rmdir()
    assert with_faces(tmp_path / "f.npz", {"cremad": cremad}, None, tmp_path) == tmp_path / "f.npz"
    assert [clip.video for clip in read_cremad_complete(cremad)] == [None] * 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.needs_shared
def test_the_tail_is_trained_with_them(cremad, shared, tmp_path, monkeypatch):
    from edgeaff.bundle import ModelBundle
    from recipes.default_bundle.__main__ import main
    from recipes.face_encoder.disturb import HINDRANCES

    emonet = tmp_path / "emonet"
    emonet.mkdir()
    for name in ("single_face.jpg", "dlib_2008_002079.jpg"):
        (emonet / name).write_bytes((shared / "data" / "media" / "face" / name).read_bytes())
    rows = [
        "path,annotator,value,emotion",
        "single_face.jpg,human-1,True,Elation",
        "dlib_2008_002079.jpg,human-1,True,Anger",
    ]
    (emonet / "binary.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "face_encoder.onnx").write_bytes(ModelBundle.load().graph_bytes("face_encoder"))
    random, votes = np.random.default_rng(0), np.eye(8, dtype=np.float32)
    faces = {}
    for split, count, views in (("train", 60, 7), ("valid", 40, 3), ("test", 40, 3)):
        shares = votes[random.integers(0, 8, count)]
        faces |= {
            f"{split}_descriptor": random.standard_normal((count, views, 128)).astype(np.float16),
            f"{split}_affect": random.uniform(-0.5, 0.5, (count, 2)).astype(np.float32),
            f"{split}_votes": shares,
        }
        faces |= {f"{split}_{name}": random.standard_normal((count, 128)).astype(np.float16) for name in HINDRANCES}
    np.savez(tmp_path / "faces.npz", **faces)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "recipes.default_bundle",
            "--shared",
            str(shared),
            "--faces",
            str(tmp_path / "faces.npz"),
            "--work",
            str(tmp_path / "work"),
            "--output",
            str(tmp_path / "out"),
            "--minutes",
            "0.05",
            "--scale",
            "0.01",
            "--encoder",
            str(tmp_path / "face_encoder.onnx"),
            "--with",
            f"cremad={cremad}",
            "--with",
            f"emonet_face={emonet}",
        ],
    )
    main()
    with np.load(tmp_path / "work" / "cremad+emonet_face" / "faces.npz") as joined:
        assert len(joined["train_descriptor"]) >= 61
        assert joined["train_descriptor"].shape[1:] == (7, 128)
        assert joined["train_votes"][-1][EMOTIONS.index("happiness")] == 1.0
    part = json.loads((tmp_path / "out" / "tail.json").read_text())
    assert "CREMA-D complete" in part["provenance"] and "EmoNet-Face" in part["provenance"]
