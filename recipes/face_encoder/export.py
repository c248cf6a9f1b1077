"""The trained face encoder as `face_encoder.onnx`, with its training heads beside it.

`python -m recipes.face_encoder.export best.safetensors OUT` writes OUT/face_encoder.onnx (`face` (B, 3, 96, 96) -> `descriptor`
(B, D)), checked against torch, OUT/heads.npz (linear heads on the descriptor) and OUT/training.json.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgeaff.export.to_onnx import PARITY_BATCHES, SymbolicOperator, check_parity, to_model
from edgeaff.spec import CROP_SIZE_PX
from edgeaff.training.corpora.ferplus import ANCHORS, EMOTIONS
from recipes.face_encoder.model import FaceEncoder, FaceEncoderConfig
from recipes.face_encoder.train import FaceModel
from recipes.loop import averaged_weights, read_checkpoint

logger = logging.getLogger(__name__)


def load_model(checkpoint: Path) -> FaceModel:
    """Returns the averaged network of a checkpoint, in evaluation mode."""
    tensors, note = read_checkpoint(checkpoint)
    values = note["encoder_config"]
    model = FaceModel(FaceEncoderConfig(**values | {key: tuple(values[key]) for key in ("widths", "blocks")}))
    model.load_state_dict(averaged_weights(tensors))
    return model.eval()


def fold(encoder: FaceEncoder) -> FaceEncoder:
    """Returns a copy whose batch normalizations sit inside the convolutions."""
    folded = copy.deepcopy(encoder).eval()
    for module in list(folded.modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(cast(nn.Conv2d, module[0]), module[1])
            module[1] = nn.Identity()
    return folded


def to_onnx(encoder: FaceEncoder) -> bytes:
    """Returns the encoder as a serialized graph, any batch, compared with torch.

    Args:
        encoder: the trained network.

    Returns:
        ONNX, opset 18, IR version 10: `face` (B, 3, 96, 96) float32 -> `descriptor` (B, D) float32.
    """
    encoder = encoder.eval()
    example, batch = torch.zeros(2, 3, CROP_SIZE_PX, CROP_SIZE_PX), {0: torch.export.Dim("batch")}
    model = to_model(fold(encoder), SymbolicOperator(), (example,), ["face"], ["descriptor"], dynamic=(batch,))
    data = bytes(model.SerializeToString())
    generator = torch.Generator().manual_seed(0)
    runs = []
    for size in PARITY_BATCHES:
        face = torch.rand(size, 3, CROP_SIZE_PX, CROP_SIZE_PX, generator=generator) * 2 - 1
        with torch.no_grad():
            runs.append(({"face": face.numpy()}, {"descriptor": encoder(face).numpy()}))
    logger.info("largest difference to torch: %.1e", check_parity(data, runs))
    return data


def heads_of(model: FaceModel) -> dict[str, np.ndarray]:
    """Returns the linear heads: affect (2, D) valence, arousal; emotion (8, D); what their rows mean."""
    heads = model.heads
    return {
        "affect_weight": heads.affect.weight.detach().numpy(),
        "affect_bias": heads.affect.bias.detach().numpy(),
        "emotion_weight": heads.emotion.weight.detach().numpy(),
        "emotion_bias": heads.emotion.bias.detach().numpy(),
        "emotions": np.array(EMOTIONS),
        "anchors": ANCHORS,
    }


def training_of(checkpoint: Path) -> dict[str, Any]:
    """Returns the training of a checkpoint: settings, sizes, epoch and its mean CCC on the valid part."""
    _, note = read_checkpoint(checkpoint)
    return {
        "config": note["config"],
        "encoder": note["encoder_config"],
        "epoch": note["epoch"],
        "valid_mean_ccc": round(note["best"], 4),
        "parameters": sum(value.numel() for value in load_model(checkpoint).encoder.parameters()),
    }


def main() -> None:
    """Exports from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    model = load_model(arguments.checkpoint)
    data = to_onnx(model.encoder)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "face_encoder.onnx").write_bytes(data)
    np.savez(arguments.out / "heads.npz", **cast(Any, heads_of(model)))
    (arguments.out / "training.json").write_text(json.dumps(training_of(arguments.checkpoint), indent=2) + "\n")
    logger.info("%d bytes, sha256 %s", len(data), hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
