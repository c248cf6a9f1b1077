"""How features are made: which bundle gives detector, face encoder and statistics, or VGGFace in its place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError
from edgeaff.features.face import FaceEncoder
from edgeaff.features.normalise import make_normaliser
from edgeaff.preprocess import PreprocessParts
from edgeaff.preprocess.parts import parts_from_bundle
from edgeaff.spec import PreprocessSpec, paper_spec

PRESETS = ("edge", "paper")


@dataclass(frozen=True, slots=True)
class LoadedParts:
    """The parts in one process, and the width of its descriptors."""

    parts: PreprocessParts
    descriptor_size: int


@dataclass(frozen=True, slots=True)
class ExtractRecipe:
    """What each process makes its parts of; travels between processes.

    Attributes:
        bundle: file; None = the one that ships.
        preset: "edge" (one LLD step per tick, running normalisation) or "paper" (63 steps of 2 s stacked to 4,096 values, without
            lag, fixed statistics. Paper: section 4.2.2).
        vggface: file with VGGFace weights for descriptors of 4,096 values (Paper: section 4.2.1); None = the bundle's encoder.
        colour: channel order that the file's first layer expects, where it has to be named.
        statistics: of the LLDs: lld_mean, lld_std; None = the bundle's.
    """

    bundle: Path | None = None
    preset: str = "edge"
    vggface: Path | None = None
    colour: str | None = None
    statistics: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ArgumentError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}; choose one.")

    def spec(self, bundle: ModelBundle) -> PreprocessSpec:
        """Returns the spec of the features: the bundle's, or the paper's with the bundle's detector and crop."""
        if self.preset == "edge":
            return bundle.spec
        return paper_spec(detector_id=bundle.spec.detector_id, crop_margin=bundle.spec.crop_margin)

    def encoder_id(self, bundle: ModelBundle) -> str:
        """Returns what names the face encoder: a digest of the bundle's graph, or of the VGGFace file.

        Raises:
            ArgumentError: the file cannot be read.
        """
        if self.vggface is None:
            return f"face_encoder.onnx {hashlib.sha256(bundle.graph_bytes('face_encoder')).hexdigest()[:16]}"
        digest = hashlib.sha256()
        try:
            with self.vggface.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise ArgumentError(
                f"vggface must be a readable file, got {self.vggface} ({error}); check the path."
            ) from error
        return f"vggface {digest.hexdigest()[:16]}"

    def load(self) -> LoadedParts:
        """Returns the parts, loaded in this process."""
        bundle = ModelBundle.load(self.bundle)
        spec, from_bundle = self.spec(bundle), parts_from_bundle(bundle)
        encoder = from_bundle.encoder if self.vggface is None else FaceEncoder(self._vggface_graph(), spec)
        normaliser = make_normaliser(spec, self.statistics or bundle.manifest["statistics"])
        assert encoder is not None
        blank = np.zeros((spec.crop_size_px, spec.crop_size_px, 3), np.uint8)
        size = encoder.encode_crops([blank]).shape[1]
        return LoadedParts(PreprocessParts(spec, from_bundle.detector, encoder, normaliser), size)

    def _vggface_graph(self) -> Any:
        from edgeaff.training.importers import import_vggface
        from edgeaff.training.models.vggface import VggFace

        assert self.vggface is not None
        network = VggFace()
        network.load_weights(import_vggface(self.vggface, colour=self.colour))
        return _TorchGraph(network.eval())


class _TorchGraph:
    """Runs a torch network where a graph is expected."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        with torch.no_grad():
            return {"descriptor": self._network(torch.from_numpy(inputs["face"])).numpy()}
