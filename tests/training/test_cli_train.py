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


def _features(folder, width=4096, encoder_id="made-up"):
    import numpy as np

    from edgeaff.spec import paper_spec
    from edgeaff.training.features.cache import FeatureCache, Features

    cache, rng = FeatureCache(folder, paper_spec(), encoder_id=encoder_id), np.random.default_rng(0)
    for index, split in enumerate(("train", "train", "valid")):
        labels = rng.uniform(-0.5, 0.5, (60, 2)).astype(np.float32)
        wide = rng.standard_normal((60, width)).astype(np.float32)
        cache.write(Features(f"t{index}", split, wide, wide, np.ones((60, 2), dtype=bool), labels))


def _train(folder, config=None, features="features"):
    config = config or str(folder / "c.toml")
    return main(["train", config, "--features", str(folder / features), "--output", str(folder / "run")])


def test_a_run_is_trained_from_a_file(tmp_path, capsys):
    _features(tmp_path / "features")
    (tmp_path / "c.toml").write_text('system = "vggface_rnn_v"\nbatch = 2\nepochs = 1\nlearning_rate = 1e-3\n')
    assert _train(tmp_path) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["system"] == "vggface_rnn_v"
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_wrong_features_fail_before_training(tmp_path, capsys):
    _features(tmp_path / "features", width=128)
    assert _train(tmp_path, "paper") == 2
    assert "must have shape (T, 4096) for transformer_av" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["learning_rate = ", "surprise = 1", 'loss = "mse"'])
def test_a_wrong_config_is_a_usage_error(tmp_path, capsys, text):
    _features(tmp_path / "features", width=8)
    (tmp_path / "c.toml").write_text(text)
    assert _train(tmp_path) == 2
    assert "must" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('system = "transformer_av"\nsizes = { size = 63, num_heads = 4 }', "must give a network that works"),
        ('system = "transformer_av"\nsizes = { dropout = 2.0 }', "must give a network that works"),
        ('system = "vggface_rnn_v"\nsizes = { video_size = "wide" }', "names and types that"),
        ('system = "vggface_rnn_v"\nsizes = { wings = 2 }', "names and types that vggface_rnn_v knows"),
        ('system = "transformer_av"\nwindow_ticks = 1000', "1000 ticks for transformer_av"),
        ('system = "vggface_rnn_v"\nloss = "binned"', "loss must be sequence_ccc or flattened_ccc"),
        ('system = "vggface_rnn_v"\nwidth = 0.5', "width must be 1"),
        ('system = "nisl_v"', "must learn from features"),
        ("learning_rate = nan", "a number that is not finite (nan)"),
        ("batch = true", "batch must be of type int"),
        ("batch = 2.5", "batch must be of type int"),
    ],
)
def test_a_network_that_cannot_work_fails_before_training(tmp_path, capsys, text, message):
    _features(tmp_path / "features", width=8)
    (tmp_path / "c.toml").write_text(text + "\nfollow_features = true\nepochs = 1\nsteps_per_epoch = 1\n")
    assert _train(tmp_path) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_features(tmp_path, capsys):
    (tmp_path / "c.toml").write_text('system = "vggface_rnn_v"\nbatch = 2\nepochs = 1\nfollow_features = true\n')
    for encoder, code in (("one", 0), ("other", 2)):
        _features(tmp_path / encoder, width=8, encoder_id=encoder)
        assert _train(tmp_path, features=encoder) == code
    assert "features must be that of the run" in capsys.readouterr().err


def test_missing_arguments_are_named(capsys):
    assert main(["train", "paper"]) == 2
    assert "features must be given" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["paper", "fast"])
def test_shipped_configs_are_valid(name):
    from pathlib import Path

    from edgeaff.training.trainer.config import read_config

    assert read_config(Path(name)).system == "transformer_av"


def test_the_recipe_of_the_paper_is_the_paper_s():
    """Section 5: Adam at 1e-5, sequences of 100, 1 - CCC of each; nothing that the paper does not have."""
    from pathlib import Path

    import torch

    from edgeaff.training.models import SYSTEMS
    from edgeaff.training.trainer.config import read_config

    config = read_config(Path("paper"))
    assert (config.learning_rate, config.weight_decay, config.loss) == (1e-5, 0.0, "sequence_ccc")
    assert (config.warmup_share, config.clip, config.average, config.modality_dropout) == (0.0, 0.0, 0.0, 0.0)
    assert (config.amp, config.sizes, config.follow_features) == (False, {}, False)
    assert config.window_ticks in (0, 100) and SYSTEMS[config.system].window_ticks == 100
    assert not SYSTEMS[config.system].build().config.residual
    assert config.epochs <= 50
    # AdamW without decay is Adam, to the bit
    values = [torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2)]
    makers = (torch.optim.AdamW, torch.optim.Adam)
    optimizers = [
        make([value], lr=config.learning_rate, weight_decay=0.0) for make, value in zip(makers, values, strict=True)
    ]
    for _ in range(5):
        for value, optimizer in zip(values, optimizers, strict=True):
            value.grad = value.detach().sin()
            optimizer.step()
    assert torch.equal(*values)
