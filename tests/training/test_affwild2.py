"""Aff-Wild2 in every layout, on trees made here: generations, suffixes, wrong names, missing crops, odd rows, true rates."""

import os
import unicodedata

import numpy as np
import pytest

from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.spec import PreprocessSpec
from edgeaff.training.corpora import fit_rows, rows_of_ticks
from edgeaff.training.corpora.affwild2 import crop_files, read_annotation, read_corpus, side_of, video_name
from edgeaff.training.corpora.submission import (
    filled_from_nearest,
    read_locations,
    values_of_frames,
    write_single_file,
    write_track_files,
)

pytestmark = pytest.mark.needs_torch


def _write_labels(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("valence,arousal\n" + "".join(f"{v},{a}\n" for v, a in rows))


def _write_video(path, rate, frames, *, codec="mpeg4", start_seconds=0.0):
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index % 250, np.uint8), format="rgb24")
            frame.pts = index + round(start_seconds * rate)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        ("VA_Set/Training_Set", "VA_Set/Validation_Set"),
        ("VA_Set/Train_Set", "VA_Set/Validation_Set"),
        ("VA_Estimation_Challenge/Train_Set", "VA_Estimation_Challenge/Validation_Set"),
        ("annotations/VA_Estimation_Challenge/Train_Set", "annotations/VA_Estimation_Challenge/Validation_Set"),
    ],
)
def test_both_generations_are_found(tmp_path, train, valid):
    _write_labels(tmp_path / train / "102.txt", [(0.1, 0.2)])
    _write_labels(tmp_path / train / "10-60-1280x720_right.txt", [(0.1, 0.2)])
    _write_labels(tmp_path / valid / "video5_1.txt", [(0.3, -0.2)])
    tracks = {track.name: track for track in read_corpus(tmp_path)}
    assert {name: track.split for name, track in tracks.items()} == {
        "102": "train",
        "10-60-1280x720_right": "train",
        "video5_1": "valid",
    }
    assert tracks["102"].media is None


def test_expression_and_action_unit_sets_beside_are_left_alone(tmp_path):
    _write_labels(tmp_path / "VA_Set/Train_Set/1.txt", [(0, 0)])
    _write_labels(tmp_path / "EXPR_Set/Train_Set/1.txt", [(3, 3)])
    (tmp_path / "VA_Set/Train_Set/notes.md").write_text("stray")
    assert [track.name for track in read_corpus(tmp_path)] == ["1"]


def test_suffixes_of_people_are_stripped_and_parts_are_not():
    assert video_name("10-60-1280x720_right") == "10-60-1280x720"
    assert video_name("video3_left") == "video3"
    assert video_name("video3_1") == "video3_1"
    assert video_name("video3_1_left") == "video3_1"
    assert video_name("102") == "102"


