"""Tracks with labels for the parity benchmark: of a corpus in the layout of Aff-Wild2, or of one made up on the fly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgeaff.bundle import GOLDEN, ModelBundle
from edgeaff.preprocess import PreprocessParts, parts_from_bundle
from edgeaff.training.corpora.affwild2 import read_corpus
from edgeaff.training.features.cache import Features
from edgeaff.training.features.track import extract_track

SCALE, TRACKS_PER_SPLIT = 0.05, 24
MADE_UP = "made-up corpus (recipes.synth): FER+ photographs and acted voices along random trajectories"


def make_corpus(root: Path, data: Path, *, limit: int = TRACKS_PER_SPLIT, seed: int = 0) -> Path:
    """Returns the folder of a synthetic corpus; an existing one is kept.

    Args:
        root: where it goes.
        data: data folder with faces, voices and the lists of Aff-Wild2.
        limit: most tracks of each split.
        seed: of everything random.
    """
    from recipes.synthetic import read_casts, read_plans, write_corpus

    if not (root / "VA_Estimation_Challenge").is_dir():
        plans = read_plans(data / "data" / "affect" / "affwild2_format", scale=SCALE, limit=limit)
        write_corpus(root, plans, read_casts(data), seed=seed)
    return root


def has_sources(data: Path) -> bool:
    """Returns whether a data folder holds what a corpus is made up from."""
    return (data / "data" / "affect" / "affwild2_format").is_dir()


def edge_tracks(bundle: ModelBundle, corpus: Path, *, most: int) -> list[Features]:
    """Returns features of annotated validation tracks, made with detector, encoder and normalizer of a bundle.

    Args:
        bundle: of preset `edge`.
        corpus: in the layout of Aff-Wild2.
        most: tracks to take, in order of name.
    """
    size = bundle.arrays(GOLDEN)["video"].shape[-1]
    return list(_extract(corpus, parts_from_bundle(bundle), size=size, most=most))


def _extract(corpus: Path, parts: PreprocessParts, *, size: int, most: int) -> Iterable[Features]:
    tracks = [track for track in read_corpus(corpus) if track.split == "valid" and track.media is not None]
    return (extract_track(track, parts, descriptor_size=size) for track in tracks[:most])
