"""`edge`: the streaming transformer that ships. One value per tick, no look-ahead, no absolute position.

The system of the paper (two encoders, cross-modal attention both ways, alpha A + beta V, dense) with what a device
needs: every attention is causal and banded over the last 100 ticks with a bias learned by age, so that a tick costs one
row instead of a window, and a stream may run for days; a missing modality is a learned token plus presence bits;
the residual goes in before the sum, so that the fusion stays linear after the attention.

```
descriptor --> linear or absent --+ bits --> N causal layers --> h_video --+--> cross-modal attention + residuals
LLD vector --> linear or absent --+ bits --> N causal layers --> h_audio --+    alpha A + beta V --> dense --> (V, A)
```
`forward` computes whole sequences (training), `step` one tick from its state (the runtime's graph); they agree
(tests/training/test_edge.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from edgeaff.backends.native import ARCHITECTURE
from edgeaff.spec import LLD_SIZE
from edgeaff.torch_ops.reference import attend, cross_modal_attention
from edgeaff.types import MODALITIES

State = dict[str, Tensor]
LEAST_STD, MOST_STD = 0.02, 1.5  # of one value; csrc/kernels/affect_step_tile.h has the same


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Sizes of the edge transformer.

    Attributes:
        video_size: width of the face descriptor.
        audio_size: width of the audio vector.
        size: width d of both encoders.
        num_heads: attention heads.
        ffn_size: hidden width of the feed-forward layers.
        layers: encoder layers per modality.
        band: ticks that an attention sees, this one included.
        dropout: during training, on inputs of residual sums.
        spread_size: hidden width of the standard deviations of a face's values; 0 = the model states none.
    """

    video_size: int = 128
    audio_size: int = LLD_SIZE
    size: int = 64
    num_heads: int = 4
    ffn_size: int = 128
    layers: int = 2
    band: int = 100
    dropout: float = 0.15
    spread_size: int = 0


class ModalityInput(nn.Module):
    """Linear projection of what was measured, or the learned token of absence, plus the presence bits."""

    def __init__(self, input_size: int, size: int, *, compress: bool) -> None:
        super().__init__()
        linear = nn.Linear(input_size, size)
        self.weight, self.bias = linear.weight, linear.bias
        self.absent = nn.Parameter(torch.zeros(size))
        self.present = nn.Parameter(torch.zeros(size, len(MODALITIES)))
        self.compress = compress

    def forward(self, values: Tensor, present: Tensor, own: int) -> Tensor:
        """Returns the tokens.

        Choice: the audio vector is compressed, sign(z) log(1 + |z|): energies and slopes have long tails.

        Args:
            values: (..., input_size) float; not looked at where absent.
            present: (..., 2) float 0 or 1: video, audio.
            own: column of `present` that belongs to this modality.

        Returns:
            (..., size).
        """
        if self.compress:
            values = torch.sign(values) * torch.log1p(torch.abs(values))
        here = present[..., own : own + 1] > 0.5
        token = torch.where(here, nn.functional.linear(values, self.weight, self.bias), self.absent)
        return token + nn.functional.linear(present, self.present)


def decaying_age_bias(num_heads: int, band: int) -> Tensor:
    """Returns the start of a learned bias by age: head h decays by 1 / (4 * 4^h) a tick, the last head not at all.

    Choice: the paper has absolute positions; by age, heads start with different memories and a stream may run for days.

    Args:
        num_heads: number of heads.
        band: W.

    Returns:
        (num_heads, band) float32.
    """
    slopes = torch.tensor([0.25 * 0.25**head for head in range(num_heads - 1)] + [0.0])
    return -slopes[:, None] * torch.arange(band)[None, :]


