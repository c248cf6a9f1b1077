"""A corpus made ready for every system of Table 1: features by the runtime's own path, in three forms, and crops.

| form | video | audio | for |
|---|---|---|---|
| `edge` | descriptor of the bundle's face encoder | 65 LLDs, normalized as in the bundle, after its lag | `edge` |
| `paper` | the same, for VGGFace's | 63 x 65 LLDs and a zero, normalized by the training tracks | other transformers, VGGFace-RNN |
| `steps` | the same | the newest 65 of those | RNN (A) |
| `pixels` | crops of the corpus | log-mel | AffWildNet, NISL, M3T |

Weights of VGGFace are the user's: the recipe names them, and their descriptors take the place of the bundle's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError, EdgeaffError
from edgeaff.features.normalize import lld_statistics
from edgeaff.preprocess import Preprocessor, PreprocessParts
from edgeaff.spec import LLD_SIZE, paper_spec
from edgeaff.training.corpora.affwild2 import CROP_FOLDERS, read_corpus
from edgeaff.training.features.cache import FeatureCache, Features
from edgeaff.training.features.corpus import extract_corpus
from edgeaff.training.features.pixels import PixelTrack, normalize_mel, read_pixel_track
from edgeaff.training.features.recipe import ExtractRecipe
from edgeaff.training.features.statistics import AsMeasured, stack_steps
from edgeaff.types import AudioChunk

logger = logging.getLogger(__name__)
FORMS = ("edge", "paper", "steps", "pixels")
STEPS_SPEC = paper_spec(audio_context_steps=1, audio_vector_size=LLD_SIZE)


class StackedSteps:
    """The paper's audio vectors without storing them: rows are made of the steps behind them when they are requested.

    Paper: section 4.2.2. Row k holds the steps k - 62 to k, oldest first, and one zero; before the first step zeros.

    Args:
        steps: (T, 65) float32, normalized, zeros where audio is missing.
    """

    def __init__(self, steps: np.ndarray) -> None:
        spec = paper_spec()
        self.shape = (len(steps), spec.audio_vector_size)
        self._context = spec.audio_context_steps
        self._steps = np.pad(steps.astype(np.float32), [(self._context - 1, 0), (0, 0)])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, cut: slice) -> np.ndarray:
        """Returns the (n, 4096) float32 vectors of some ticks."""
        windows = np.lib.stride_tricks.sliding_window_view(self._steps, self._context, axis=0)[cut]
        vectors = np.zeros((len(windows), self.shape[1]), np.float32)
        vectors[:, : self._context * LLD_SIZE] = windows.swapaxes(1, 2).reshape(len(windows), -1)
        return vectors


def lld_ticks(media: Path, parts: PreprocessParts) -> tuple[np.ndarray, np.ndarray]:
    """Returns the LLD steps of a video on the ticks of its images and audio together, without looking at an image.

    Args:
        media: video file.
        parts: of the bundle; its face parts are declared and not asked.

    Returns:
        (T, 65) float32, not normalized, zeros where audio is missing, and (T,) bool where it is there.
    """
    with MediaFile(media) as source:
        has_video, has_audio = source.has_video, source.has_audio
    deliveries: list[tuple[int, AudioChunk | None]] = []
    if has_video:
        deliveries += [(int(time), None) for time in MediaFile(media).frame_times_ns()]
    if has_audio:
        with MediaFile(media, video=False) as source:
            deliveries += [(chunk.pts_ns, chunk) for chunk in source if isinstance(chunk, AudioChunk)]
    parts = replace(parts, spec=STEPS_SPEC, normalizer=AsMeasured())
    preprocessor = Preprocessor(parts, video=has_video, audio=has_audio, live=False)
    ticks = []
    for pts_ns, chunk in sorted(deliveries, key=lambda delivery: delivery[0]):
        if chunk is None:
            ticks += preprocessor.push_face([], pts_ns=pts_ns)
        else:
            ticks += preprocessor.push_audio(chunk.samples, pts_ns=pts_ns, sample_rate_hz=chunk.sample_rate_hz)
    ticks += preprocessor.finish()
    return stack_steps(ticks)


class PreparedCorpus:
    """An Aff-Wild2 tree with its features; what is missing of them is extracted, track by track, and kept.

    Args:
        root: of the corpus.
        cache: folder for the features.
        recipe: whose bundle's spec, detector, face encoder and statistics make them, and VGGFace where it has that; preset `edge`.
        workers: processes that extract what is missing; 0 does it in this one.

    Raises:
        ArgumentError: the corpus has no annotation, or no video.
    """

    def __init__(self, root: Path, cache: Path, recipe: ExtractRecipe | None = None, *, workers: int = 0) -> None:
        lists = sorted(root.glob("*est_set*.txt"))
        tracks = read_corpus(root, test_list=lists[0] if lists else None)
        self.tracks = {track.name: track for track in tracks if track.media is not None}
        if not self.tracks:
            raise ArgumentError(
                f"corpus must hold the videos of its {len(tracks)} tracks, got none under {root}; unpack them there, at any depth."
            )
        self._recipe = recipe or ExtractRecipe()
        self._cache, self._bundle = cache, ModelBundle.load(self._recipe.bundle)
        self._workers = workers

    def description(self) -> dict[str, Any]:
        """Returns the description of the corpus for the results: tracks by split, annotated frames, and what made the features."""
        splits = [track.split for track in self.tracks.values()]
        return {
            "tracks": {split: splits.count(split) for split in dict.fromkeys(splits)},
            "annotated_frames": {
                split: int(sum(track.valid.sum() for track in self.tracks.values() if track.split == split))
                for split in dict.fromkeys(splits)
            },
            "bundle": self._bundle.manifest.model_id,
            "face_encoder": self._recipe.encoder_id(self._bundle),
        }

    def form(self, name: str) -> list[Any]:
        """Returns all tracks in one form: "edge", "paper", "steps" or "pixels".

        Args:
            name: of the form.

        Returns:
            Tracks of every split, Features or PixelTrack.

        Raises:
            ArgumentError: there is no such form.
        """
        forms: dict[str, Callable[[], list[Any]]] = {
            "edge": self._edge,
            "paper": self._paper,
            "steps": self._steps,
            "pixels": self._pixels,
        }
        if name not in forms:
            raise ArgumentError(f"form must be one of {', '.join(forms)}, got {name!r}; choose one.")
        return forms[name]()

    def _edge(self) -> list[Features]:
        cache = FeatureCache(
            self._cache / "edge",
            self._bundle.spec,
            encoder_id=self._recipe.encoder_id(self._bundle),
            encoder_mode=self._recipe.encoder_mode,
            statistics=self._bundle.manifest.statistics,
        )
        report = extract_corpus(list(self.tracks.values()), cache, self._recipe, workers=self._workers)
        for name, reason in report.skipped.items():
            logger.warning("%s is left out: %s", name, reason)
        return cache.read_all()

    def _raw_steps(self) -> list[Features]:
        """Returns the tracks with LLD steps, not normalized, in place of the bundle's audio vectors."""
        cache = FeatureCache(self._cache / "steps", STEPS_SPEC, encoder_id="LLD steps, not normalized")
        edge = {track.name: track for track in self._edge()}
        parts = self._recipe.load().parts if cache.missing(edge) else None

        def extract(name: str) -> Features:
            media, track = self.tracks[name].media, edge[name]
            assert media is not None and parts is not None
            steps, heard = lld_ticks(media, parts)
            if len(steps) != len(track.labels):
                raise ArgumentError(
                    f"features of {name} must have {len(steps)} ticks, got {len(track.labels)}; remove the cache, as its "
                    "video has changed."
                )
            return replace(track, audio=steps, present=np.stack([track.present[:, 0], heard], axis=1))

        cache.fill(edge, extract)
        return cache.read_all()

    def _steps(self) -> list[Features]:
        tracks = self._raw_steps()
        return normalize_steps(tracks)

    def _paper(self) -> list[Features]:
        return [replace(track, audio=StackedSteps(track.audio)) for track in self._steps()]

    def _pixels(self) -> list[PixelTrack]:
        tracks = []
        for track in self.tracks.values():
            if track.crops is None:
                logger.warning("%s is left out of the systems on pixels: it has no crops", track.name)
                continue
            try:
                tracks.append(read_pixel_track(track, self._bundle.spec))
            except EdgeaffError as error:
                logger.warning("%s is left out: %s", track.name, error)
        if not tracks:
            raise ArgumentError(
                f"corpus must hold {' or '.join(CROP_FOLDERS)} for the systems on pixels, got no crops of its "
                f"{len(self.tracks)} tracks with a video; unpack the crops beside the videos, or leave those runs out (--only)."
            )
        return normalize_mel(tracks)


def normalize_steps(tracks: Sequence[Features]) -> list[Features]:
    """Returns the tracks with LLD steps on the scale of the training tracks. Paper: section 4.2.2.

    Args:
        tracks: of all splits, with raw steps as audio; the statistics are of "train" alone.

    Returns:
        The tracks, in order; zeros where audio is missing.
    """
    rows = np.concatenate([track.audio[track.present[:, 1]] for track in tracks if track.split == "train"])
    mean, std = lld_statistics(rows, STEPS_SPEC)
    return [
        replace(track, audio=((track.audio - mean) / std * track.present[:, 1:]).astype(np.float32)) for track in tracks
    ]
