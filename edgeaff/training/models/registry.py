"""The systems of the paper's Table 1 and the one that ships, by name: what each takes and how it is made.

`width` scales the networks that learn from pixels, so that they can be trained where no GPU is; every table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from edgeaff.errors import ArgumentError
from edgeaff.training.models.affwildnet import AffWildNetDynamic, AffWildNetStatic
from edgeaff.training.models.edge import Edge, EdgeConfig
from edgeaff.training.models.m3t import MEL_SIZE, M3t
from edgeaff.training.models.nisl import Nisl
from edgeaff.training.models.recurrent import LLD_SIZE, AudioRnn, AudioVideoRnn, VideoRnn
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
    """

    name: str
    title: str
    make: Callable[..., nn.Module]
    inputs: Shapes
    window_ticks: int
    paper_ccc: tuple[float, float] | None
    from_pixels: bool = False
    streaming: bool = False

    def build(self, *, width: float = 1.0) -> nn.Module:
        """Returns the network.

        Args:
            width: scales the channels of a system that learns from pixels; the others have one size.

        Returns:
            The network, freshly initialised from torch's global random state.

        Raises:
            ArgumentError: width is given for a system without it.
        """
        if width != 1.0 and not self.from_pixels:
            raise ArgumentError(f"width must be 1 for {self.name}, got {width}; only systems on pixels have a width.")
        return self.make(**({"width": width} if self.from_pixels else {}))

    def made_up_inputs(self, batch: int, ticks: int, *, seed: int = 0, device: str = "cpu") -> dict[str, Tensor]:
        """Returns random inputs of the right shapes: keyword -> (batch, ticks, *shape)."""
        generator = torch.Generator().manual_seed(seed)
        inputs = {
            name: torch.randn(batch, ticks, *shape, generator=generator).to(device)
            for name, shape in self.inputs.items()
        }
        if "present" in inputs:
            inputs["present"] = torch.ones_like(inputs["present"])
        return inputs


_CROP96, _CROP112 = (3, 96, 96), (3, 112, 112)


def _transformer(input_size: int) -> nn.Module:
    return SingleTransformer(input_size, TransformerConfig())


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "affwildnet_static_2000",
            "AffWildNet static (V), FC 2000",
            partial(AffWildNetStatic, 2000),
            {"crops": _CROP96},
            80,
            (0.176, 0.198),
            from_pixels=True,
        ),
        System(
            "affwildnet_static_4096",
            "AffWildNet static (V), FC 4096",
            partial(AffWildNetStatic, 4096),
            {"crops": _CROP96},
            80,
            (0.244, 0.297),
            from_pixels=True,
        ),
        System(
            "affwildnet_dynamic",
            "AffWildNet dynamic (V)",
            AffWildNetDynamic,
            {"crops": _CROP96},
            80,
            (0.315, 0.357),
            from_pixels=True,
        ),
        System("rnn_a", "RNN (A)", AudioRnn, {"audio": (LLD_SIZE,)}, 100, (0.105, 0.168)),
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
            partial(_transformer, PAPER_VECTOR),
            {"features": (PAPER_VECTOR,)},
            100,
            None,
        ),
        System(
            "transformer_v",
            "Transformer (V)",
            partial(_transformer, PAPER_VECTOR),
            {"features": (PAPER_VECTOR,)},
            100,
            (0.381, 0.489),
        ),
        System(
            "transformer_av",
            "Transformer (A+V)",
            AudioVideoTransformer,
            {"video": (PAPER_VECTOR,), "audio": (PAPER_VECTOR,)},
            100,
            (0.396, 0.525),
        ),
        System(
            "edge",
            "edge (A+V, streaming)",
            Edge,
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
