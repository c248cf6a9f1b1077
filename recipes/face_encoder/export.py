"""The trained face encoder as `face_encoder.onnx`, with its training heads beside it.

`python -m recipes.face_encoder.export best.safetensors [OTHER...] OUT` writes OUT/face_encoder.onnx (`face` (B, 3, 96, 96) -> `descriptor`
(B, D)), checked against torch, OUT/heads.npz (linear heads on the descriptor) and OUT/training.json. Of several
checkpoints, trained on from the same weights with other seeds, the mean of the weights is exported. `--blend GRAPH SHARE` averages
them with an exported encoder that they were trained on from, which keeps more of what that one did well.
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

from edgeaff.errors import ArgumentError
from edgeaff.export.to_onnx import PARITY_BATCHES, SymbolicOperator, check_parity, to_model
from edgeaff.spec import CROP_SIZE_PX
from edgeaff.training.corpora.ferplus import ANCHORS, EMOTIONS
from recipes.face_encoder.model import FaceEncoder, FaceEncoderConfig
from recipes.face_encoder.train import FaceModel
from recipes.loop import averaged_weights, read_checkpoint

logger = logging.getLogger(__name__)


def load_model(*checkpoints: Path) -> FaceModel:
    """Returns the averaged network of a checkpoint, or the mean of those of several, in evaluation mode."""
    read = [read_checkpoint(path) for path in checkpoints]
    values = read[0][1]["encoder_config"]
    model = FaceModel(FaceEncoderConfig(**values | {key: tuple(values[key]) for key in ("widths", "blocks")}))
    weights = [averaged_weights(tensors) for tensors, _ in read]
    mean = {name: torch.stack([one[name].float() for one in weights]).mean(0) for name in weights[0]}
    model.load_state_dict({name: value.to(weights[0][name].dtype) for name, value in mean.items()})
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


def blend(graph: bytes, other: bytes, share: float) -> bytes:
    """Returns an encoder whose weights are a mean: `share` of the other's, the rest of the first one's.

    Args:
        graph: float32 encoder as `to_onnx` gives it.
        other: one that it was trained on from.
        share: of the other, 0 to 1.

    Raises:
        ArgumentError: the other has other weights.
    """
    import onnx

    model, weights = onnx.load_from_string(graph), onnx.load_from_string(other).graph.initializer
    others = {one.name: onnx.numpy_helper.to_array(one) for one in weights}
    own = [one for one in model.graph.initializer if one.name.startswith(("stem.", "stages.", "scale."))]
    if missing := [one.name for one in own if one.name not in others]:
        raise ArgumentError(
            f"other must have the weights of graph, got none named {missing[0]}; name the encoder it began from."
        )
    for one in own:
        mean = (1.0 - share) * onnx.numpy_helper.to_array(one) + share * others[one.name]
        one.CopyFrom(onnx.numpy_helper.from_array(mean.astype(np.float32), one.name))
    return bytes(model.SerializeToString())


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


def training_of(*checkpoints: Path) -> dict[str, Any]:
    """Returns the training of checkpoints: settings, sizes, epoch and mean CCC on the valid part of the first, seeds of all."""
    notes = [read_checkpoint(path)[1] for path in checkpoints]
    note = notes[0]
    return {
        "seeds": [one["config"]["seed"] for one in notes],
        "config": note["config"],
        "encoder": note["encoder_config"],
        "epoch": note["epoch"],
        "valid_mean_ccc": round(note["best"], 4),
        "parameters": sum(value.numel() for value in load_model(*checkpoints).encoder.parameters()),
    }


def main() -> None:
    """Exports from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--blend", nargs=2, metavar=("GRAPH", "SHARE"), help="average with this exported encoder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    model = load_model(*arguments.checkpoints)
    data = to_onnx(model.encoder)
    training = training_of(*arguments.checkpoints)
    if arguments.blend:
        other, share = Path(arguments.blend[0]).read_bytes(), float(arguments.blend[1])
        data = blend(data, other, share)
        training |= {"blended_with_sha256": hashlib.sha256(other).hexdigest(), "blended_share": share}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "face_encoder.onnx").write_bytes(data)
    np.savez(arguments.out / "heads.npz", **cast(Any, heads_of(model)))
    (arguments.out / "training.json").write_text(json.dumps(training, indent=2) + "\n")
    logger.info("%d bytes, sha256 %s", len(data), hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
