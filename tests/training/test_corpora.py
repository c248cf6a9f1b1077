"""The other corpora, on trees made here: time lines, scales, votes, names."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora import Track, acted_speech, continuous, ferplus, labels_at
from edgeaff.training.corpora.ferplus import ANCHORS, votes_to_affect
from recipes.face_encoder.data import read_votes

pytestmark = pytest.mark.needs_torch


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_recola_is_the_mean_of_its_raters(tmp_path):
    for dimension, values in (("arousal", ("0.1;0.3", "0.2;0.4")), ("valence", ("-0.5;-0.1", "0.0;0.2"))):
        rows = "".join(f"{0.04 * i:.2f};{value}\n" for i, value in enumerate(values))
        _write(tmp_path / dimension / "P16.csv", "time;FM1 ;FM2\n" + rows)
    (series,) = continuous.read_recola(tmp_path)
    assert series.name == "P16"
    assert series.times_ns.tolist() == [0, 40_000_000]
    np.testing.assert_allclose(series.labels, [[-0.3, 0.2], [0.1, 0.3]], atol=1e-6)


def test_timestamped_files_are_joined_where_both_have_a_value(tmp_path):
    _write(tmp_path / "arousal/7.csv", "timestamp,value,segment_id\n0,0.1,1\n250,0.2,1\n500,0.3,1\n")
    _write(tmp_path / "valence/7.csv", "timestamp,value,segment_id\n250,-0.2,1\n500,-0.3,1\n750,-0.4,1\n")
    (series,) = continuous.read_timestamp_csv(tmp_path)
    assert series.times_ns.tolist() == [250_000_000, 500_000_000]
    np.testing.assert_allclose(series.labels, [[-0.2, 0.2], [-0.3, 0.3]], atol=1e-6)
    _write(tmp_path / "valence/7.csv", "timestamp,value\n9000,0.1\n")
    with pytest.raises(ArgumentError, match="must have instants with valence and arousal"):
        continuous.read_timestamp_csv(tmp_path)


def test_afew_va_is_brought_to_one(tmp_path):
    frames = {f"{i:05d}": {"landmarks": [], "valence": 5.0 - i, "arousal": 10.0} for i in range(11)}
    _write(tmp_path / "01/001/001.json", json.dumps({"video_id": "001", "frames": frames}))
    (series,) = continuous.read_afew_va(tmp_path, rate_hz=25)
    assert series.times_ns[10] == 400_000_000
    np.testing.assert_allclose(series.labels[[0, 10]], [[0.5, 1.0], [-0.5, 1.0]], atol=1e-6)


def test_omg_rows_and_missing_columns(tmp_path):
    _write(
        tmp_path / "o.csv",
        "link,start,end,video,utterance,arousal,valence,EmotionMaxVote\nu,1.5,3,v1,utt_1.mp4,0.4,-0.2,4\n",
    )
    (utterance,) = continuous.read_omg(tmp_path / "o.csv", split="valid")
    assert (utterance.name, utterance.split, utterance.times_ns.tolist()) == (
        "v1_utt_1",
        "valid",
        [1_500_000_000, 3_000_000_000],
    )
    labels = labels_at(utterance, np.array([1.4, 1.5, 2.2, 3.0, 3.1]) * 1e9)
    assert (labels > -5).all(axis=1).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(labels[1:4], [[-0.2, 0.4]] * 3, atol=1e-6)
    _write(tmp_path / "x.csv", "start,end\n")
    with pytest.raises(ArgumentError, match="must have the columns"):
        continuous.read_omg(tmp_path / "x.csv")


def test_labels_are_linear_between_ratings_and_absent_outside():
    times = np.array([0, 100, 200, 300]) * 1_000_000
    series = Track("s", "train", np.float32([[0, 0], [0.2, -0.4], [-5, -5], [0.1, 0.1]]), times_ns=times)
    labels = labels_at(series, np.array([-1, 0, 50, 100, 150, 250, 300, 301]) * 1_000_000)
    there = (labels > -5).all(axis=1)
    assert there.tolist() == [False, True, True, True, False, False, True, False]
    np.testing.assert_allclose(labels[2], [0.1, -0.2], atol=1e-6)
    late = labels_at(series, np.array([0]), rater_delay_seconds=0.05)
    np.testing.assert_allclose(late[0], [0.1, -0.2], atol=1e-6)


def test_a_clip_is_a_track_with_one_label(tmp_path):
    anchors = {"anger": (-0.4, 0.6), "disgust": (-0.6, 0.2)}
    clip = acted_speech.ActedClip(tmp_path / "a.wav", "7", "anger", votes={"anger": 0.5, "disgust": 0.5})
    track = clip.track(anchors, split="test")
    assert (track.name, track.split, track.subject, track.category, track.media) == (
        "a",
        "test",
        "7",
        "anger",
        tmp_path / "a.wav",
    )
    np.testing.assert_allclose(labels_at(track, np.array([0, 10**9])), [[-0.5, 0.4]] * 2, atol=1e-6)
    calm = acted_speech.ActedClip(tmp_path / "b.wav", "7", "calm").track(anchors)
    assert not calm.valid.any()
    assert (labels_at(calm, np.array([0])) == -5).all()


def test_labels_per_frame_have_no_instants():
    with pytest.raises(ArgumentError, match="must have times_ns"):
        labels_at(Track("x", "train", np.zeros((3, 2), np.float32)), np.array([0]))


def test_cremad_names_and_votes(tmp_path):
    _write(tmp_path / "a/1001_DFA_ANG_XX.wav", "")
    _write(tmp_path / "t.csv", '"","FileName","VoiceVote","FaceVote"\n"1","1001_DFA_ANG_XX","A:D","A"\n')
    (clip,) = acted_speech.read_cremad(tmp_path, tmp_path / "t.csv")
    assert (clip.speaker, clip.emotion, clip.intensity) == ("1001", "anger", "XX")
    assert clip.votes == {"anger": 0.5, "disgust": 0.5}
    with pytest.raises(ArgumentError, match="MultiModalVote"):
        acted_speech.read_cremad_votes(tmp_path / "t.csv", kind="MultiModal")


def test_ravdess_and_emodb_names(tmp_path):
    _write(tmp_path / "Actor_12/03-01-05-02-02-01-12.wav", "")
    (clip,) = acted_speech.read_ravdess(tmp_path)
    assert (clip.speaker, clip.emotion, clip.intensity) == ("12", "anger", "strong")
    assert acted_speech.parse_emodb(Path("03a01Wa.flac")).emotion == "anger"


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (acted_speech.parse_cremad, "1001_DFA_XXX_LO.wav"),
        (acted_speech.parse_ravdess, "03-01-09-01-01-01-01.wav"),
        (acted_speech.parse_ravdess, "hello.wav"),
        (acted_speech.parse_emodb, "03a01Xa.wav"),
    ],
)
def test_a_wrong_name_is_refused(parse, name):
    with pytest.raises(ArgumentError, match="must be named"):
        parse(Path(name))


@pytest.mark.needs_shared
def test_the_vote_table_at_hand_is_read(shared):
    votes = acted_speech.read_cremad_votes(shared / "data/affect/cremad_labels/summaryTable.csv")
    assert len(votes) == 7442
    assert votes["1001_IEO_NEU_XX"] == {"neutral": 1.0}
    assert all(abs(sum(shares.values()) - 1) < 1e-9 for shares in votes.values())


def _rated(root, arousal, valence="0.00;0.1\n"):
    _write(root / "arousal/P1.csv", arousal)
    _write(root / "valence/P1.csv", "time;FM1\n" + valence)


@pytest.mark.parametrize(
    ("arousal", "message"),
    [
        ("time;FM1\n0,00;0.1\n", r"arousal/P1\.csv, line 2 must be a time"),
        ("time;FM1\n0.00\n", "line 2 must be a time"),
        ("time;FM1\n;0.5\n", "line 2 must be a time"),
        ("time,FM1\n0.00,0.1\n", "line 2 must be a time"),
        ("time;FM1\n", "must have instants"),
        ("", "must have instants"),
    ],
)
def test_a_rating_that_is_no_number_is_named(tmp_path, arousal, message):
    _rated(tmp_path, arousal)
    with pytest.raises(ArgumentError, match=message):
        continuous.read_recola(tmp_path)


def test_ratings_with_windows_lines_marks_gaps_and_strays(tmp_path):
    _rated(tmp_path, "", "0.00;0.5\n0.04;0.5\n0.08;0.5\n")
    text = "\ufefftime;FM1 ;FM2\r\n 0.00 ; 0.1 ; \r\n0.04;;\r\n0.08;nan;0.3\r\n\r\n"
    (tmp_path / "arousal/P1.csv").write_bytes(text.encode())
    (tmp_path / "arousal/._P1.csv").write_bytes(b"\x00\xff")
    (tmp_path / "arousal/P1.csv").rename(tmp_path / "arousal/P1.CSV")
    (track,) = continuous.read_recola(tmp_path)
    assert track.valid.tolist() == [True, False, True]
    np.testing.assert_allclose(track.labels[[0, 2], 1], [0.1, 0.3], atol=1e-6)


@pytest.mark.parametrize("read", [continuous.read_recola, continuous.read_timestamp_csv])
def test_a_recording_without_a_dimension_is_named(tmp_path, read):
    with pytest.raises(ArgumentError, match="root must hold valence/NAME"):
        read(tmp_path)
    _write(tmp_path / "arousal/7.csv", "timestamp,value\n0,0.1\n")
    with pytest.raises(ArgumentError, match=r"got no valence/7\.csv"):
        read(tmp_path)


def test_a_file_without_a_header_keeps_its_first_row(tmp_path):
    for dimension in ("arousal", "valence"):
        _write(tmp_path / f"{dimension}/7.csv", "0,0.1\n250,7.0\n")
    (track,) = continuous.read_timestamp_csv(tmp_path)
    assert track.times_ns.tolist() == [0, 250_000_000]
    assert track.valid.tolist() == [True, False]  # 7 is outside the scale


@pytest.mark.parametrize("text", ["{", "[]", '{"frames": {"x": {}}}', '{"frames": {"0": {"valence": 1}}}'])
def test_a_wrong_file_of_afew_va_is_named(tmp_path, text):
    with pytest.raises(ArgumentError, match="root must hold 01/CLIP"):
        continuous.read_afew_va(tmp_path)
    _write(tmp_path / "01/001/001.json", text)
    with pytest.raises(ArgumentError, match=r"001\.json must hold frames by number"):
        continuous.read_afew_va(tmp_path)


@pytest.mark.parametrize("row", ["u,1,x,v,u1.mp4,0,0,1", "u,3,2,v,u1.mp4,0,0,1", "u,1,2,v,u1.mp4,,0,1", "u,1"])
def test_a_wrong_utterance_is_named(tmp_path, row):
    _write(tmp_path / "o.csv", "link,start,end,video,utterance,arousal,valence,EmotionMaxVote\n" + row + "\n")
    with pytest.raises(ArgumentError, match="line 2 must have numbers"):
        continuous.read_omg(tmp_path / "o.csv")


def test_folders_of_clips_are_checked(tmp_path):
    with pytest.raises(ArgumentError, match="root must hold"):
        acted_speech.read_cremad(tmp_path)
    _write(tmp_path / "AudioWAV/1001_DFA_ANG_XX.WAV", "")
    _write(tmp_path / "AudioWAV/._1001_DFA_ANG_XX.WAV", "")
    assert len(acted_speech.read_cremad(tmp_path)) == 1
    _write(tmp_path / "AudioMP3/1001_DFA_ANG_XX.mp3", "")
    with pytest.raises(ArgumentError, match="folder of one medium"):
        acted_speech.read_cremad(tmp_path)


FERPLUS = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


def test_ferplus_is_read_as_published(tmp_path):
    rows = (
        "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0\n"
        "Training,,0,0,0,0,0,0,0,0,0,10\n"  # removed: no name
        "PublicTest,fer0000002.png,0,0,0,0,0,0,0,0,8,2\n"  # no emotion was named
        "PrivateTest,fer0000003.png,0,10,0,0,0,0,0,0,0,0\n"
    )
    _write(tmp_path / "fer2013new.csv", "\ufeff" + FERPLUS + rows)
    _write(tmp_path / "images/FER2013Test/fer0000003.png", "")
    tracks = ferplus.read_ferplus(tmp_path / "fer2013new.csv", tmp_path / "images")
    assert [(t.name, t.split, t.category, t.media) for t in tracks] == [
        ("fer0000000", "train", "neutral", None),
        ("fer0000003", "test", "happiness", tmp_path / "images/FER2013Test/fer0000003.png"),
    ]
    np.testing.assert_allclose(labels_at(tracks[1], np.array([0, 10**9])), [[0.70, 0.14]] * 2, atol=1e-6)
    expected = (0.4 * ANCHORS[0] + 0.1 * ANCHORS[3] + 0.3 * ANCHORS[4] + 0.2 * ANCHORS[5])[None]
    np.testing.assert_allclose(tracks[0].labels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotion,pixels,Usage\n", "must have the columns Usage, Image name"),
        (FERPLUS + "Train,a.png,1,0,0,0,0,0,0,0,0,0\n", "line 2: Usage must be one of Training"),
        (FERPLUS + "Training,a.png,1,x,0,0,0,0,0,0,0,0\n", "line 2: votes must be numbers"),
        (FERPLUS + "Training,a.png,1\n", "line 2: votes must be numbers"),
        (FERPLUS + "Training,a.png,1,0,0,0,0,0,0,0,0,0\n", "images must hold the 1 images"),
    ],
)
def test_a_wrong_table_of_ferplus_is_named(tmp_path, text, message):
    _write(tmp_path / "t.csv", text)
    with pytest.raises(ArgumentError, match=message):
        ferplus.read_ferplus(tmp_path / "t.csv", tmp_path)


@pytest.mark.needs_shared
def test_ferplus_gives_the_labels_that_the_face_encoder_learned(shared, tmp_path):
    folder = shared / "data/affect/fer2013plus"
    votes = (folder / "valid_votes.csv").read_text().splitlines()
    rows = "".join(f"PublicTest,fer{index:07d}.png,{row}\n" for index, row in enumerate(votes[1:]))
    _write(tmp_path / "t.csv", FERPLUS + rows)
    tracks = ferplus.read_ferplus(tmp_path / "t.csv")
    counts = read_votes(folder, "valid")[:, :8]
    counts = counts[counts.sum(axis=1) > 0]
    labels = votes_to_affect(counts / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.concatenate([track.labels for track in tracks]), labels, atol=1e-6)
