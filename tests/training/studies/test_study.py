"""Table 1 and Fig. 4 from one command each, on a corpus of seconds: trained once, resumed, written as JSON, Markdown and PNG."""

import json
import shutil
from fractions import Fraction

import numpy as np
import pytest

from edgeaff.cli.main import main
from edgeaff.errors import ArgumentError
from edgeaff.training.features.prepared import PreparedCorpus, StackedSteps, normalize_steps
from edgeaff.training.models import SYSTEMS
from edgeaff.training.studies.study import measured_on, read_study
from edgeaff.training.studies.table1 import TableRow, markdown, significance, spread
from recipes.default_bundle.voices import Clip
from recipes.synthetic import Cast, FaceImages, TrackPlan, write_corpus

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_media, pytest.mark.needs_native]
PLANS = [
    TrackPlan(f"{split}{index}", split, 50, Fraction(30)) for split in ("train", "valid", "test") for index in (1, 2)
]
STUDY = """
seeds = [0]
[features]
loss = "flattened_ccc"
learning_rate = 1e-3
batch = 2
epochs = 1
steps_per_epoch = 1
[pixels]
loss = "flattened_ccc"
batch = 2
window_ticks = 2
epochs = 1
steps_per_epoch = 1
test_every = 2
[runs.rnn_a]
form = "steps"
[runs.nisl_v]
form = "pixels"
width = 0.0625
loss = "binned"
[runs.m3t_av]
form = "pixels"
width = 0.03125
[runs.vggface_rnn_av]
form = "paper"
sizes = { video_size = 128, units = 8 }
[runs.transformer_av]
form = "paper"
sizes = { video_size = 128, size = 16, ffn_size = 16, layers = 1 }
[runs.edge]
form = "edge"
sizes = { video_size = 128, size = 16, ffn_size = 16, layers = 1 }
[runs."edge+both_directions"]
system = "transformer_av"
form = "edge"
sizes = { video_size = 128, audio_size = 65, size = 16, ffn_size = 16, layers = 1, residual = true }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    rng = np.random.default_rng(0)
    affect = rng.uniform(-0.7, 0.7, (30, 2)).astype(np.float32)
    images = rng.integers(0, 255, (30, 48, 48)).astype(np.uint8)
    clips = [
        Clip((0.1 * rng.standard_normal(8000)).astype(np.float32), "EmoDB", "x", "anger", np.float32([0.0, arousal]))
        for arousal in (-0.3, 0.5)
    ]
    root = tmp_path_factory.mktemp("study")
    cast = Cast(FaceImages(images, affect), clips)
    write_corpus(root / "corpus", PLANS, dict.fromkeys(("train", "valid", "test"), cast), seed=1)
    (root / "study.toml").write_text(STUDY)
    return root


def _arguments(made, command):
    return [
        command,
        "--table1",
        str(made / "study.toml"),
        "--corpus",
        str(made / "corpus"),
        "--output",
        str(made / "out"),
    ]


@pytest.fixture(scope="module")
def table(made):
    assert main(_arguments(made, "evaluate")) == 0
    return json.loads((made / "out" / "table1.json").read_text())


def test_table_1_is_written_with_full_sizes(made, table):
    rows = {row["system"]: row for row in table["rows"]}
    assert list(rows) == ["rnn_a", "vggface_rnn_av", "nisl_v", "m3t_av", "transformer_av", "edge"]  # the paper's order
    assert rows["rnn_a"]["reduced_width"] is False
    assert rows["nisl_v"]["reduced_width"] is True
    assert rows["transformer_av"]["parameters"] > 10_000_000 > rows["transformer_av"]["trained_parameters"]
    assert all(row["seeds"] == 1 and -1 <= row["ccc_valence"] <= 1 for row in rows.values())
    assert (rows["rnn_a"]["test_tracks"], rows["nisl_v"]["test_tracks"]) == (2, 1)
    assert table["edge_reference"]["macs_ratio"] > 50
    assert set(table["edge_reference"]["live"]["edge_less_reference"]) == {"ccc_valence", "ccc_arousal", "ccc_mean"}
    assert table["corpus"]["tracks"] == {"train": 2, "valid": 2, "test": 2}
    assert SYSTEMS["edge"].title in (made / "out" / "table1.md").read_text()
    assert (made / "out" / "table1.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_finished_is_not_trained_again(made, table, capsys):
    weights = made / "out" / "runs" / "rnn_a-0" / "best.safetensors"
    before, removed = weights.stat().st_mtime_ns, made / "out" / "runs" / "edge-0" / "result.json"
    removed.unlink()
    assert main(_arguments(made, "evaluate")) == 0
    assert weights.stat().st_mtime_ns == before
    assert removed.exists()
    trained = [line.split(":")[0] for line in capsys.readouterr().err.splitlines() if " seed 0: " in line]
    assert trained == ["edge seed 0"]
    again = json.loads((made / "out" / "table1.json").read_text())
    assert again["rows"] == table["rows"]  # the same seed gives the same network


def test_only_finished_runs_are_taken_where_nothing_shall_be_trained(made, table):
    arguments = [*_arguments(made, "evaluate"), "--finished", "--seeds", "0", "1"]
    assert main(arguments) == 0
    assert json.loads((made / "out" / "table1.json").read_text())["rows"] == table["rows"]
    assert not (made / "out" / "runs" / "rnn_a-1").exists()


def test_figure_4_is_written(made, table):
    arguments = [*_arguments(made, "ablate"), "--only", "transformer_av", "edge", "--repeats", "2"]
    assert main(arguments) == 0
    points = json.loads((made / "out" / "fig4.json").read_text())["points"]
    assert len(points) == 2 * 2 * 2 * 5  # runs, modalities, ways, shares
    assert {point["share"] for point in points} == {0.0, 0.25, 0.5, 0.75, 1.0}
    full = {(p["run"], p["modality"], p["way"]): p["ccc_valence"] for p in points if p["share"] == 1.0}
    for run in ("transformer_av", "edge"):
        row = next(row for row in table["rows"] if row["system"] == run)
        assert all(value == pytest.approx(row["ccc_valence"], abs=1e-5) for key, value in full.items() if key[0] == run)
    assert (made / "out" / "fig4.png").read_bytes()[:4] == b"\x89PNG"
    assert "video (block)" in (made / "out" / "fig4.md").read_text()


def test_a_run_is_measured_on_a_corpus_and_on_its_features(made, table, capsys):
    run, features = made / "out" / "runs" / "edge-0", made / "out" / "features" / "edge"
    results = []
    for corpus in (made / "corpus", features):
        arguments = ["evaluate", str(run), "--corpus", str(corpus), "--split", "test", "--output", str(made / "one")]
        arguments += ["--lags", "0.1", "--dyad", "test1", "test2"]
        assert main([*arguments, "--cache", str(made / "out" / "features")]) == 0
        results.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert results[0] == results[1]
    row = next(row for row in table["rows"] if row["system"] == "edge")
    assert results[0]["ccc_arousal"] == pytest.approx(row["ccc_arousal"], abs=1e-6)
    assert results[0]["tracks"] == 2
    low, high = results[0]["ccc_valence_interval"]
    assert low <= high
    assert results[0]["lag_valence"]["ccc"] >= results[0]["lag_valence"]["ccc_at_zero"]
    assert results[0]["lag_valence"]["ccc_at_zero"] == pytest.approx(results[0]["ccc_valence"])
    assert [row["of"] for row in results[0]["synchrony"]] == ["predicted"] * 2 + ["annotated"] * 2
    text = (made / "one" / "evaluation_test.md").read_text()
    assert "CCC, mean over videos" in text and "test1 and test2" in text


def test_a_run_is_submitted_frame_by_frame(made, table, capsys):
    run, features = made / "out" / "runs" / "edge-0", made / "out" / "features" / "edge"
    arguments = ["evaluate", str(run / "best.safetensors"), "--corpus", str(features), "--split", "test"]
    arguments += ["--output", str(made / "sent"), "--submission", str(made / "corpus")]
    assert main(arguments) == 0
    stated = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stated["submitted_tracks"] == 2
    assert "ccc_arousal" in stated  # these test tracks have labels
    lines = (made / "sent" / "submission" / "test1.txt").read_text().splitlines()
    assert lines[0] == "valence,arousal" and len(lines) == 51
    sample = ["image_location,valence,arousal", "test2/00001.jpg,-5,-5", "test1/00050.jpg,-5,-5"]
    (made / "sample.txt").write_text("\n".join(sample) + "\n")
    assert main([*arguments, "--sample", str(made / "sample.txt")]) == 0
    single = (made / "sent" / "submission.txt").read_text().splitlines()
    assert single[2] == f"test1/00050.jpg,{lines[50]}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "{run}", "--sample", "x"], "sample must come with --submission"),
        (["evaluate", "--table1", "--output", "x", "--submission", "x"], "submission must be of one run"),
        (["evaluate", "{run}", "--submission", "nowhere"], "submission must be the folder of the videos"),
        (["evaluate", "{run}", "--submission", "{made}", "--sample", "nowhere"], "official sample file"),
        (["evaluate", "{run}", "--submission", "{made}/out/features"], "videos must hold that of"),
    ],
)
def test_a_wrong_submission_is_a_usage_error(made, table, capsys, arguments, message):
    places = {"run": made / "out" / "runs" / "edge-0", "made": made}
    corpus = ["--corpus", str(made / "out" / "features" / "edge")]
    assert main([argument.format(**places) for argument in arguments] + corpus) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_ablated(made, table):
    arguments = ["ablate", str(made / "out" / "runs" / "edge-0"), "--corpus", str(made / "out" / "features" / "edge")]
    assert (
        main([*arguments, "--repeats", "1", "--modality", "video", "--way", "frames", "--output", str(made / "two")])
        == 0
    )
    assert len(json.loads((made / "two" / "fig4.json").read_text())["points"]) == 5


@pytest.fixture(scope="module")
def without_test_labels(made):
    """The corpus as Aff-Wild2 is: test labels were never given out."""
    shutil.copytree(made / "corpus", made / "real", ignore=shutil.ignore_patterns("Test_Set"))
    arguments = [
        "--table1",
        str(made / "study.toml"),
        "--corpus",
        str(made / "real"),
        "--output",
        str(made / "out_real"),
    ]
    assert main(["evaluate", *arguments, "--only", "rnn_a"]) == 0
    return arguments


def test_without_test_labels_the_table_is_of_validation_and_reports_it(made, without_test_labels):
    table = json.loads((made / "out_real" / "table1.json").read_text())
    result = json.loads((made / "out_real" / "runs" / "rnn_a-0" / "result.json").read_text())
    assert table["measured_on"] == result["measured_on"] == "valid"
    (row,) = table["rows"]
    mean = (row["ccc_valence"] + row["ccc_arousal"]) / 2
    assert mean == pytest.approx(result["best_ccc_mean_on_validation"], abs=1e-6)
    assert mean != 0.0
    text = (made / "out_real" / "table1.md").read_text()
    assert "| validation tracks |" in text
    assert "No test track has labels" in text
    assert main(["ablate", *without_test_labels, "--only", "rnn_a", "--repeats", "1", "--way", "block"]) == 0
    figure = json.loads((made / "out_real" / "fig4.json").read_text())
    assert (figure["split"], figure["tracks"]) == ("valid", 2)
    assert figure["points"][-1]["ccc_valence"] == pytest.approx(row["ccc_valence"], abs=1e-5)


def test_results_of_another_corpus_are_refused(made, without_test_labels, capsys):
    arguments = [*without_test_labels, "--only", "rnn_a"]
    arguments[arguments.index(str(made / "real"))] = str(made / "corpus")
    assert main(["evaluate", *arguments]) == 2
    assert "must be of the corpus" in capsys.readouterr().err


def test_results_of_two_splits_are_refused():
    assert measured_on([{"measured_on": "valid"}]) == "valid"
    assert measured_on([{}]) == "test"
    with pytest.raises(ArgumentError, match="one split, got test and valid"):
        measured_on([{}, {"measured_on": "valid"}])


def test_a_run_is_not_ablated_where_nothing_is_annotated(made, without_test_labels, capsys):
    run, features = made / "out_real" / "runs" / "rnn_a-0", made / "out_real" / "features"
    arguments = ["ablate", str(run), "--corpus", str(made / "real"), "--cache", str(features), "--split", "test"]
    assert main(arguments) == 2
    assert "must hold annotated tracks of the split" in capsys.readouterr().err


def test_a_corpus_without_videos_or_crops_reports_it(made, tmp_path):
    shutil.copytree(made / "corpus", tmp_path / "labels", ignore=shutil.ignore_patterns("batch*"))
    with pytest.raises(ArgumentError, match="must hold the videos of its 6 tracks"):
        PreparedCorpus(tmp_path / "labels", tmp_path / "c")
    shutil.copytree(made / "corpus", tmp_path / "videos", ignore=shutil.ignore_patterns("cropped*"))
    with pytest.raises(ArgumentError, match="cropped_aligned or cropped"):
        PreparedCorpus(tmp_path / "videos", tmp_path / "c").form("pixels")


def test_a_broken_video_is_left_out_of_the_systems_on_pixels(made, tmp_path):
    shutil.copytree(made / "corpus", tmp_path / "corpus")
    (broken,) = tmp_path.glob("corpus/batch*/train1.mp4")
    broken.write_bytes(broken.read_bytes()[:100])
    tracks = PreparedCorpus(tmp_path / "corpus", tmp_path / "c").form("pixels")
    assert sorted(track.name for track in tracks) == ["test1", "test2", "train2", "valid1", "valid2"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--corpus", "x"],
        ["evaluate", "run", "--table1", "--corpus", "x"],
        ["evaluate", "--table1", "--corpus", "x"],
        ["evaluate", "nowhere", "--corpus", "x"],
        ["ablate", "nowhere", "--corpus", "x", "--repeats", "0"],
    ],
)
def test_wrong_calls_are_usage_errors(arguments, capsys):
    assert main(arguments) == 2
    assert "must" in capsys.readouterr().err


def test_features_of_another_form_are_refused(made, table, capsys):
    run = made / "out" / "runs" / "transformer_av-0"
    assert main(["evaluate", str(run), "--corpus", str(made / "out" / "features" / "edge"), "--split", "test"]) == 2
    assert "must have shape (T, 4096)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = [", "readable TOML"),
        ("seeds = [0]", "seeds and runs"),
        ('seeds = [0]\n[runs.edge]\nform = "samples"', "form of edge must be one of"),
        ('seeds = [0]\n[runs.edge]\nform = "pixels"', "what edge takes"),
        ('seeds = [0]\n[runs.edge]\nform = "edge"\nwings = 2', "wings"),
    ],
)
def test_a_wrong_study_is_named(tmp_path, text, message):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(ArgumentError, match=message):
        read_study(tmp_path / "s.toml")


def test_the_study_that_ships_has_every_system():
    from pathlib import Path

    study = read_study(Path("table1"))
    assert set(SYSTEMS) <= set(study.runs)
    assert len(study.seeds) == 3


def test_forms_are_checked(made):
    with pytest.raises(ArgumentError, match="form must be one of"):
        PreparedCorpus(made / "corpus", made / "c").form("samples")


def test_stacked_steps_are_the_newest_63_oldest_first():
    steps = np.random.default_rng(0).standard_normal((90, 65)).astype(np.float32)
    stacked = StackedSteps(steps)
    assert stacked.shape == (90, 4096) and len(stacked) == 90
    vectors = stacked[70:75]
    assert vectors.dtype == np.float32
    for row, tick in enumerate(range(70, 75)):
        np.testing.assert_array_equal(vectors[row, :4095], steps[tick - 62 : tick + 1].ravel())
    assert (vectors[:, 4095] == 0).all()
    early = stacked[0:2]
    assert (early[0, : 62 * 65] == 0).all()
    np.testing.assert_array_equal(early[1, 61 * 65 : 4095], steps[:2].ravel())


def test_stacked_steps_are_those_of_the_preprocessor(made):
    """The cache stacks when it is read; the runtime stacks as it goes: the same vectors."""
    from edgeaff.features.normalize import lld_statistics
    from edgeaff.reference.audio import AudioSteps
    from edgeaff.spec import paper_spec

    corpus = PreparedCorpus(made / "corpus", made / "out" / "features")
    raw, ready = corpus._raw_steps(), corpus.form("paper")
    rows = np.concatenate([track.audio[track.present[:, 1]] for track in raw if track.split == "train"])
    statistics = lld_statistics(rows, paper_spec())

    class Normalizer:
        def update_and_normalize(self, lld):
            return ((lld - statistics.mean) / statistics.std).astype(np.float32)

        def reset(self):
            pass

    class Step:
        def __init__(self, row, lld):
            self.row, self.lld = row, lld

    for before, after in zip(raw, ready, strict=True):
        steps = AudioSteps(paper_spec(), Normalizer())
        for tick, (lld, heard) in enumerate(zip(before.audio, before.present[:, 1], strict=True)):
            vector = steps.push(Step(tick, lld) if heard else None)
            if vector is not None:
                np.testing.assert_allclose(after.audio[tick : tick + 1][0], vector, atol=2e-4)


def test_statistics_are_of_the_training_tracks_alone(made):
    corpus = PreparedCorpus(made / "corpus", made / "out" / "features")
    tracks = list(corpus._raw_steps())
    before = {track.name: track.audio for track in normalize_steps(tracks)}
    from dataclasses import replace

    changed = [track if track.split == "train" else replace(track, audio=track.audio + 5.0) for track in tracks]
    for track in normalize_steps(changed):
        if track.split == "train":
            np.testing.assert_array_equal(track.audio, before[track.name])
        else:
            assert not np.allclose(track.audio, before[track.name])


def _videos(error, seed):
    rng = np.random.default_rng(seed)
    labels = [np.cumsum(rng.standard_normal((200, 2)) * 0.05, axis=0).clip(-0.9, 0.9) for _ in range(12)]
    return [truth + error * rng.standard_normal(truth.shape) for truth in labels], labels


def test_marks_tell_a_clear_difference_from_none():
    labels = _videos(0.0, 3)[1]
    rng = np.random.default_rng(9)
    good = [truth + 0.1 * rng.standard_normal(truth.shape) for truth in labels]
    twin = [truth + 0.1 * rng.standard_normal(truth.shape) for truth in labels]
    bad = [truth + 0.5 * rng.standard_normal(truth.shape) for truth in labels]
    assert significance((good, labels), (bad, labels), 0) == "zb"
    assert significance((good, labels), (twin, labels), 0) == ""


def test_spread_and_marks_are_printed():
    assert spread([0.5]) == (0.5, 0.0)
    assert spread([0.4, 0.6]) == (pytest.approx(0.5), pytest.approx(0.1414, abs=1e-3))
    text = markdown([TableRow("edge", "edge", 3, 0.5, 0.6, 0.01, 0.02, "z", "zb", 10, 20, True, 5, 7)])
    published = markdown([TableRow("transformer_av", "A+V", 3, 0.5, 0.6, 0.01, 0.02, "", "", 10, 20, False, 5, 7)])
    assert "| 0.396 / 0.525 |" in published
    assert "0.500 ± 0.010 † | 0.600 ± 0.020 ‡ |  | 10 | 20 | 5 parameters | 7 |" in text
