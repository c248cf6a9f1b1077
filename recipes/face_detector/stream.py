"""The endless stream of training batches; batch i is a function of (seed, i) and of the mined weights alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from recipes.face_detector.augment import AugmentConfig, Augmenter, Scene
from recipes.face_detector.data import ImageCache, is_validation
from recipes.face_detector.degrade import degrade
from recipes.face_detector.targets import TARGET_WIDTH, Teacher, make_cells, make_targets


class BatchStream(IterableDataset):
    """Yields (pixels (B, H, W, 3) uint8, targets (B, N, 17), negatives (B,) int64, -1 = none)."""

    def __init__(
        self,
        *,
        faces_folder: Path,
        cache_folder: Path,
        canvases: list[tuple[int, int, float]],
        early_canvases: list[tuple[int, int, float]],
        early_batches: int,
        batch_size: int,
        seed: int,
        first_batch: int,
        augment: AugmentConfig,
        teacher: Path | None,
        negative_weights: Tensor,
        mined: Path,
    ) -> None:
        self._faces_folder, self._cache_folder = faces_folder, cache_folder
        self._canvases, self._early_canvases, self._early_batches = canvases, early_canvases, early_batches
        self._batch_size, self._seed, self._first_batch = batch_size, seed, first_batch
        self._augment, self._teacher_path = augment, teacher
        self._negative_weights = negative_weights
        self._mined_path = mined

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields batches for ever; with several workers each takes every n-th."""
        import cv2

        cv2.setNumThreads(0)
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        cache = ImageCache(self._faces_folder, self._cache_folder)
        mined = np.load(self._mined_path) if self._mined_path.is_file() else None
        augmenter = Augmenter(cache, *training_part(cache), self._augment, mined)
        augmenter.negative_weights = self._negative_weights.numpy()
        teacher = Teacher(str(self._teacher_path)) if self._teacher_path else None
        index = self._first_batch + number
        while True:
            canvases = self._early_canvases if index < self._early_batches else self._canvases
            yield self._make_batch(np.random.default_rng([self._seed, index]), canvases, augmenter, teacher)
            index += workers

    def _make_batch(
        self,
        rng: np.random.Generator,
        canvases: list[tuple[int, int, float]],
        augmenter: Augmenter,
        teacher: Teacher | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        share = np.array([canvas[2] for canvas in canvases])
        width, height, _ = canvases[rng.choice(len(share), p=share / share.sum())]
        cells = make_cells(width, height)
        scenes: list[Scene] = [augmenter.draw(rng, width, height) for _ in range(self._batch_size)]
        scores, boxes = [None] * len(scenes), [None] * len(scenes)
        if teacher:
            held = [i for i, scene in enumerate(scenes) if len(scene.boxes)]
            if held:
                found = teacher.score(np.stack([scenes[i].image for i in held]))
                for position, i in enumerate(held):
                    scores[i], boxes[i] = found[0][position], found[1][position]
        targets = np.empty((len(scenes), len(cells.x), TARGET_WIDTH), np.float32)
        pixels = np.empty((len(scenes), height, width, 3), np.uint8)
        for i, scene in enumerate(scenes):
            targets[i] = make_targets(scene, cells, scores[i], boxes[i])
            pixels[i] = degrade(rng, scene, gray=self._augment.gray)
        negatives = np.array([scene.negative for scene in scenes])
        return torch.from_numpy(pixels), torch.from_numpy(targets), torch.from_numpy(negatives)


def training_part(cache: ImageCache) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the training images with faces and of those without any."""
    kept = [i for i, frame in enumerate(cache.images) if not is_validation(frame)]
    faces = [i for i in kept if len(cache.images[i].boxes)]
    negatives = [i for i in kept if cache.images[i].status == "negative" and not len(cache.images[i].ignore)]
    return np.array(faces), np.array(negatives)