def test_videos_and_crops_are_found_at_any_depth(tmp_path):
    for name in ("7", "7_left", "video2_2"):
        _write_labels(tmp_path / f"VA_Set/Train_Set/{name}.txt", [(0, 0)] * 3)
    for path in ("batch1/7.mp4", "batch2/deep/video2_2.avi"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    for path in (
        "cropped/7/00001.jpg",
        "cropped_aligned/batch1/7/00002.jpg",
        "cropped_aligned/batch2/7_left/00001.jpg",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    tracks = {track.name: track for track in read_corpus(tmp_path)}
    assert tracks["7"].media == tracks["7_left"].media == tmp_path / "batch1/7.mp4"
    assert tracks["video2_2"].media == tmp_path / "batch2/deep/video2_2.avi"
    assert tracks["7"].crops == tmp_path / "cropped_aligned/batch1/7"
    assert tracks["7_left"].crops == tmp_path / "cropped_aligned/batch2/7_left"
    assert tracks["video2_2"].crops is None


def test_crops_are_one_based_with_gaps_and_strays(tmp_path):
    for name in ("00001.jpg", "00003.jpg", "Thumbs.db", "00002.txt", "cover.jpg", "00000.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [row for row, _ in crop_files(tmp_path)] == [0, 2]


def test_minus_five_in_either_column_is_unannotated(tmp_path):
    _write_labels(tmp_path / "a.txt", [(0.5, -0.5), (-5, -5), (0.2, -5), (-5, 0.2), (1, -1)])
    labels = read_annotation(tmp_path / "a.txt")
    assert labels.dtype == np.float32
    assert (labels == -5).all(axis=1).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1,0.2\n", "must begin with"),
        ("", "must begin with"),
        ("valence,arousal\n0.1\n", "line 2"),
        ("valence,arousal\n0.1,x\n", "line 2"),
    ],
)
def test_a_wrong_annotation_is_named(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ArgumentError, match=message):
        read_annotation(tmp_path / "a.txt")


def test_byte_order_mark_windows_lines_and_blank_end_are_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfvalence,arousal\r\n0.25,-0.5\r\n\r\n")
    np.testing.assert_array_equal(read_annotation(tmp_path / "a.txt"), np.float32([[0.25, -0.5]]))


def test_endings_in_capitals_links_and_what_a_mac_leaves_behind(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "disk2"
    _write_labels(root / "VA_Set/Train_Set/7.TXT", [(0.5, 0.5)])
    (root / "VA_Set/Train_Set/._7.TXT").write_bytes(b"\x00\x05\x16\x07\xff")
    _write_labels(root / "__MACOSX/VA_Set/Train_Set/8.txt", [(0, 0)])
    for path in ("batch1/7.MP4", "cropped/7/00001.JPG", "cropped/7/._00001.jpg"):
        (elsewhere / path).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / path).write_bytes(b"")
    for name in ("batch1", "cropped"):
        (root / name).symlink_to(elsewhere / name, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    (track,) = read_corpus(root)
    assert (track.name, track.media, track.crops) == ("7", root / "batch1/7.MP4", root / "cropped/7")
    assert [row for row, _ in crop_files(track.crops)] == [0]


def test_the_tree_is_walked_once_and_no_file_is_asked_for_its_state(tmp_path, monkeypatch):
    """A real tree holds millions of crops, often on a network drive."""
    _write_labels(tmp_path / "VA_Set/Train_Set/7.txt", [(0, 0)])
    for number in range(1, 200):
        path = tmp_path / f"cropped/batch1/7/{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    calls = []
    listed, stated = os.scandir, os.stat
    monkeypatch.setattr(os, "scandir", lambda path: calls.append(str(path)) or listed(path))
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: calls.append(str(path)) or stated(path, *a, **k))
    assert read_corpus(tmp_path)[0].crops == tmp_path / "cropped/batch1/7"
    assert len(calls) < 40
    assert calls.count(str(tmp_path / "cropped/batch1/7")) <= 2


def test_an_annotation_in_another_encoding_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("valence,arousal\n0,0\n".encode("utf-16"))
    with pytest.raises(ArgumentError, match=r"a\.txt must begin with the line"):
        read_annotation(tmp_path / "a.txt")


def test_not_a_number_is_unannotated(tmp_path):
    (tmp_path / "a.txt").write_text("Valence, Arousal\n nan , 0.5\n0.5 ,NaN\ninf,0\n1.0001,0\n 0.25 , -0.5 \n")
    labels = read_annotation(tmp_path / "a.txt")
    assert (labels == -5).all(axis=1).tolist() == [True, True, True, True, False]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="root must hold VA_Set or VA_Estimation_Challenge"):
        read_corpus(tmp_path)


def test_a_track_in_two_splits_is_refused(tmp_path):
    _write_labels(tmp_path / "VA_Set/Train_Set/1.txt", [(0, 0)])
    _write_labels(tmp_path / "VA_Estimation_Challenge/Validation_Set/1.txt", [(0, 0)])
    with pytest.raises(ArgumentError, match="must be in one split"):
        read_corpus(tmp_path)


def test_test_list_gives_tracks_without_labels(tmp_path):
    _write_labels(tmp_path / "VA_Set/Train_Set/1.txt", [(0, 0)])
    (tmp_path / "list.txt").write_text("2\n3_right\n")
    tracks = read_corpus(tmp_path, test_list=tmp_path / "list.txt")
    assert [(track.name, track.split, len(track.labels)) for track in tracks] == [
        ("1", "train", 1),
        ("2", "test", 0),
        ("3_right", "test", 0),
    ]


def test_labels_of_test_tracks_are_read_where_they_are(tmp_path):
    _write_labels(tmp_path / "VA_Set/Train_Set/1.txt", [(0, 0)])
    _write_labels(tmp_path / "VA_Set/Test_Set/2.txt", [(0.5, 0.5), (0.25, 0)])
    (tmp_path / "list.txt").write_text("2\n3\n")
    tracks = read_corpus(tmp_path, test_list=tmp_path / "list.txt")
    assert [(track.name, track.split, len(track.labels)) for track in tracks] == [
        ("1", "train", 1),
        ("2", "test", 2),
        ("3", "test", 0),
    ]


