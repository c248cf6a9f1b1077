"""The `paper` preset as a bundle: `python -m edgeaff.export.paper --output paper_int8.eaff [--precision int8|fp32]`.

VGG-16 up to its first fully-connected layer, our detector, and the paper's transformer over windows of 100 ticks as a step
(`edgeaff.export.window_step`). What is not given is FABRICATED: random weights of the right sizes, good for measuring speed and
for nothing else; the manifest, its provenance and the model id report it.

    --vggface weights.npz    weights that `edgeaff models import` made of a file that you have
    --tail best.safetensors  weights of a training run of transformer_av on descriptors of that very encoder
    --faces crops.npy        (N, 96, 96, 3) uint8 RGB, to calibrate the 8-bit encoder on; without it: drawn blobs

`--graphs FOLDER` writes every graph as its own file as well: static batch 1 and dynamic, float32 and 8-bit.
"""

from __future__ import annotations

import argparse
import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from edgeaff.bundle import GOLDEN, PACKED, ModelBundle, pack_arrays
from edgeaff.export.pack_window import pack_window, takes
from edgeaff.export.qdq import quantize_dynamic, quantize_static
from edgeaff.export.to_onnx import PARITY_BATCHES, SymbolicOperator, check_parity, to_model, with_batch
from edgeaff.export.window import export_window
from edgeaff.export.window_step import export_window_step, window_values
from edgeaff.features.face import normalize
from edgeaff.inference import WINDOW_TICKS
from edgeaff.manifest import Manifest
from edgeaff.spec import paper_spec_of
from edgeaff.training.models.transformer import AudioVideoTransformer
from edgeaff.training.models.vggface import PUBLISHED_MODES, VggFace, with_weights

FABRICATED = "FABRICATED (random) weights, for measuring speed only"
INTENDED_USE = (
    "Apparent valence and arousal of a person, on the device, with the person's knowledge and consent. It does not measure what the person "
    "feels. Not for decisions about people, for use at work or in education (EU AI Act, article 5), or for identification."
)
PRECISIONS = ("int8", "fp32")
CALIBRATION_FACES = 32
GOLDEN_TICKS = 120
WIDE = {  # no calibration: no value of this preset claims to be near
    "video_coverage": [0.0, 1.0],
    "audio_coverage": [0.0, 1.0],
    "valence_std": [[0.5, 0.5], [0.5, 0.5]],
    "arousal_std": [[0.5, 0.5], [0.5, 0.5]],
    "abstain_above_std": 1.0,
    "audio_only_valence_max_std": 1.0,
}
logger = logging.getLogger(__name__)
Graphs = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class PaperParts:
    """Parts of the bundle and their origin.

    Attributes:
        encoder: VGGFace in evaluation mode.
        system: Transformer (A+V) in evaluation mode.
        encoder_origin: provenance of the encoder's weights.
        system_origin: provenance of the transformer's weights.
    """

    encoder: VggFace
    system: AudioVideoTransformer
    encoder_origin: str = FABRICATED
    system_origin: str = FABRICATED

    @property
    def fabricated(self) -> list[str]:
        """Names of the parts with random weights."""
        origins = {"face_encoder": self.encoder_origin, "affect_step": self.system_origin}
        return [name for name, origin in origins.items() if origin == FABRICATED]


def fabricated_encoder(seed: int = 0) -> VggFace:
    """Returns VGGFace with random weights that keep the scale of their inputs (He), so that 8 bits have something to hold."""
    encoder = VggFace().eval()
    generator = torch.Generator().manual_seed(seed)
    for module in encoder.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(cast(torch.Tensor, module.bias))
    return encoder


def fabricated_system(seed: int = 0) -> AudioVideoTransformer:
    """Returns the paper's transformer, untrained except for alpha and beta, which are not at their start, as after any training."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        system = AudioVideoTransformer().eval()
        system.cross.alpha.fill_(0.6)
        system.cross.beta.fill_(0.45)
        return system


def drawn_faces(count: int = CALIBRATION_FACES, seed: int = 0) -> np.ndarray:
    """Returns (count, 96, 96, 3) uint8: bright blobs on darker grounds, the range and smoothness of crops, nobody's face."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96] / 95.0
    faces = []
    for _ in range(count):
        image = np.full((96, 96, 3), rng.uniform(20, 120))
        for _ in range(12):
            center, width, level = rng.uniform(0.1, 0.9, 2), rng.uniform(0.03, 0.3), rng.uniform(-120, 160, 3)
            image += level * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * width**2))[..., None]
        faces.append(np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8))
    return np.stack(faces)


