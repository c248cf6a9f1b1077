"""What an encoder that is trained on from another one learns from it: its weights, and its descriptors as a teacher.

A face is taught as the mean of the teacher's descriptors of the face and of its mirror image: what the teacher states of them
differs, and the mean is nearer to the truth than each. The student gives that mean for every view of the face.
Faces without votes teach as well: those that the detector's recipe is trained on.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recipes.face_detector.data import ImageCache, is_validation
from recipes.face_encoder.augment import plain
from recipes.face_encoder.data import FaceSet
from recipes.face_encoder.evaluate import Encode
from recipes.face_encoder.model import FaceEncoder

SIDE_PX, LEAST_SIDE_PX = 48, 40  # of a tile; of a box to be taken
logger = logging.getLogger(__name__)


def lessons(images: np.ndarray, encode: Encode) -> np.ndarray:
    """Returns the teacher's descriptors, averaged over each face and its mirror image.

    Args:
        images: (N, 48, 48) uint8.
        encode: the teacher, crops to descriptors.

    Returns:
        (N, D) float32.
    """
    rows = []
    for start in range(0, len(images), 256):
        part = images[start : start + 256]
        given = encode(np.stack([plain(one) for one in (*part, *part[:, :, ::-1].copy())]))
        rows.append(given.reshape(2, len(part), -1).mean(axis=0))
    return np.concatenate(rows).astype(np.float32)


def cut_faces(cache: ImageCache) -> np.ndarray:
    """Returns the faces in the detector's training images as tiles, (M, 48, 48) uint8, squares around the longer side of a box."""
    import cv2

    tiles = []
    for index, frame in enumerate(cache.images):
        if is_validation(frame) or not len(frame.boxes):
            continue
        gray = cv2.cvtColor(np.asarray(cache[index]), cv2.COLOR_RGB2GRAY)
        for left, top, right, bottom in frame.boxes:
            side = max(right - left, bottom - top)
            if side < LEAST_SIDE_PX:
                continue
            corner = np.array([(left + right - side) / 2, (top + bottom - side) / 2])
            step = side / SIDE_PX
            small = cv2.GaussianBlur(gray, (0, 0), 0.4 * step) if step > 1.5 else gray
            to_image = np.array([[step, 0, corner[0] + (step - 1) / 2], [0, step, corner[1] + (step - 1) / 2]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            tiles.append(
                cv2.warpAffine(small, to_image, (SIDE_PX, SIDE_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            )
    return np.stack(tiles)


def with_strangers(faces: FaceSet, tiles: np.ndarray) -> FaceSet:
    """Returns the faces with others appended that nobody has voted on: their votes are zeros."""
    nobody = np.zeros((len(tiles), faces.votes.shape[1]), np.float32)
    return FaceSet(
        np.concatenate([faces.images, tiles]),
        np.concatenate([faces.votes, nobody]),
        np.concatenate([faces.affect, np.zeros((len(tiles), 2), np.float32)]),
    )


@torch.no_grad()
def start_from(encoder: FaceEncoder, graph: bytes, crops: np.ndarray) -> None:
    """Gives an encoder the weights of an exported one.

    The batch normalizations, which the export folded into the convolutions, get the statistics of these crops and the scale and
    offset that undo them, so the network computes what the graph does and can be trained on.

    Args:
        encoder: of the same sizes; changed.
        graph: float32 `face_encoder.onnx` as the exporter writes it.
        crops: (N, 96, 96) uint8 training faces.
    """
    import onnx

    weights = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(graph).graph.initializer}

    def restore(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        name = names[module]
        convolution, norm = module[0], module[1]  # type: ignore[index]
        convolution.weight.copy_(torch.tensor(weights[f"{name}.0.weight"]))
        raw = convolution(inputs[0])
        offset = torch.tensor(weights[f"{name}.0.bias"])
        mean, variance = raw.mean(dim=(0, 2, 3)), raw.var(dim=(0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean + offset)
        return torch.as_tensor(norm(raw))

    names = {
        module: name
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d)
    }
    hooks = [module.register_forward_hook(restore) for module in names]
    encoder.eval()
    for name in ("running_mean", "running_var"):
        getattr(encoder.scale, name).copy_(torch.tensor(weights[f"scale.{name}"]))
    encoder((torch.from_numpy(crops)[:, None].float() / 127.5 - 1.0).expand(-1, 3, -1, -1))
    for hook in hooks:
        hook.remove()


def taught(path: Path, images: np.ndarray, encode: Encode) -> np.ndarray:
    """Returns `lessons`, from a file where they were made for as many faces before."""
    if path.exists() and len(found := np.load(path)) == len(images):
        return np.asarray(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    given = lessons(images, encode)
    np.save(path, given)
    logger.info("%s: %d faces", path.name, len(given))
    return given