def test_people_stand_where_their_track_states():
    names = ["1", "2_left", "2", "3", "3_right", "4_1", "5_left", "5_right"]
    sides = {name: side_of(name, names) for name in names}
    assert sides == {
        "1": None,
        "2_left": "left",
        "2": "right",
        "3": "left",
        "3_right": "right",
        "4_1": None,
        "5_left": "left",
        "5_right": "right",
    }


@pytest.mark.parametrize("difference", [-2, -1, 0, 1, 3])
def test_rows_are_fitted_to_frames(difference):
    labels = np.arange(20, dtype=np.float32).reshape(10, 2) / 20
    fitted = fit_rows(labels, 10 + difference)
    assert len(fitted) == 10 + difference
    np.testing.assert_array_equal(fitted[: min(10, 10 + difference)], labels[: min(10, 10 + difference)])
    assert (fitted[10:] == -5).all()


@pytest.mark.needs_media
@pytest.mark.parametrize(("rate", "suffix"), [(8, ".mp4"), (24, ".avi"), (25, ".mp4"), (30, ".mp4"), (60, ".mp4")])
def test_rates_come_from_the_container_and_not_from_the_name(tmp_path, rate, suffix):
    path = tmp_path / f"10-99-1280x720{suffix}"
    _write_video(path, rate, 2 * rate)
    times = MediaFile(path).frame_times_ns()
    assert len(times) == 2 * rate
    assert np.diff(times).mean() == pytest.approx(1e9 / rate, rel=1e-3)
    ticks, rows = rows_of_ticks(times, PreprocessSpec())
    assert (ticks == np.arange(len(rows))).all()
    wanted = np.arange(len(rows)) / 30 * rate
    assert np.abs(rows - wanted).max() <= max(1.0, rate / 30)
    assert (np.diff(rows) >= 0).all()


def _cut_without_encoding(source, target, frames):
    """Copies packets as `ffmpeg -ss ... -c copy` does: what lies before the cut stays in the file and is never shown."""
    import av

    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        stream = old.streams.video[0]
        copied = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.dts is not None:
                packet.pts -= frames * packet.duration
                packet.dts -= frames * packet.duration
                packet.stream = copied
                new.mux(packet)


@pytest.mark.needs_media
def test_frames_before_the_cut_of_an_edit_list_have_no_row(tmp_path):
    _write_video(tmp_path / "whole.mp4", 30, 60)
    _cut_without_encoding(tmp_path / "whole.mp4", tmp_path / "cut.mp4", 17)
    shown = [frame.pts_ns for frame in MediaFile(tmp_path / "cut.mp4")]
    assert len(shown) == 43
    assert shown[0] == 0


def test_a_stopped_camera_leaves_ticks_without_a_row():
    times = np.r_[np.arange(30), np.arange(90, 120)] * 1_000_000_000 // 30
    ticks, rows = rows_of_ticks(times, PreprocessSpec())
    assert (ticks == np.arange(120)).all()
    assert (rows[:30] == np.arange(30)).all()
    assert (rows[29:44] == 29).all()
    assert (rows[46:90] == -1).all()
    assert (rows[90:] == np.arange(30, 60)).all()