def export_encoder(encoder: VggFace) -> tuple[bytes, bytes]:
    """Returns the encoder as a graph of batch 1 and one of any batch: `face` (B, 3, 96, 96) -> `descriptor` (B, 4096).

    Args:
        encoder: in evaluation mode; both are compared with it.
    """
    batch = {0: torch.export.Dim("batch")}
    model = to_model(
        copy.deepcopy(encoder),
        SymbolicOperator(),
        (torch.zeros(2, 3, 96, 96),),
        ["face"],
        ["descriptor"],
        dynamic=(batch,),
    )
    dynamic, static = model.SerializeToString(), with_batch(model, 1)
    for data, sizes in ((dynamic, PARITY_BATCHES), (static, (1,))):
        runs = []
        for size in sizes:
            face = torch.from_numpy(normalize(drawn_faces(size, seed=size)))
            with torch.no_grad():
                runs.append(({"face": face.numpy()}, {"descriptor": encoder(face).numpy()}))
        check_parity(data, runs)
    return static, dynamic


def encoder_graphs(
    encoder: VggFace, *, precision: str, faces: np.ndarray | None = None, any_batch: bool = False
) -> Graphs:
    """Returns face_encoder.

    Args:
        encoder: in evaluation mode.
        precision: "fp32" or "int8".
        faces: (N, 96, 96, 3) uint8 RGB, to calibrate 8 bits on; None = drawn ones.
        any_batch: with face_encoder_dynamic.
    """
    graphs = dict(zip(("face_encoder", "face_encoder_dynamic"), export_encoder(encoder), strict=True))
    if not any_batch:
        del graphs["face_encoder_dynamic"]
    if precision == "fp32":
        return graphs
    shown = drawn_faces() if faces is None else faces
    return {name: quantize_static(graph, _feeds(shown)) for name, graph in graphs.items()}


def tail_graphs(system: AudioVideoTransformer, *, precision: str, any_batch: bool = False) -> Graphs:
    """Returns affect_window, affect_step and affect_append.

    Args:
        system: in evaluation mode.
        precision: "fp32" or "int8".
        any_batch: with affect_window_dynamic.
    """
    graphs: Graphs = {"affect_window": export_window(system)}
    if any_batch:
        graphs["affect_window_dynamic"] = export_window(system, batch=None)
    graphs["affect_step"], graphs["affect_append"] = export_window_step(system)
    return graphs if precision == "fp32" else {name: quantize_dynamic(graph) for name, graph in graphs.items()}


