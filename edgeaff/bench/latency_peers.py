"""Baseline pipelines. They run the networks of the bundle in float32.

`torch_naive` is what a straightforward implementer runs: torch eager, nothing kept between ticks. `torch_cached` keeps descriptors
and LLDs per frame; `onnxruntime_window` does so in ONNX Runtime. What is no network (letterbox, crop, tracker, clock) is edgeaff's
own in all of them, which flatters them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeaff.backends import Graph, load_graph
from edgeaff.bench.latency_media import RATE_HZ, Media
from edgeaff.export.from_onnx import read_step
from edgeaff.export.to_onnx import SymbolicOperator, to_model
from edgeaff.features.face import FaceEncoder, normalize
from edgeaff.features.lld import extract
from edgeaff.inference import WINDOW_TICKS, Prediction, Predictor, WindowPredictor

INPUTS = ("video", "audio", "video_mask", "audio_mask")
LLD_RUN_IN_TICKS = 5


def window_module(system: Any) -> Any:
    """Returns an `Edge` or a transformer of the paper as a torch module with the inputs and output of a window graph."""
    import torch

    from edgeaff.training.models.edge import Edge

    class Window(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.system = system
            self.streams = isinstance(system, Edge)

        def forward(self, video: Any, audio: Any, video_mask: Any, audio_mask: Any) -> Any:
            if not self.streams:
                return torch.clamp(self.system(video, audio, video_mask, audio_mask), -1.0, 1.0)
            present = torch.stack([video_mask, audio_mask], dim=-1).float()
            return torch.clamp(self.system(video, audio, present, video_mask | audio_mask), -1.0, 1.0)

    return Window().eval()


def window_shapes(system: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each input."""
    sizes = {"video": (system.config.video_size,), "audio": (system.config.audio_size,)}
    return {name: (1, WINDOW_TICKS, *sizes.get(name, ())) for name in INPUTS}


class TorchWindow:
    """A window graph (see `edgeaff.backends.Graph`) in torch eager."""

    backend: str = "torch"
    outputs: tuple[str, ...] = ("values",)

    def __init__(self, system: Any) -> None:
        self.module = window_module(system)
        self.inputs: dict[str, tuple[int | None, ...]] = dict(window_shapes(system))

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns values (1, 100, 2) of a window."""
        import torch

        with torch.inference_mode():
            return {"values": self.module(*(torch.from_numpy(feeds[name]) for name in INPUTS)).numpy()}


@functools.lru_cache(maxsize=1)
def edge_system(step: bytes) -> Any:
    """Returns the torch module of the `edge` preset's step graph."""
    return read_step(step)


@functools.lru_cache(maxsize=1)
def window_onnx(system: Any) -> bytes:
    """Returns the window graph as torch exports it, without our operator."""
    import torch

    arguments = tuple(
        torch.ones(shape, dtype=torch.bool if name.endswith("mask") else torch.float32)
        for name, shape in window_shapes(system).items()
    )
    return bytes(to_model(window_module(system), SymbolicOperator(), arguments, INPUTS, ["values"]).SerializeToString())


def onnxruntime_window(system: Any, *, threads: int = 1) -> Graph:
    """Returns the window graph in ONNX Runtime."""
    return load_graph(window_onnx(system), threads=threads)


class LazyWindow(WindowPredictor):
    """A window predictor that can fill its window without computing.

    Attributes:
        filling: while true a tick only enters the window; the value before is repeated.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.filling = False
        self._last = Prediction(0.0, 0.0)

    def step(self, state: Any, video: np.ndarray | None, audio: np.ndarray | None) -> tuple[Prediction, Any]:
        """Returns the prediction of a tick and the window after it, as in `WindowPredictor`."""
        if self.filling:
            return self._last, (*state, (video, audio))[-WINDOW_TICKS:]
        self._last, state = super().step(state, video, audio)
        return self._last, state

    def compute(self, state: Any) -> Prediction:
        """Returns the window's prediction for its newest tick."""
        return super().step(state[:-1], *state[-1])[0]


class CropKeeper(FaceEncoder):
    """Hands crops on, a row each: the window's model describes them, all of them, at every tick."""

    def encode_crops(self, crops: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Returns the pixels of the crops, (n, S * S * 3) float32."""
        return (
            np.stack(list(crops)).reshape(len(crops), -1).astype(np.float32)
            if len(crops)
            else np.zeros((0, 0), np.float32)
        )


class WholeWindow(Predictor):
    """Describes the 100 crops of the window and runs the window's model, at every tick.

    Attributes:
        filling: while true a tick only enters the window; the value before is repeated.
    """

    backend = "torch"
    precision = "fp32"
    memory_ticks = WINDOW_TICKS
    state_layout = ("whole window",)

    def __init__(self, encoder: Any, window: Any, crop_size_px: int, audio_size: int) -> None:
        self._encoder, self._window = encoder, window
        self._blank = np.zeros((crop_size_px, crop_size_px, 3), np.uint8)
        self._silence = np.zeros(audio_size, np.float32)
        self.filling = False
        self._last = Prediction(0.0, 0.0)

    def initial_state(self) -> tuple[Any, ...]:
        """Returns the empty window."""
        return ()

    def step(self, state: Any, video: np.ndarray | None, audio: np.ndarray | None) -> tuple[Prediction, Any]:
        """Returns the prediction of a tick and the window after it. video: the crop's pixels, or None; audio: (A,) float32 or None."""
        crop = None if video is None else video.astype(np.uint8).reshape(self._blank.shape)
        state = (*state, (crop, audio))[-WINDOW_TICKS:]
        if not self.filling:
            self._last = self.compute(state)
        return self._last, state

    def compute(self, state: Any) -> Prediction:
        """Returns the window's prediction for its newest tick."""
        import torch

        ticks = ((None, None),) * (WINDOW_TICKS - len(state)) + state
        crops = np.stack([self._blank if crop is None else crop for crop, _ in ticks])
        samples = np.stack([self._silence if row is None else row for _, row in ticks])
        seen, heard = (torch.tensor([[tick[index] is not None for tick in ticks]]) for index in (0, 1))
        with torch.inference_mode():
            described = self._encoder(torch.from_numpy(normalize(crops)))[None]
            found = self._window(described, torch.from_numpy(samples)[None], seen, heard)[0, -1]
        return Prediction(float(found[0]), float(found[1]))


def extract_window(media: Media, tick: int, *, more: int = 0) -> np.ndarray:
    """Returns the LLDs of the window's audio that ends at a tick, extracted again (by our native extractor).

    Args:
        media: the samples.
        tick: the window's newest.
        more: ticks of audio before the window that its oldest tick looks back on.
    """
    ticks = range(max(0, tick - WINDOW_TICKS - more - LLD_RUN_IN_TICKS), tick + 1)
    return extract(np.concatenate([media.audio(one) for one in ticks]), sample_rate_hz=RATE_HZ, compatible=False)
