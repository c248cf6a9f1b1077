"""A trained tail for the `paper` preset if VGGFace is not available: short, on synthetic data, to measure what export loses.

`python -m recipes.paper_tail --corpus ROOT --work FOLDER` extracts features of a corpus in the layout of Aff-Wild2
(`recipes.synth` writes one) and trains transformer_av on them; FOLDER/run/best.safetensors is what `edgeaff.export.paper --tail` takes.

The 4096 values of a face are NOT those of VGGFace. They are the descriptor of the default bundle's encoder, multiplied by one fixed
random matrix and cut off below zero: as wide as the paper's, as sparse, and with something in them to learn from. So the figures of
this tail say how exports agree with their reference, and nothing about the accuracy of the paper's system.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeaff.bundle import GOLDEN, ModelBundle
from edgeaff.features.normalize import make_normalizer
from edgeaff.preprocess import PreprocessParts, parts_from_bundle
from edgeaff.preprocess.inputs import FaceEncoder
from edgeaff.spec import paper_spec_of
from edgeaff.training.corpora.affwild2 import read_corpus
from edgeaff.training.corpora.record import Track
from edgeaff.training.features.cache import FeatureCache, Features
from edgeaff.training.features.track import extract_track
from edgeaff.training.models.registry import find_system
from edgeaff.training.trainer.config import TrainConfig
from edgeaff.training.trainer.trainer import Trainer, TrainingData

DESCRIPTOR_SIZE = 4096
ENCODER_ID = "default encoder, fixed random projection to 4096, rectified (not VGGFace)"
RECIPE = TrainConfig(
    system="transformer_av",
    loss="flattened_ccc",
    learning_rate=3e-4,
    weight_decay=0.01,
    batch=16,
    epochs=12,
    patience=12,
    warmup_share=0.1,
    clip=1.0,
)
logger = logging.getLogger(__name__)


class ProjectedEncoder:
    """A face encoder whose descriptors are widened by a fixed random matrix.

    Args:
        encoder: makes (n, D) descriptors.
        scale: root mean square of its values.
        seed: of the matrix.
    """

    def __init__(self, encoder: FaceEncoder, *, size: int, scale: float, seed: int = 0) -> None:
        self._encoder = encoder
        rng = np.random.default_rng(seed)
        self._matrix = (rng.standard_normal((size, DESCRIPTOR_SIZE)) * np.sqrt(2.0 / size) / scale).astype(np.float32)

    def crop(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Returns the (96, 96, 3) uint8 RGB crop."""
        return self._encoder.crop(image, box)

    def encode_crops(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns (n, 4096) float32 descriptors of crops."""
        if not len(crops):
            return np.zeros((0, 0), np.float32)
        return np.maximum(self._encoder.encode_crops(crops) @ self._matrix, np.float32(0))


def tail_parts(bundle: ModelBundle) -> PreprocessParts:
    """Returns the preprocessing of the `paper` preset over detector, encoder and LLD statistics of a bundle.

    Args:
        bundle: the default one, or another of preset `edge` with golden sequences.
    """
    parts = parts_from_bundle(bundle)
    assert parts.encoder is not None
    golden = bundle.arrays(GOLDEN)["video"]
    scale = float(np.sqrt(np.square(golden[np.abs(golden).sum(axis=-1) > 0]).mean()))
    encoder = ProjectedEncoder(parts.encoder, size=golden.shape[-1], scale=scale)
    spec = paper_spec_of(bundle.spec)
    return PreprocessParts(spec, parts.detector, encoder, make_normalizer(spec, bundle.manifest.statistics))


def extract_features(
    corpus: Path, folder: Path, parts: PreprocessParts, *, encoder_id: str, size: int
) -> list[Features]:
    """Returns the features of all annotated tracks that have a video; existing files are kept.

    Args:
        corpus: in the layout of Aff-Wild2.
        folder: cache of features.
        parts: preprocessing.
        encoder_id: which descriptors these are.
        size: width of a descriptor.
    """
    tracks = {track.name: track for track in read_corpus(corpus) if track.media is not None and len(track.labels)}
    cache = FeatureCache(folder, parts.spec, encoder_id=encoder_id)

    def extract(name: str) -> Features:
        track: Track = tracks[name]
        return extract_track(track, parts, descriptor_size=size)

    cache.fill(tracks, extract)
    return [cache.read(name) for name in tracks]


def train_tail(features: Sequence[Features], folder: Path, *, config: TrainConfig = RECIPE) -> float:
    """Returns the best mean CCC on the valid split; writes `best.safetensors`. An existing run resumes.

    Args:
        features: of train and valid tracks.
        folder: of the run.
        config: recipe.
    """
    split = {name: [one for one in features if one.split == name] for name in ("train", "valid")}
    data = TrainingData(split["train"], split["valid"], {"descriptors": ENCODER_ID})
    trainer = Trainer(find_system(config.system), config, data, folder)
    return trainer.run(on_epoch=lambda row: logger.info("%s", row))


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("edgeaff").setLevel(logging.INFO)
    parts = tail_parts(ModelBundle.load())
    features = extract_features(
        options.corpus, options.work / "features", parts, encoder_id=ENCODER_ID, size=DESCRIPTOR_SIZE
    )
    logger.info("best mean CCC on valid: %.3f", train_tail(features, options.work / "run"))


if __name__ == "__main__":
    main()