def _feeds(faces: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    return ({"face": normalize(face)[None]} for face in faces)


@torch.no_grad()
def make_golden(
    system: AudioVideoTransformer, described: np.ndarray, *, ticks: int = GOLDEN_TICKS, seed: int = 0
) -> dict[str, np.ndarray]:
    """Returns a sequence with gaps and the output of torch for it: video, audio, present, values, each (1, ticks, ...).

    Args:
        system: the trained one; its audio is a random walk.
        described: (n, D) float32 descriptors of some faces, each shown for ten ticks.
        ticks: length.
        seed: of everything drawn.
    """
    rng = np.random.default_rng(seed)
    video = described[np.arange(ticks) // 10 % len(described)]
    steps = np.clip(np.cumsum(0.3 * rng.standard_normal((ticks + 63, 65)), axis=0), -4, 4).astype(np.float32)
    audio = np.stack([np.append(steps[tick : tick + 63].ravel(), np.float32(0)) for tick in range(ticks)])
    present = np.ones((ticks, 2), np.float32)
    present[20:35, 0] = present[60:70, 1] = 0.0
    video, audio = video * present[:, :1], audio * present[:, 1:]
    whole = (torch.from_numpy(video), torch.from_numpy(audio), torch.from_numpy(present))
    rows = [(whole[0][tick, None], whole[1][tick, None], whole[2][tick, None]) for tick in range(ticks)]
    values = [
        window_values(system, rows[max(0, tick + 1 - WINDOW_TICKS) : tick + 1], WINDOW_TICKS) for tick in range(ticks)
    ]
    named = {"video": video, "audio": audio, "present": present, "values": torch.cat(values).numpy()}
    return {name: np.ascontiguousarray(array[None], np.float32) for name, array in named.items()}


def make_manifest(parts: PaperParts, graphs: Graphs, *, precision: str, made_by: ModelBundle) -> Manifest:
    """Returns the manifest; detector and LLD statistics are those of the default bundle."""
    spec = paper_spec_of(made_by.spec)
    made_up = parts.fabricated
    return Manifest(
        model_id=f"edgeaff-paper-{precision}{'-fabricated' if made_up else ''}",
        preset="paper",
        spec=spec,
        detector=made_by.manifest.detector,
        face_encoder={"network": "VGG-16 to fc6 (4096), 96 px", "weights": parts.encoder_origin},
        statistics=made_by.manifest.statistics,
        graphs={name: f"{name}.onnx" for name in graphs},
        precisions={name: precision for name in graphs if name != "face_detector"},
        uncertainty=WIDE,
        smoothing=made_by.manifest.smoothing,
        default_backend="onnxruntime",
        licences={
            "code": "Apache-2.0",
            "weights": "random numbers" if made_up else "those of the files they were made from",
            "data": "none" if made_up else "see provenance",
        },
        provenance=f"face_encoder: {parts.encoder_origin}. affect_step, affect_window: {parts.system_origin}.",
        fabricated=tuple(made_up),
        intended_use=f"{FABRICATED}: {', '.join(made_up)}. {INTENDED_USE}" if made_up else INTENDED_USE,
        accuracy={},
    )


def assemble_paper(
    parts: PaperParts, output: Path, *, precision: str, faces: np.ndarray, any_batch: bool = False
) -> Graphs:
    """Writes the bundle.

    Args:
        parts: encoder and system.
        output: bundle to write.
        precision: "int8" or "fp32".
        faces: (N, 96, 96, 3) uint8 RGB, to calibrate on.
        any_batch: whether to make graphs of any batch too; they are returned and not in the bundle.

    Returns:
        All graphs by name.
    """
    base = ModelBundle.load()
    made = encoder_graphs(parts.encoder, precision=precision, faces=faces, any_batch=any_batch)
    made |= tail_graphs(parts.system, precision=precision, any_batch=any_batch)
    held = {name: graph for name, graph in made.items() if not name.endswith("_dynamic")}
    held["face_detector"] = base.graph_bytes("face_detector")
    members = {f"{name}.onnx": graph for name, graph in held.items()}
    members |= packed_members(parts.system, precision)
    members[GOLDEN] = pack_arrays(make_golden(parts.system, describe_drawn(parts.encoder)))
    ModelBundle.save(output, make_manifest(parts, held, precision=precision, made_by=base), members)
    return made


def packed_members(system: AudioVideoTransformer, precision: str) -> dict[str, bytes]:
    """Returns the weights of the native window step as a member of a bundle; nothing where it does not have precision or sizes."""
    if precision != "int8" or not takes(system.config):
        return {}
    return {PACKED: pack_arrays(pack_system(system))}


def pack_system(system: AudioVideoTransformer) -> dict[str, np.ndarray]:
    """Returns the transformer packed for the native window step, in 8 bits."""
    weights = {name: value.detach().numpy() for name, value in system.state_dict().items()}
    positions = system.video.positions[:WINDOW_TICKS].numpy()
    return pack_window(weights, positions, num_heads=system.config.num_heads, residual=system.config.residual)


@torch.no_grad()
def describe_drawn(encoder: VggFace, count: int = 12) -> np.ndarray:
    """Returns (count, D) float32 descriptors of drawn faces."""
    return np.asarray(encoder(torch.from_numpy(normalize(drawn_faces(count)))).numpy())


def read_encoder(path: Path, mode: str = PUBLISHED_MODES[0]) -> tuple[VggFace, str]:
    """Returns VGGFace with imported weights, in evaluation mode, and where they are from.

    Args:
        path: what `edgeaff models import` wrote.
        mode: of the published layer: "upsample" or "resampled"; AffWildNet's own needs none.

    Returns:
        The network, and words for the manifest.
    """
    from edgeaff.training.importers import read_weights

    weights = read_weights(path)
    encoder = with_weights(weights, published=mode)
    return encoder, f"imported from a {weights.layout} file with sha256 {weights.sha256}, mode {encoder.config.mode}"


def read_parts(vggface: Path | None, tail: Path | None) -> PaperParts:
    """Returns the parts, fabricated where no file is named.

    Args:
        vggface: weights that `edgeaff models import` wrote.
        tail: `best.safetensors` of a run of transformer_av.
    """
    encoder, encoder_origin = (fabricated_encoder(), FABRICATED) if vggface is None else read_encoder(vggface)
    system, system_origin = fabricated_system(), FABRICATED
    if tail is not None:
        from safetensors.torch import load_file

        system.load_state_dict(load_file(tail))
        system_origin = f"trained by the user ({tail.name})"
    return PaperParts(encoder.eval(), system.eval(), encoder_origin, system_origin)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--precision", choices=PRECISIONS, default="int8")
    parser.add_argument("--vggface", type=Path)
    parser.add_argument("--tail", type=Path)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--graphs", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("edgeaff").setLevel(logging.INFO)
    faces = drawn_faces() if options.faces is None else np.load(options.faces, allow_pickle=False)
    parts = read_parts(options.vggface, options.tail)
    any_batch = options.graphs is not None
    graphs = assemble_paper(parts, options.output, precision=options.precision, faces=faces, any_batch=any_batch)
    if any_batch:
        options.graphs.mkdir(parents=True, exist_ok=True)
        for name, graph in graphs.items():
            (options.graphs / f"{name}.{options.precision}.onnx").write_bytes(graph)
    logger.info("%s, fabricated: %s", options.output, ", ".join(parts.fabricated) or "nothing")


if __name__ == "__main__":
    main()
