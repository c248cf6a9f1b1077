"""`edgeaff train --smoke SYSTEM` prints one JSON object last, and an unknown system is a usage error."""

import json

import pytest

from edgeaff.cli.main import main

pytestmark = pytest.mark.needs_torch


def test_smoke_prints_one_json_object_last(capsys):
    assert main(["train", "--smoke", "rnn_a"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) == {"system", "parameters", "macs_per_frame", "loss_before", "loss_after"}
    assert result["system"] == "rnn_a"
    assert result["loss_after"] < result["loss_before"]


def test_an_unknown_system_is_a_usage_error(capsys):
    assert main(["train", "--smoke", "transformer"]) == 2
    assert "system must be one of" in capsys.readouterr().err


def _features(folder, width=4096):
    import numpy as np

    from edgeaff.spec import paper_spec
    from edgeaff.training.feature_cache import FeatureCache, Features

    cache, rng = FeatureCache(folder, paper_spec(), encoder_id="made-up"), np.random.default_rng(0)
    for index, split in enumerate(("train", "train", "valid")):
        labels = rng.uniform(-0.5, 0.5, (60, 2)).astype(np.float32)
        wide = rng.standard_normal((60, width)).astype(np.float32)
        cache.write(Features(f"t{index}", split, wide, wide, np.ones((60, 2), dtype=bool), labels))


def test_a_run_is_trained_from_a_file(tmp_path, capsys):
    _features(tmp_path / "features")
    (tmp_path / "c.toml").write_text('system = "vggface_rnn_v"\nbatch = 2\nepochs = 1\nlearning_rate = 1e-3\n')
    arguments = [
        "train",
        str(tmp_path / "c.toml"),
        "--features",
        str(tmp_path / "features"),
        "--output",
        str(tmp_path / "run"),
    ]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["system"] == "vggface_rnn_v"
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_wrong_features_fail_before_training(tmp_path, capsys):
    _features(tmp_path / "features", width=128)
    arguments = ["train", "paper", "--features", str(tmp_path / "features"), "--output", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "must have shape (T, 4096) for transformer_av" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["learning_rate = ", "surprise = 1", 'loss = "mse"'])
def test_a_wrong_config_is_a_usage_error(tmp_path, capsys, text):
    _features(tmp_path / "features", width=8)
    (tmp_path / "c.toml").write_text(text)
    arguments = [
        "train",
        str(tmp_path / "c.toml"),
        "--features",
        str(tmp_path / "features"),
        "--output",
        str(tmp_path / "run"),
    ]
    assert main(arguments) == 2
    assert "must" in capsys.readouterr().err


def test_missing_arguments_are_named(capsys):
    assert main(["train", "paper"]) == 2
    assert "features must be given" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["paper", "fast"])
def test_shipped_configs_are_valid(name):
    from pathlib import Path

    from edgeaff.training.config import read_config

    assert read_config(Path(name)).system == "transformer_av"
