"""Two processes on one batch, started by torchrun, give what one gives."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.spec import PreprocessSpec
from edgeaff.training.features.cache import FeatureCache, Features
from edgeaff.training.trainer.ranks import Ranks

pytestmark = pytest.mark.needs_torch
CONFIG = """
system = "edge"
loss = "flattened_ccc"
learning_rate = 5e-3
batch = 6
epochs = 3
clip = 1.0
average = 0.9
modality_dropout = 0.3
follow_features = true
sizes = {size = 16, num_heads = 2, ffn_size = 16, layers = 1, band = 20, dropout = 0.0}
"""
TOLERANCE = 5e-5  # measured: 5.9e-6 after 3 steps; the order of sums differs

STOPPING = """
import sys
from pathlib import Path

import torch

from edgeaff.training.trainer.config import read_config
from edgeaff.training.features.cache import FeatureCache
from edgeaff.training.models import find_system
from edgeaff.training.trainer.trainer import Trainer, TrainingData

config, features, output, epochs = sys.argv[1:]
torch.distributed.init_process_group("gloo")
cache = FeatureCache.open(Path(features))
train, valid = cache.read_all("train"), cache.read_all("valid")
settings = read_config(Path(config)).fitted(train[0])
trainer = Trainer(find_system("edge"), settings, TrainingData(train, valid), Path(output))
trainer.run(stop_after_epochs=int(epochs) or None)
torch.distributed.destroy_process_group()
"""


def _features(folder):
    cache = FeatureCache(folder, PreprocessSpec(), encoder_id="made-up")
    for seed, split in enumerate(("train", "train", "valid", "valid", "valid")):
        rng = np.random.default_rng(seed)
        labels = 0.5 * np.sin(np.arange(220)[:, None] / rng.uniform(8, 20, 2) + rng.uniform(0, 6, 2)).astype(np.float32)
        inputs = (
            labels @ np.random.default_rng(9).standard_normal((2, 11)) + 0.2 * rng.standard_normal((220, 11))
        ).astype("f4")
        cache.write(Features(f"t{seed}", split, inputs[:, :6], inputs[:, 6:], np.ones((220, 2), bool), labels))


def _run(tmp_path, root, name, processes):
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    )
    arguments = [
        "train",
        str(tmp_path / "c.toml"),
        "--features",
        str(tmp_path / "features"),
        "--output",
        str(tmp_path / name),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, *launcher, "-m", "edgeaff", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_give_what_one_gives(tmp_path, root):
    from safetensors.numpy import load_file

    _features(tmp_path / "features")
    (tmp_path / "c.toml").write_text(CONFIG)
    alone, together = _run(tmp_path, root, "alone", 1), _run(tmp_path, root, "together", 2)
    assert len(together.splitlines()) == 1  # the first process speaks
    assert json.loads(together)["best_epoch"] == json.loads(alone)["best_epoch"]
    one, two = (load_file(tmp_path / name / "best.safetensors") for name in ("alone", "together"))
    assert one.keys() == two.keys()
    assert max(float(np.abs(one[name] - two[name]).max()) for name in one) < TOLERANCE
    logs = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("alone", "together")]
    for first, second in zip(*logs, strict=True):
        assert float(first["loss"]) == pytest.approx(float(second["loss"]), abs=TOLERANCE)
        assert float(first["ccc_mean"]) == pytest.approx(float(second["ccc_mean"]), abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_resume_to_the_same_bits(tmp_path, root):
    _features(tmp_path / "features")
    (tmp_path / "c.toml").write_text(CONFIG.replace("dropout = 0.0", "dropout = 0.2"))
    (tmp_path / "stopping.py").write_text(STOPPING)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    for name, epochs in (("whole", 0), ("stopped", 1), ("stopped", 0)):
        arguments = [tmp_path / "stopping.py", tmp_path / "c.toml", tmp_path / "features", tmp_path / name, epochs]
        subprocess.run([*launcher, *map(str, arguments)], env=environment, check=True, capture_output=True, timeout=280)
    for name in ("best.safetensors", "last-3.safetensors", "last.json", "log.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    states = json.loads((tmp_path / "whole" / "last.json").read_text())
    assert states["ranks"] == 2


def test_a_batch_is_shared_in_equal_parts():
    ranks = Ranks()
    assert (ranks.rank, ranks.count) == (0, 1)
    ranks.count = 4
    ranks.check_batch(8)
    with pytest.raises(ArgumentError, match="multiple of the 4 processes, got 6"):
        ranks.check_batch(6)
