"""Mines hard negatives: boxes that a trained detector sees on face-free training images.

    python -m recipes.face_detector.mine --run FOLDER --cache FOLDER

Every face-free image of the training part is looked at whole and in a few random crops; what scores above LOWEST_SCORE
goes to `mined.npy` in the run's folder, (n, 5) float32: position among the face-free images, x0, y0, x1, y1 in the
image's pixels. A training that is resumed from that folder shows these places in the positions and sizes of faces.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from edgeaff.detection.boxes import fit_letterbox
from edgeaff.detection.decode import decode_maps
from recipes import shared_folder
from recipes.face_detector.data import ImageCache
from recipes.face_detector.export import load_averaged
from recipes.face_detector.stream import training_part
from recipes.loop import CHECKPOINT

logger = logging.getLogger(__name__)

MINED_NAME = "mined.npy"
LOWEST_SCORE = 0.2
LONG_SIDE = 256
CROPS_PER_IMAGE = 4
MOST_PER_IMAGE = 8


@torch.no_grad()
def find_boxes(network: nn.Module, image: np.ndarray) -> np.ndarray:
    """Returns the boxes (n, 4) that the network sees above LOWEST_SCORE, in pixels of the image."""
    box = fit_letterbox(image.shape[1], image.shape[0], long_side=LONG_SIDE)
    canvas = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    way = cv2.INTER_AREA if box.scale_x < 1 else cv2.INTER_LINEAR
    canvas[: box.height, : box.width] = cv2.resize(image, (box.width, box.height), interpolation=way)
    pixels = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255
    maps = [part[0].numpy() for part in network(pixels)]
    return box.to_image(decode_maps(maps, score_threshold=LOWEST_SCORE)[0])


def mine(network: nn.Module, cache: ImageCache, negatives: np.ndarray, *, seed: int) -> np.ndarray:
    """Returns the false boxes (n, 5) of a network on the face-free images.

    Args:
        network: in evaluation mode, on the CPU.
        cache: all images.
        negatives: indices of the face-free images.
        seed: of the crops.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for position, index in enumerate(negatives):
        image = np.asarray(cache[int(index)])
        height, width = image.shape[:2]
        found = [find_boxes(network, image)]
        for _ in range(CROPS_PER_IMAGE):
            share = np.exp(rng.uniform(np.log(0.25), np.log(0.9)))
            w, h = max(round(width * share), 16), max(round(height * share), 16)
            x, y = rng.integers(0, max(width - w, 0) + 1), rng.integers(0, max(height - h, 0) + 1)
            boxes = find_boxes(network, image[y : y + h, x : x + w])
            found.append(boxes + np.array([x, y, x, y], np.float32))
        rows.extend([position, *box] for box in np.concatenate(found)[:MOST_PER_IMAGE])
    return np.array(rows, np.float32).reshape(-1, 5)


def main(argv: list[str] | None = None) -> None:
    """Mines with a run's checkpoint."""
    data = shared_folder() / "data"
    parser = argparse.ArgumentParser(description="Mine hard negatives for the face detector.")
    parser.add_argument("--run", type=Path, required=True, help="output folder of the training")
    parser.add_argument("--faces", type=Path, default=data / "faces", help="folder of images and labels")
    parser.add_argument("--cache", type=Path, required=True, help="folder of decoded images")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    network, facts = load_averaged(args.run / CHECKPOINT)
    cache = ImageCache(args.faces, args.cache)
    rows = mine(network, cache, training_part(cache)[1], seed=facts["config"]["seed"])
    np.save(args.run / MINED_NAME, rows)
    logger.info("%d false boxes on %d images", len(rows), len(np.unique(rows[:, 0])))


if __name__ == "__main__":
    main()
