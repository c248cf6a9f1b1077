"""The systems of the paper's Table 1 and the shipped one, by name: what each takes and how it is made.

`width` scales the networks that learn from pixels, `sizes` names other sizes of those that learn from features, so that they can
be trained where no GPU is, or on another descriptor than VGGFace's; every table reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgeaff.errors import ArgumentError
from edgeaff.spec import CROP_SIZE_PX, LLD_SIZE
from edgeaff.training.models.affwildnet import AffWildNetDynamic, AffWildNetStatic
from edgeaff.training.models.edge import Edge, EdgeConfig
from edgeaff.training.models.m3t import MEL_SIZE, M3t
from edgeaff.training.models.nisl import Nisl
from edgeaff.training.models.recurrent import AudioRnn, AudioVideoRnn, VideoRnn
from edgeaff.training.models.transformer import AudioVideoTransformer, SingleTransformer, TransformerConfig

PAPER_VECTOR = 4096
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class System:
    """One row of the results table.

    Attributes:
        name: key in SYSTEMS.
        title: as in the paper's Table 1.
        make: builds the network; takes `width` for those that learn from pixels.
        inputs: keyword of forward -> shape of one tick.
        window_ticks: length of the sequences it is trained on.
        paper_ccc: (valence, arousal) of Table 1, None where the paper has no row.
        from_pixels: whether it learns from crops.
        streaming: whether it gives one value per tick with state (`step`) instead of a window.
        modality: what `features` of a system with one input are: "audio" or "video".
    """

    name: str
    title: str
    make: Callable[..., nn.Module]
    inputs: Shapes
    window_ticks: int
    paper_ccc: tuple[float, float] | None
    from_pixels: bool = False
    streaming: bool = False
    modality: str = "video"

    def build(self, *, width: float = 1.0, sizes: Mapping[str, Any] | None = None) -> nn.Module:
        """Returns the network.

        Args:
            width: scales the channels of a system that learns from pixels; the others have none.
            sizes: other sizes of a system that learns from features, by the names of its constructor or configuration
                (`video_size`, `audio_size`, `size`, `units` ...); None = as published.

        Returns:
            The network, freshly initialized from torch's global random state.

        Raises:
            ArgumentError: width or sizes is given for a system without it, or a size has another name.
        """
        if width != 1.0 and not self.from_pixels:
            raise ArgumentError(f"width must be 1 for {self.name}, got {width}; only systems on pixels have a width.")
        if sizes and self.from_pixels:
            raise ArgumentError(f"sizes must be empty for {self.name}, got {dict(sizes)}; scale it with width.")
        try:
            return self.make(**({"width": width} if self.from_pixels else dict(sizes or {})))
        except TypeError as error:
            raise ArgumentError(
                f"sizes must have names and types that {self.name} knows, got: {error}; correct them."
            ) from error

    def inputs_for(self, sizes: Mapping[str, Any] | None = None) -> Shapes:
        """Returns keyword of forward -> shape of one tick, where `video_size` and `audio_size` are other than published.

        Args:
            sizes: as for `build`.

        Returns:
            The shapes.
        """
        given = sizes or {}
        own = {"video": "video_size", "audio": "audio_size", "features": f"{self.modality}_size"}
        return {name: (given[own[name]],) if own.get(name) in given else shape for name, shape in self.inputs.items()}

    def made_up_inputs(self, batch: int, ticks: int, *, seed: int = 0) -> dict[str, Tensor]:
        """Returns random inputs of the right shapes: keyword -> (batch, ticks, *shape)."""
        generator = torch.Generator().manual_seed(seed)
        inputs = {name: torch.randn(batch, ticks, *shape, generator=generator) for name, shape in self.inputs.items()}
        if "present" in inputs:
            inputs["present"] = torch.ones_like(inputs["present"])
        return inputs


_CROP, _CROP112 = (3, CROP_SIZE_PX, CROP_SIZE_PX), (3, 112, 112)


def _single_transformer(modality: str, **sizes: Any) -> nn.Module:
    config = TransformerConfig(**sizes)
    return SingleTransformer(config.audio_size if modality == "audio" else config.video_size, config)


def _transformer(**sizes: Any) -> nn.Module:
    return AudioVideoTransformer(TransformerConfig(**sizes))


def _edge(**sizes: Any) -> nn.Module:
    return Edge(EdgeConfig(**sizes))


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "affwildnet_static_2000",
            "AffWildNet static (V), FC 2000",
            partial(AffWildNetStatic, 2000),
            {"crops": _CROP},
            80,
            (0.176, 0.198),
            from_pixels=True,
        ),
        System(
            "affwildnet_static_4096",
            "AffWildNet static (V), FC 4096",
            partial(AffWildNetStatic, 4096),
            {"crops": _CROP},
            80,
            (0.244, 0.297),
            from_pixels=True,
        ),
        System(
            "affwildnet_dynamic",
            "AffWildNet dynamic (V)",
            AffWildNetDynamic,
            {"crops": _CROP},
            80,
            (0.315, 0.357),
            from_pixels=True,
        ),
        System("rnn_a", "RNN (A)", AudioRnn, {"audio": (LLD_SIZE,)}, 100, (0.105, 0.168), modality="audio"),
        System("vggface_rnn_v", "VGGFace-RNN (V)", VideoRnn, {"video": (PAPER_VECTOR,)}, 100, (0.379, 0.481)),
        System(
            "vggface_rnn_av",
            "VGGFace-RNN (A+V)",
            AudioVideoRnn,
            {"video": (PAPER_VECTOR,), "audio": (PAPER_VECTOR,)},
            100,
            (0.344, 0.506),
        ),
        System("nisl_v", "NISL (V)", Nisl, {"crops": _CROP112}, 32, (0.373, 0.513), from_pixels=True),
        System(
            "m3t_av",
            "M3T (A+V)",
            M3t,
            {"crops": _CROP112, "mel": (MEL_SIZE,)},
            32,
            (0.320, 0.550),
            from_pixels=True,
        ),
        System(
            "transformer_a",
            "Transformer (A)",
            partial(_single_transformer, "audio"),
            {"features": (PAPER_VECTOR,)},
            100,
            None,
            modality="audio",
        ),
        System(
            "transformer_v",
            "Transformer (V)",
            partial(_single_transformer, "video"),
            {"features": (PAPER_VECTOR,)},
            100,
            (0.381, 0.489),
        ),
        System(
            "transformer_av",
            "Transformer (A+V)",
            _transformer,
            {"video": (PAPER_VECTOR,), "audio": (PAPER_VECTOR,)},
            100,
            (0.396, 0.525),
        ),
        System(
            "edge",
            "edge (A+V, streaming)",
            _edge,
            {"video": (EdgeConfig().video_size,), "audio": (LLD_SIZE,), "present": (2,)},
            100,
            None,
            streaming=True,
        ),
    )
}


def find_system(name: str) -> System:
    """Returns a system by name.

    Args:
        name: key of SYSTEMS.

    Returns:
        The system.

    Raises:
        ArgumentError: there is none of that name.
    """
    if name not in SYSTEMS:
        raise ArgumentError(f"system must be one of {', '.join(SYSTEMS)}, got {name!r}; choose one of them.")
    return SYSTEMS[name]
