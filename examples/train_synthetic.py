"""From videos with annotations to a trained, measured system: extract, train, evaluate, each by its command.

Without --corpus a toy corpus in the layout of Aff-Wild2 is made from the clip of the demo (one moving face, three times), which
shows the way and teaches nothing. `edgeaff synth` makes a real synthetic corpus from faces and voices that you have.

    python examples/train_synthetic.py runs/toy [--corpus DIR] [--epochs 3]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from demo_clip import FPS, SECONDS, mood, write_clip

from edgeaff.cli.main import main as edgeaff_command

CONFIGURATION = """system = "edge"
follow_features = true
loss = "flattened_ccc"
learning_rate = 1e-3
batch = 4
epochs = {epochs}
"""


def write_toy_corpus(folder: Path) -> None:
    """Writes two training videos and one for validation, with a row of valence and arousal per frame."""
    smile, excitement = mood(np.arange(SECONDS * FPS) / FPS)
    rows = [f"{0.8 * v:.3f},{1.4 * a - 0.6:.3f}" for v, a in zip(smile, excitement, strict=True)]
    (folder / "videos").mkdir(parents=True)
    write_clip(folder / "videos" / "toy1.mp4")
    for name, split in (("toy1", "Train_Set"), ("toy2", "Train_Set"), ("toy3", "Validation_Set")):
        if name != "toy1":
            shutil.copy(folder / "videos" / "toy1.mp4", folder / "videos" / f"{name}.mp4")
        annotation = folder / "VA_Estimation_Challenge" / split / f"{name}.txt"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text("valence,arousal\n" + "\n".join(rows) + "\n", encoding="utf-8")


def main() -> int:
    """Returns the exit code of the first command that fails, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    corpus, features, run = (
        options.corpus or options.output / "corpus",
        options.output / "features",
        options.output / "run",
    )
    if options.corpus is None and not corpus.exists():
        write_toy_corpus(corpus)
    configuration = options.output / "toy.toml"
    configuration.write_text(CONFIGURATION.format(epochs=options.epochs), encoding="utf-8")
    for command in (
        ["extract", str(corpus), "--cache", str(features), "--quiet"],
        ["train", str(configuration), "--features", str(features), "--output", str(run)],
        ["evaluate", str(run), "--corpus", str(features)],
    ):
        code = edgeaff_command(command)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