class CausalLayer(nn.Module):
    """Pre-norm encoder layer with causal banded attention and a bias learned by age."""

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        size = config.size
        self.num_heads, self.band = config.num_heads, config.band
        self.norm1 = nn.LayerNorm(size)
        self.qkv = nn.Linear(size, 3 * size)
        self.age_bias = nn.Parameter(decaying_age_bias(config.num_heads, config.band))
        self.out = nn.Linear(size, size)
        self.norm2 = nn.LayerNorm(size)
        self.ffn1 = nn.Linear(size, config.ffn_size)
        self.ffn2 = nn.Linear(config.ffn_size, size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, tokens: Tensor, memory: Tensor | None = None, key_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the layer's output and the keys and values it made.

        Args:
            tokens: (B, T, d).
            memory: (B, W - 1, 2 d) keys and values of earlier ticks, for streaming.
            key_mask: (B, Tk) bool over memory and tokens together.

        Returns:
            (B, T, d), and (B, T, 2 d).
        """
        packed = self.qkv(self.norm1(tokens))
        size = tokens.shape[-1]
        query, made = packed[..., :size], packed[..., size:]
        keys = made if memory is None else torch.cat([memory, made], dim=1)
        mixed = attend(query, keys, num_heads=self.num_heads, key_mask=key_mask, band=self.band, age_bias=self.age_bias)
        tokens = tokens + self.dropout(self.out(mixed))
        hidden = torch.relu(self.ffn1(self.norm2(tokens)))
        return tokens + self.dropout(self.ffn2(self.dropout(hidden))), made


class CausalEncoder(nn.Module):
    """N causal layers and a last normalization."""

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CausalLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.size)


class CrossFusion(nn.Module):
    """Cross-modal attention in both directions, residual before the sum, alpha A + beta V. Paper: section 4.3."""

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        size = config.size
        self.num_heads, self.band = config.num_heads, config.band
        self.query_audio, self.query_video = nn.Linear(size, size), nn.Linear(size, size)
        self.key_value_audio, self.key_value_video = nn.Linear(size, 2 * size), nn.Linear(size, 2 * size)
        self.age_bias_audio = nn.Parameter(decaying_age_bias(config.num_heads, config.band))
        self.age_bias_video = nn.Parameter(decaying_age_bias(config.num_heads, config.band))
        self.alpha, self.beta = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.5))
        self.operator = cross_modal_attention  # the exporter puts the opaque node here

    def fuse(self, video: Tensor, audio: Tensor, kv_video: Tensor, kv_audio: Tensor, key_mask: Tensor | None) -> Tensor:
        """Returns the fused tokens (B, Tq, d) of encoder outputs (B, Tq, d) and keys and values (B, Tk, 2 d)."""
        return self.operator(
            self.query_audio(audio),
            kv_audio,
            self.query_video(video),
            kv_video,
            self.alpha,
            self.beta,
            num_heads=self.num_heads,
            key_mask_audio=key_mask,
            key_mask_video=key_mask,
            band=self.band,
            age_bias_audio=self.age_bias_audio,
            age_bias_video=self.age_bias_video,
            residual_audio=audio,
            residual_video=video,
        )


class Spread(nn.Module):
    """Standard deviations of the errors of valence and arousal of the current face, from its descriptor and the values."""

    def __init__(self, video_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(video_size + 2, hidden_size)
        self.out = nn.Linear(hidden_size, 2)

    def forward(self, video: Tensor, values: Tensor) -> Tensor:
        """Returns (..., 2) in [LEAST_STD, MOST_STD]. video: (..., video_size); values: (..., 2), clipped."""
        log_std = self.out(torch.relu(self.hidden(torch.cat([video, values], dim=-1))))
        return torch.exp(torch.clamp(log_std, math.log(LEAST_STD), math.log(MOST_STD)))


class Edge(nn.Module):
    """The edge streaming transformer; sizes in `config`."""

    def __init__(self, config: EdgeConfig | None = None) -> None:
        super().__init__()
        self.config = config or EdgeConfig()
        self.video = ModalityInput(self.config.video_size, self.config.size, compress=False)
        self.audio = ModalityInput(self.config.audio_size, self.config.size, compress=True)
        self.encoder = nn.ModuleDict({name: CausalEncoder(self.config) for name in MODALITIES})
        self.cross = CrossFusion(self.config)
        self.dense = nn.Linear(self.config.size, 2)
        self.spread = Spread(self.config.video_size, self.config.spread_size) if self.config.spread_size else None

    def _encoder(self, name: str) -> CausalEncoder:
        return cast(CausalEncoder, self.encoder[name])

    def _tokens(self, video: Tensor, audio: Tensor, present: Tensor) -> dict[str, Tensor]:
        return {"video": self.video(video, present, 0), "audio": self.audio(audio, present, 1)}

    @property
    def reach_ticks(self) -> int:
        """Number of earlier ticks that a value may depend on: a band for each layer and one for the cross-modal attention."""
        return (self.config.layers + 1) * (self.config.band - 1)

    def forward(self, video: Tensor, audio: Tensor, present: Tensor, tick_mask: Tensor | None = None) -> Tensor:
        """Returns one value pair per tick, each from this and the earlier ticks alone.

        Args:
            video: (B, T, video_size) face descriptors.
            audio: (B, T, audio_size) normalized audio vectors.
            present: (B, T, 2) float 0 or 1: video, audio.
            tick_mask: (B, T) bool, False = before the start of the stream. None = all exist.

        Returns:
            (B, T, 2) valence and arousal, not clipped.
        """
        hidden = self._tokens(video, audio, present)
        for name in MODALITIES:
            for layer in self._encoder(name).layers:
                hidden[name], _ = layer(hidden[name], key_mask=tick_mask)
            hidden[name] = self._encoder(name).norm(hidden[name])
        kv_video, kv_audio = self.cross.key_value_video(hidden["video"]), self.cross.key_value_audio(hidden["audio"])
        return self.dense(self.cross.fuse(hidden["video"], hidden["audio"], kv_video, kv_audio, tick_mask))

    def initial_state(self, batch: int = 1) -> State:
        """Returns the state before the first tick: all zeros. Keys: age_mask (B, W - 1), the others (B, W - 1, 2 d)."""
        past, width = self.config.band - 1, 2 * self.config.size
        names = [f"{m}_{i}" for m in MODALITIES for i in range(self.config.layers)] + [f"cross_{m}" for m in MODALITIES]
        reference = self.dense.weight
        state = {"age_mask": reference.new_zeros(batch, past)}
        state.update({name: reference.new_zeros(batch, past, width) for name in names})
        return state

    def step(self, video: Tensor, audio: Tensor, present: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns the values of the next tick, clipped to [-1, 1], and the state after it.

        Args:
            video: (B, video_size).
            audio: (B, audio_size).
            present: (B, 2) float 0 or 1.
            state: of the tick before, or `initial_state`.

        Returns:
            (B, 2), and the next state (same names and shapes).
        """
        values, _, following = self.step_with_std(video, audio, present, state)
        return values, following

    def step_with_std(
        self, video: Tensor, audio: Tensor, present: Tensor, state: State
    ) -> tuple[Tensor, Tensor | None, State]:
        """Returns the values of the next tick, the standard deviations of their errors, and the state after it.

        Args:
            video: (B, video_size).
            audio: (B, audio_size).
            present: (B, 2) float 0 or 1.
            state: of the tick before, or `initial_state`.

        Returns:
            (B, 2) clipped to [-1, 1]; (B, 2), which mean something where there is a face, or None without a `spread`; and the
            next state.
        """
        ages = torch.cat([state["age_mask"], torch.ones_like(video[:, :1])], dim=1)
        key_mask = ages > 0.5
        following: State = {"age_mask": ages[:, 1:]}
        hidden = {name: token.unsqueeze(1) for name, token in self._tokens(video, audio, present).items()}
        for name in MODALITIES:
            for index, layer in enumerate(self._encoder(name).layers):
                memory = state[f"{name}_{index}"]
                hidden[name], made = layer(hidden[name], memory, key_mask)
                following[f"{name}_{index}"] = torch.cat([memory, made], dim=1)[:, 1:]
            hidden[name] = self._encoder(name).norm(hidden[name])
        pairs = {}
        for name, project in (("video", self.cross.key_value_video), ("audio", self.cross.key_value_audio)):
            pairs[name] = torch.cat([state[f"cross_{name}"], project(hidden[name])], dim=1)
            following[f"cross_{name}"] = pairs[name][:, 1:]
        fused = self.cross.fuse(hidden["video"], hidden["audio"], pairs["video"], pairs["audio"], key_mask)
        values = torch.clamp(self.dense(fused[:, 0]), -1.0, 1.0)
        return values, None if self.spread is None else self.spread(video, values), following


def without_spread(edge: Edge) -> Edge:
    """Returns a copy that states no standard deviations: those of another training are not true of this one."""
    plain = Edge(replace(edge.config, spread_size=0))
    plain.load_state_dict({name: value for name, value in edge.state_dict().items() if not name.startswith("spread.")})
    return plain.eval()


def save_weights(edge: Edge, path: Path) -> None:
    """Writes the weights as safetensors; the metadata states what the shapes do not."""
    from safetensors.torch import save_file

    config = edge.config
    metadata = {
        "architecture": ARCHITECTURE,
        "num_heads": str(config.num_heads),
        "band": str(config.band),
        "layers": str(config.layers),
    }
    save_file({name: tensor.contiguous() for name, tensor in edge.state_dict().items()}, path, metadata=metadata)


def load_weights(path: Path) -> Edge:
    """Returns the system that `save_weights` wrote, in evaluation mode."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = EdgeConfig(
        video_size=state["video.weight"].shape[1],
        audio_size=state["audio.weight"].shape[1],
        size=state["video.weight"].shape[0],
        num_heads=int(metadata["num_heads"]),
        ffn_size=state["encoder.video.layers.0.ffn1.weight"].shape[0],
        layers=int(metadata["layers"]),
        band=int(metadata["band"]),
        spread_size=state["spread.out.weight"].shape[1] if "spread.out.weight" in state else 0,
    )
    edge = Edge(config)
    edge.load_state_dict(state)
    return edge.eval()