def test_a_crop_that_cannot_be_read_is_named(tmp_path):
    from edgeaff.training.features.pixels import read_crop

    (tmp_path / "00001.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    with pytest.raises(MediaError, match="00001.jpg must be a crop that can be read"):
        read_crop(tmp_path / "00001.jpg", 32)


def test_a_gap_of_more_than_ten_seconds_has_no_ticks():
    times = np.r_[np.arange(30), np.arange(54_000, 54_030)] * 1_000_000_000 // 30
    ticks, rows = rows_of_ticks(times, PreprocessSpec())
    assert ticks.tolist() == [*range(30), *range(54_000, 54_030)]
    assert rows.tolist() == list(range(60))


def test_composed_and_decomposed_names_meet(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Gr\u00fc\u00dfe_\u00e9") for form in ("NFC", "NFD"))
    folder = tmp_path / "VA_Set" / "Training_Set"
    folder.mkdir(parents=True)
    (folder / f"{decomposed}.txt").write_text("valence,arousal\n0.1,0.2\n")
    (tmp_path / f"{composed}.mp4").write_bytes(b"")
    crops = tmp_path / "cropped" / decomposed
    crops.mkdir(parents=True)
    (crops / "00001.jpg").write_bytes(b"")
    (tmp_path / "list.txt").write_text(f"{composed}_left\n", encoding="utf-8")
    tracks = read_corpus(tmp_path, test_list=tmp_path / "list.txt")
    assert [track.name for track in tracks] == [composed, f"{composed}_left"]
    assert all(track.media == tmp_path / f"{composed}.mp4" for track in tracks)
    assert tracks[0].crops == crops
    write_single_file(tmp_path / "out.txt", {decomposed: np.zeros((1, 2))}, [f"{composed}/00001.jpg"])
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").endswith(f"{composed}/00001.jpg,0.000,0.000\n")


def test_submission_per_track_is_byte_exact(tmp_path):
    values = np.array([[0.12345, -0.9996], [2.0, -3.0], [np.nan, 0.1], [0.0, -0.00001]])
    write_track_files(tmp_path / "out", {"video1_left": values})
    expected = b"valence,arousal\n0.123,-1.000\n1.000,-1.000\n1.000,-1.000\n0.000,-0.000\n"
    assert (tmp_path / "out" / "video1_left.txt").read_bytes() == expected


def test_submission_round_trip(tmp_path):
    values = np.round(np.random.default_rng(0).uniform(-1, 1, (50, 2)), 3)
    write_track_files(tmp_path, {"5": values})
    np.testing.assert_allclose(read_annotation(tmp_path / "5.txt"), values, atol=1e-6)


def test_submission_in_one_file_is_byte_exact(tmp_path):
    predictions = {"a": np.array([[0.1, 0.2], [np.nan, np.nan], [0.3, 0.4]]), "b_right": np.array([[-0.5, 0.5]])}
    write_single_file(
        tmp_path / "p.txt", predictions, ["b_right/00001.jpg", "a/00001.jpg", "a/00002.jpg", "a/00003.jpg"]
    )
    assert (tmp_path / "p.txt").read_bytes() == (
        b"image_location,valence,arousal\nb_right/00001.jpg,-0.500,0.500\na/00001.jpg,0.100,0.200\n"
        b"a/00002.jpg,0.100,0.200\na/00003.jpg,0.300,0.400\n"
    )


def test_a_image_after_the_last_frame_takes_that_and_one_of_another_video_is_refused(tmp_path):
    predictions = {"a": np.array([[0.1, 0.2], [np.inf, 0.0], [0.3, 0.4]])}
    write_single_file(tmp_path / "p.txt", predictions, ["a/00002.jpg", "a/00005.jpg"])
    assert (tmp_path / "p.txt").read_text().splitlines()[1:] == ["a/00002.jpg,0.100,0.200", "a/00005.jpg,0.300,0.400"]
    for location in ("a/00034.jpg", "b/00001.jpg", "a/00000.jpg", "a/x.jpg", "00001.jpg"):
        with pytest.raises(ArgumentError, match="locations must be images"):
            write_single_file(tmp_path / "p.txt", predictions, [location])


def test_the_official_sample_gives_the_order(tmp_path):
    (tmp_path / "s.txt").write_bytes(
        b"\xef\xbb\xbfimage_location,valence,arousal\r\nb/00001.jpg,-5,-5\r\na/00001.jpg,-5,-5\r\n"
    )
    assert read_locations(tmp_path / "s.txt") == ["b/00001.jpg", "a/00001.jpg"]
    (tmp_path / "s.txt").write_text("valence,arousal\n")
    with pytest.raises(ArgumentError, match="must begin with image_location"):
        read_locations(tmp_path / "s.txt")


def test_frames_without_a_prediction_are_not_a_number():
    spec = PreprocessSpec()
    times = np.arange(6) * 1_000_000_000 // 30
    rows = values_of_frames(np.arange(6.0).reshape(3, 2), np.array([1, 2, 4]), times, spec)
    np.testing.assert_array_equal(rows[:, 0], [np.nan, 0.0, 2.0, np.nan, 4.0, np.nan])


def test_missing_predictions_come_from_the_nearest_frame():
    values = np.full((7, 2), np.nan)
    values[1], values[5] = (0.1, 0.2), (0.5, 0.6)
    filled = filled_from_nearest(values)
    assert filled[:, 0].tolist() == [0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5]
    assert (filled_from_nearest(np.full((3, 2), np.nan)) == 0).all()
