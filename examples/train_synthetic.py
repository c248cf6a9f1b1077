"""From videos with annotations to a trained, measured system: extract, train, evaluate, each by its command.

Without --corpus a toy corpus in the layout of Aff-Wild2 is made from the clip of the demo (one moving face, three times), which
shows the way and teaches nothing. `python -m recipes.synth` makes a real synthetic corpus from faces and voices that you have.

    python examples/train_synthetic.py runs/toy [--corpus DIR] [--epochs 3]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from demo_clip import write_toy_corpus

from edgeaff.cli.main import main as edgeaff_command

CONFIGURATION = """system = "edge"
follow_features = true
loss = "flattened_ccc"
learning_rate = 1e-3
batch = 4
epochs = {epochs}
"""


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
