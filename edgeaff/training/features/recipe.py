"""The recipe of features: the bundle with detector, face encoder and statistics, or VGGFace in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError
from edgeaff.features.face import FaceEncoder
from edgeaff.features.normalize import make_normalizer
from edgeaff.preprocess import PreprocessParts
from edgeaff.preprocess.parts import parts_from_bundle
from edgeaff.spec import PreprocessSpec, paper_spec_of

if TYPE_CHECKING:  # torch takes a worker longer to load than all the rest; only VGGFace needs it
    from edgeaff.training.models.vggface import VggFace, VggFaceConfig

PRESETS = ("edge", "paper")
USUAL_MODE = "upsample"  # of models.vggface.PUBLISHED_MODES


def encoder_id_of(bundle: ModelBundle) -> str:
    """Returns the identity of a bundle's face encoder in features and in the runs that learned from them."""
    return f"face_encoder.onnx {hashlib.sha256(bundle.graph_bytes('face_encoder')).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class LoadedParts:
    """The parts in one process, and the width of its descriptors."""

    parts: PreprocessParts
    descriptor_size: int


@dataclass(frozen=True, slots=True)
class ExtractRecipe:
    """Description from which each process builds its parts; sent between processes.

    Attributes:
        bundle: file; None = the shipped one.
        preset: "edge" (one LLD step per tick, running normalization) or "paper" (63 steps of 2 s stacked to 4,096 values, without
            lag, fixed statistics. Paper: section 4.2.2).
        vggface: file with VGGFace weights for descriptors of 4,096 values (Paper: section 4.2.1), in a published layout or as
            `edgeaff models import` wrote them; None = the bundle's encoder.
        channel_order: channel order that the file's first layer expects, where it has to be named.
        vggface_mode: how the published layer, made for 224 px, sees a crop of 96: "upsample" or "resampled"; AffWildNet's is for 96.
        statistics: of the LLDs: lld_mean, lld_std; None = the bundle's.
    """

    bundle: Path | None = None
    preset: str = "edge"
    vggface: Path | None = None
    channel_order: str | None = None
    vggface_mode: str = USUAL_MODE
    statistics: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ArgumentError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}; choose one.")
        if self.vggface is None and (self.channel_order or self.vggface_mode != USUAL_MODE):
            raise ArgumentError(
                f"channel_order and mode must come with --vggface, got {self.channel_order} and {self.vggface_mode} alone; name the file."
            )

    def spec(self, bundle: ModelBundle) -> PreprocessSpec:
        """Returns the spec of the features: the bundle's, or the paper's with the bundle's detector and crop."""
        if self.preset == "edge":
            return bundle.spec
        return paper_spec_of(bundle.spec)

    def encoder_id(self, bundle: ModelBundle) -> str:
        """Returns the identity of the face encoder: a digest of the bundle's graph, or of the VGGFace file.

        Raises:
            ArgumentError: the file cannot be read.
        """
        if self.vggface is None:
            return encoder_id_of(bundle)
        files = [self.vggface] if self.vggface.exists() else sorted(self.vggface.parent.glob(f"{self.vggface.name}.*"))
        digest = hashlib.sha256()
        try:
            for path in files or [self.vggface]:  # several: a checkpoint of AffWildNet is named by its prefix
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        except OSError as error:
            raise ArgumentError(
                f"vggface must be a readable file, got {self.vggface} ({error}); check the path."
            ) from error
        return f"vggface {digest.hexdigest()[:16]}"

    @property
    def encoder_mode(self) -> str | None:
        """The mode of VGGFace where it is not the default one, which needs no mention."""
        return None if self.vggface_mode == USUAL_MODE else self.vggface_mode

    def check(self) -> None:
        """Loads the weights of VGGFace once, if they are requested: what is wrong with them is stated before any work is done."""
        if self.vggface is not None:
            self._vggface_graph()

    def load(self) -> LoadedParts:
        """Returns the parts, loaded in this process."""
        bundle = ModelBundle.load(self.bundle)
        spec, from_bundle = self.spec(bundle), parts_from_bundle(bundle)
        encoder = from_bundle.encoder if self.vggface is None else FaceEncoder(self._vggface_graph(), spec)
        normalizer = make_normalizer(spec, self.statistics or bundle.manifest.statistics)
        assert encoder is not None
        blank = np.zeros((spec.crop_size_px, spec.crop_size_px, 3), np.uint8)
        size = encoder.encode_crops([blank]).shape[1]
        speech = from_bundle.speech if spec == bundle.spec else None  # the paper takes all audio
        return LoadedParts(PreprocessParts(spec, from_bundle.detector, encoder, normalizer, speech=speech), size)

    def _vggface_graph(self) -> Any:
        assert self.vggface is not None
        return _TorchGraph(vggface_network(self.vggface, self.channel_order, self.vggface_mode))


def vggface_network(path: Path, channel_order: str | None, mode: str, config: VggFaceConfig | None = None) -> VggFace:
    """Returns VGGFace with the weights of a file.

    Args:
        path: in a published layout, or as `edgeaff models import` wrote it (.npz).
        channel_order: channel order that the file's first layer expects, where it has to be named.
        mode: of the published layer, "upsample" or "resampled".
        config: other sizes, in tests.

    Returns:
        The network, in evaluation mode.
    """
    from edgeaff.training.importers import import_vggface, read_weights
    from edgeaff.training.models.vggface import with_weights

    imported = path.suffix.lower() == ".npz"
    weights = read_weights(path) if imported else import_vggface(path, channel_order=channel_order, config=config)
    return with_weights(weights, published=mode, config=config)


class _TorchGraph:
    """Runs a torch network where a graph is expected."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        with torch.no_grad():
            return {"descriptor": self._network(torch.from_numpy(inputs["face"])).numpy()}
