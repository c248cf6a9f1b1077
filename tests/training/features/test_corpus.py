"""Features of a corpus: killed it goes on, what is broken is named, another preprocessing is refused, reading is mapped."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest

from edgeaff.cli.main import main
from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.preprocess.inputs import FaceInput
from edgeaff.spec import PreprocessSpec
from edgeaff.training.features import corpus as corpus_module
from edgeaff.training.features import recipe
from edgeaff.training.features.cache import FeatureCache, Features
from edgeaff.training.features.corpus import LOCK
from edgeaff.training.features.recipe import ExtractRecipe
from edgeaff.training.features.track import _face_of
from edgeaff.types import FaceBox, TrackedFace
from tests.training.vggface_files import CONFIG, known_layers, write_pytorch

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_media, pytest.mark.needs_native]


def _video(path, frames, size=(192, 144)):
    import av

    noise = np.random.default_rng(frames).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            image = np.roll(noise, index, axis=1)
            container.mux(list(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))))
        container.mux(list(stream.encode(None)))


def _corpus(root, lengths, size=(192, 144)):
    for index, frames in enumerate(lengths):
        folder = root / "VA_Estimation_Challenge" / ("Validation_Set" if index == 0 else "Train_Set")
        folder.mkdir(parents=True, exist_ok=True)
        rows = np.random.default_rng(index).uniform(-0.5, 0.5, (frames, 2))
        (folder / f"v{index}.txt").write_text("valence,arousal\n" + "".join(f"{v:.3f},{a:.3f}\n" for v, a in rows))
        (root / "batch1").mkdir(exist_ok=True)
        _video(root / "batch1" / f"v{index}.mp4", frames, size)
    return root


def _stamps(cache):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in cache.glob("[!.]*.npz")}


@pytest.mark.timeout(120)
def test_killed_extraction_goes_on_without_redoing(tmp_path, root):
    corpus, cache = _corpus(tmp_path / "corpus", [60, 120, 180, 240, 300], (320, 240)), tmp_path / "cache"
    command = [sys.executable, "-m", "edgeaff", "extract", str(corpus), "--cache", str(cache), "--workers", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _stamps(cache) and process.poll() is None:
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(1.0)  # the workers end with it: nothing is written after this
    finished = _stamps(cache)
    assert 1 <= len(finished) < 5
    time.sleep(1.0)
    assert _stamps(cache) == finished
    (cache / ".v0.123.npz").write_bytes(b"half of a file")
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result = json.loads(again.stdout.splitlines()[-1])
    assert (result["extracted"], result["already"], result["skipped"]) == (5 - len(finished), len(finished), [])
    assert {name: stamp for name, stamp in _stamps(cache).items() if name in finished} == finished
    assert not list(cache.glob(".*.npz"))
    assert [len(f.labels) for f in FeatureCache.open(cache).read_all()] == [60, 120, 180, 240, 300]


def test_broken_and_missing_videos_are_named_and_the_rest_is_extracted(tmp_path, capsys):
    corpus, cache = _corpus(tmp_path / "corpus", [20, 20, 20]), tmp_path / "cache"
    (corpus / "batch1" / "v1.mp4").write_bytes(b"no video at all" * 100)
    (corpus / "batch1" / "v2.mp4").unlink()
    arguments = ["extract", str(corpus), "--cache", str(cache), "--workers", "0", "--quiet"]
    assert main(arguments) == 3
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["skipped"] == ["v1", "v2"]
    lines = err.splitlines()
    assert [line for line in lines if "skipped v1: " in line and "v1.mp4" in line]
    assert [line for line in lines if "skipped v2: there is no video of this name" in line]
    assert [line for line in lines if "warning: v0: no face in v0.mp4" in line]
    assert [line for line in lines if "warning: v0: no audio in v0.mp4" in line]
    _video(corpus / "batch1" / "v1.mp4", 20)
    _video(corpus / "batch1" / "v2.mp4", 20)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["extracted"] == 2


def test_odd_metadata_and_names_are_extracted_like_others(tmp_path, capsys):
    """A tag that is not UTF-8, a colon that looks like a protocol, a decomposed name, a name that is not UTF-8."""
    corpus, cache = _corpus(tmp_path / "corpus", [12, 12, 12]), tmp_path / "cache"
    tagged = corpus / "batch1" / "v0.mp4"
    data = tagged.read_bytes()
    assert b"VideoHandler" in data
    tagged.write_bytes(data.replace(b"VideoHandler", b"V\xeddeoHandler"))
    names = {"v1": "take:1", "v2": unicodedata.normalize("NFD", "caf\u00e9")}
    for old, new in names.items():
        (corpus / "batch1" / f"{old}.mp4").rename(corpus / "batch1" / f"{new}.mp4")
        (corpus / "VA_Estimation_Challenge" / "Train_Set" / f"{old}.txt").rename(
            corpus / "VA_Estimation_Challenge" / "Train_Set" / f"{unicodedata.normalize('NFC', new)}.txt"
        )
    latin = os.fsencode(corpus / "batch1") + b"/caf\xe9.mp4"
    shutil.copy(corpus / "batch1" / "take:1.mp4", latin)
    rows = corpus / "VA_Estimation_Challenge" / "Train_Set" / "take:1.txt"
    shutil.copy(rows, os.fsencode(rows.parent) + b"/caf\xe9.txt")
    assert main(["extract", str(corpus), "--cache", str(cache), "--workers", "0", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["extracted"] == 4
    assert sorted(features.name for features in FeatureCache.open(cache).read_all()) == sorted(
        ["v0", "take:1", "caf\u00e9", os.fsdecode(b"caf\xe9")]
    )


def test_others_are_extracted_when_one_video_raises(tmp_path, capsys, monkeypatch):
    corpus, cache = _corpus(tmp_path / "corpus", [12, 12]), tmp_path / "cache"
    extract_track = corpus_module.extract_track

    def failing(track, *arguments, **options):
        if track.name == "v1":
            raise KeyError("something\nunforeseen")
        return extract_track(track, *arguments, **options)

    monkeypatch.setattr(corpus_module, "extract_track", failing)
    assert main(["extract", str(corpus), "--cache", str(cache), "--workers", "0", "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["skipped"] == ["v1"]
    assert (
        "skipped v1: features must be made of its video, got " in err and "(KeyError)" in err and "Traceback" not in err
    )


def test_a_video_that_is_a_broken_link_is_named(tmp_path, capsys):
    corpus, cache = _corpus(tmp_path / "corpus", [12, 12]), tmp_path / "cache"
    (corpus / "batch1" / "v1.mp4").unlink()
    (corpus / "batch1" / "v1.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert main(["extract", str(corpus), "--cache", str(cache), "--workers", "0", "--quiet"]) == 3
    assert "skipped v1: " in capsys.readouterr().err


def test_a_cache_of_another_preprocessing_is_refused_by_name(tmp_path, capsys):
    corpus, cache = _corpus(tmp_path / "corpus", [10]), tmp_path / "cache"
    arguments = ["extract", str(corpus), "--cache", str(cache), "--workers", "0", "--quiet"]
    assert main(arguments) == 0
    stated = json.loads(capsys.readouterr().out.splitlines()[-1])["fingerprint"]
    assert main([*arguments, "--preset", "paper"]) == 3
    message = capsys.readouterr().err
    assert str(cache) in message and stated in message and "use another folder" in message
    note = json.loads((cache / "spec.json").read_text())
    note["made_with"]["fingerprint"] = "of-an-older-version"
    (cache / "spec.json").write_text(json.dumps(note))
    with pytest.raises(SpecMismatchError, match="got of-an-older-version; extract again"):
        FeatureCache.open(cache)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["{corpus}/absent"], "corpus must be a folder"),
        (["{corpus}", "--workers=-1"], "workers must be at least 0"),
        (["{corpus}", "--preset", "big"], "preset must be one of edge, paper"),
        (["{corpus}", "--split", "test"], "split must be one that the corpus holds"),
        (["{corpus}", "--test-list", "{corpus}/none.txt"], "test-list must be a file"),
        (["{corpus}", "--vggface", "{corpus}/none.pth"], "vggface must be a readable file"),
        (["{corpus}/batch1"], "root must hold VA_Set or VA_Estimation_Challenge"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, capsys, change, words):
    corpus = _corpus(tmp_path / "corpus", [5])
    arguments = [part.format(corpus=corpus) for part in change]
    assert main(["extract", *arguments, "--cache", str(tmp_path / "cache"), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "cache").exists()


def test_two_commands_do_not_share_a_cache(tmp_path, capsys):
    import fcntl

    corpus, cache = _corpus(tmp_path / "corpus", [5]), tmp_path / "cache"
    cache.mkdir()
    with (cache / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["extract", str(corpus), "--cache", str(cache), "--workers", "0", "--quiet"]) == 2
    assert "one command at a time" in capsys.readouterr().err


def test_wide_arrays_are_mapped_and_read_only(tmp_path):
    cache = FeatureCache(tmp_path, PreprocessSpec(), encoder_id="x")
    rng = np.random.default_rng(0)
    made = Features(
        "t",
        "train",
        rng.standard_normal((50, 7)).astype("f4"),
        np.zeros((50, 0), "f4"),
        np.ones((50, 2), bool),
        rng.random((50, 2)),
    )
    cache.write(made)
    read = cache.read("t")
    assert isinstance(read.video, np.memmap) and not read.video.flags.writeable
    np.testing.assert_array_equal(read.video, made.video)
    assert read.audio.shape == (50, 0)
    np.savez_compressed(
        tmp_path / "t.npz",
        split=np.array("train"),
        **{n: getattr(made, n) for n in ("video", "audio", "present", "labels")},
    )
    with pytest.raises(ArgumentError, match="compressed; delete it and extract again"):
        cache.read("t")
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(ArgumentError, match="delete it and extract again"):
        cache.read("t")


def _face(x0, x1):
    return FaceInput(TrackedFace(1, FaceBox(x0, 0, x1, 10), 0.9), np.zeros((1, 1, 3), np.uint8), np.array([x0]), 0, 0)


@pytest.mark.parametrize(
    ("spans", "side", "chosen"),
    [
        ([(80, 90), (10, 20)], None, 80),
        ([(80, 90), (10, 20)], "left", 10),
        ([(80, 90), (10, 20)], "right", 80),
        ([(10, 20)], "left", 10),
        ([(10, 20)], "right", None),
        ([(60, 70)], "right", 60),
        ([], "left", None),
    ],
)
def test_of_two_people_the_side_decides(spans, side, chosen):
    face = _face_of(tuple(_face(*span) for span in spans), side, 100)
    assert (None if face is None else face.descriptor[0]) == chosen


def test_the_recipe_names_its_encoder_and_preset():
    with pytest.raises(ArgumentError, match="preset must be one of"):
        ExtractRecipe(preset="large")


class _Poisoned(ExtractRecipe):
    """A recipe in whose workers one video kills its reader, as a decoder that crashes."""

    def load(self):
        from edgeaff.training.features import track

        original = track.MediaFile

        def media_file(path, **options):
            if path.stem == "v1":
                os.kill(os.getpid(), signal.SIGSEGV)
            return original(path, **options)

        track.MediaFile = media_file
        return super().load()


def test_a_video_that_crashes_its_reader_is_skipped_and_named_and_the_rest_is_done(tmp_path, capsys, monkeypatch):
    corpus, cache = _corpus(tmp_path / "corpus", [20, 60, 20]), tmp_path / "cache"  # the longest, so the first, is v1
    monkeypatch.setattr(recipe, "ExtractRecipe", _Poisoned)
    (tmp_path / "cache").mkdir()
    (cache / ".v1.12.npz").write_bytes(b"half")
    assert main(["extract", str(corpus), "--cache", str(cache), "--workers", "1", "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert "skipped v1: its worker process was killed by SIGSEGV, 2 times" in err
    stated = json.loads(out.splitlines()[-1])
    assert (stated["extracted"], stated["skipped"]) == (2, ["v1"])
    assert sorted(path.name for path in cache.glob("*.npz")) == ["v0.npz", "v2.npz"] and not list(cache.glob(".*.npz"))


def _audio(path, seconds, level, rate=16_000):
    import av

    samples = (level * np.random.default_rng(int(level)).standard_normal(int(seconds * rate))).astype(np.int16)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=30)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=rate)
        audio.layout = "mono"
        for _ in range(int(30 * seconds)):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(list(video.encode(image)))
        container.mux(list(video.encode(None)))
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux([*audio.encode(frame), *audio.encode(None)])


def test_statistics_of_the_paper_preset_are_those_of_the_training_tracks(tmp_path, capsys):
    corpus, cache = _corpus(tmp_path / "corpus", [45, 45, 45]), tmp_path / "cache"
    for path in (corpus / "batch1").iterdir():
        path.unlink()
    for index, level in enumerate((9000, 300, 1000)):  # v0 is of the validation set
        _audio(corpus / "batch1" / f"v{index}.mkv", 1.5, level)
    arguments = ["extract", str(corpus), "--cache", str(cache), "--preset", "paper", "--workers", "0", "--quiet"]
    assert main(arguments) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    heard = FeatureCache.open(cache)
    newest = slice(62 * 65, 63 * 65)  # of the stack of a tick, oldest first
    train = np.concatenate([track.audio[track.present[:, 1], newest] for track in heard.read_all("train")])
    vary = train.std(axis=0) > 0.5  # all but those that are constant in noise, such as F0
    assert vary.sum() > 40
    np.testing.assert_allclose(train.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(train[:, vary].std(axis=0), 1.0, atol=1e-3)
    loud = heard.read("v0").audio
    assert loud.shape[1] == 4096 and not loud[:, 4095].any()
    assert float(loud[-1, newest][8]) > 3 * float(np.abs(train[:, 8]).max())  # louder than anything it was trained on
    sums = {path.name: path.stat().st_mtime_ns for path in (cache / "audio_sums").iterdir()}
    assert len(sums) == 2
    (cache / "v1.npz").unlink()
    assert main(arguments) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (again["extracted"], again["statistics"]) == (1, first["statistics"])
    assert {path.name: path.stat().st_mtime_ns for path in (cache / "audio_sums").iterdir()} == sums


def test_the_paper_preset_wants_training_audio(tmp_path, capsys):
    corpus = _corpus(tmp_path / "corpus", [10, 10])
    assert main(["extract", str(corpus), "--cache", str(tmp_path / "c"), "--preset", "paper", "--workers", "0"]) == 2
    assert "training videos with audio" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["v1/utt_1", ".hidden", "", "a\\b"])
def test_a_track_that_cannot_name_a_file_is_refused(tmp_path, name):
    cache = FeatureCache(tmp_path / "c", PreprocessSpec(), encoder_id="x")
    with pytest.raises(ArgumentError, match="usable as the name of a file"):
        cache.missing([name])


@pytest.fixture
def small_vggface(tmp_path, monkeypatch):
    """A published file of a small network, and a recipe that expects its sizes."""
    monkeypatch.setattr(recipe, "vggface_network", functools.partial(recipe.vggface_network, config=CONFIG))
    write_pytorch(tmp_path / "vgg_face_dag.pth", known_layers(7), wrapped=False)
    return tmp_path / "vgg_face_dag.pth"


@pytest.mark.parametrize("mode", ["upsample", "resampled"])
def test_descriptors_of_published_weights_are_extracted(tmp_path, small_vggface, capsys, mode):
    corpus, cache = _corpus(tmp_path / "corpus", [30]), tmp_path / mode
    arguments = ["extract", str(corpus), "--cache", str(cache), "--vggface", str(small_vggface), "--vggface-mode", mode]
    assert main([*arguments, "--quiet", "--workers", "0"]) == 0
    stated = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stated["encoder_id"].startswith("vggface ") and stated.get("encoder_mode", "upsample") == mode
    assert FeatureCache.open(cache).read("v0").video.shape[1] == CONFIG.descriptor


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vggface", "{file}.t7"], "channel_order must be"),
        (["--vggface", "{file}.t7", "--channel-order", "bgr"], "must be a binary .t7"),
        (["--vggface", "{file}.npz"], "must be"),
        (["--vggface", "{file}.bin"], "layout must be one of"),
        (["--channel-order", "bgr"], "must come with --vggface"),
        (["--vggface-mode", "resampled"], "must come with --vggface"),
    ],
)
def test_wrong_weights_are_named_before_any_work(tmp_path, capsys, options, message):
    corpus = _corpus(tmp_path / "corpus", [30, 30])
    for suffix in (".t7", ".npz", ".bin"):
        (tmp_path / f"weights{suffix}").write_text("junk")
    options = [option.format(file=tmp_path / "weights") for option in options]
    arguments = ["extract", str(corpus), "--cache", str(tmp_path / "cache"), "--preset", "paper", "--workers", "2"]
    assert main([*arguments, "--quiet", *options]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not (tmp_path / "cache").exists()
