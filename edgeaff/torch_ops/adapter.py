"""The op as a torch operator, `edgeaff::cross_modal_attention`: shapes for tracing, gradients by recomputation.

The forward runs the compiled kernel if it supports the device, the type and the head size, or else
`edgeaff.torch_ops.reference`. The backward recomputes with the reference, because training spends its time elsewhere. Gradients of
gradients are not supported.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgeaff.errors import ArgumentError
from edgeaff.ops import native
from edgeaff.ops.cross_modal_attention import CUDA_HEAD_SIZES, NODE_INPUTS, REQUIRED_INPUTS
from edgeaff.ops.cross_modal_attention import cross_modal_attention as _compiled
from edgeaff.torch_ops import reference


def cross_modal_attention(
    q_audio: Tensor,
    kv_audio: Tensor,
    q_video: Tensor,
    kv_video: Tensor,
    alpha: Tensor | float,
    beta: Tensor | float,
    *,
    num_heads: int,
    key_mask_audio: Tensor | None = None,
    key_mask_video: Tensor | None = None,
    band: int | None = None,
    age_bias_audio: Tensor | None = None,
    age_bias_video: Tensor | None = None,
    residual_audio: Tensor | None = None,
    residual_video: Tensor | None = None,
) -> Tensor:
    """Returns the op of `edgeaff.ops.cross_modal_attention` on tensors, differentiable in all that is not a mask.

    Args:
        q_audio: (B, Tq, D).
        kv_audio: (B, Tk, 2D).
        q_video: (B, Tq, D).
        kv_video: (B, Tk, 2D).
        alpha: number or 0-d tensor.
        beta: number or 0-d tensor.
        num_heads: heads; divides D.
        key_mask_audio: (B, Tk) bool, False = the key does not exist.
        key_mask_video: (B, Tk) bool.
        band: W, or None.
        age_bias_audio: (num_heads, W).
        age_bias_video: (num_heads, W).
        residual_audio: (B, Tq, D).
        residual_video: (B, Tq, D).

    Returns:
        (B, Tq, D), of the type of q_audio.

    Raises:
        ArgumentError: num_heads is no positive int.
    """
    if isinstance(num_heads, bool) or not isinstance(num_heads, (int, torch.SymInt)) or num_heads < 1:
        raise ArgumentError(f"num_heads must be a positive int, got {num_heads!r}; pass the model's heads.")
    scale_type = torch.float64 if q_audio.dtype == torch.float64 else torch.float32
    return _operator(
        q_audio,
        kv_audio,
        q_video,
        kv_video,
        torch.as_tensor(alpha, dtype=scale_type, device=q_audio.device),
        torch.as_tensor(beta, dtype=scale_type, device=q_audio.device),
        key_mask_audio,
        key_mask_video,
        age_bias_audio,
        age_bias_video,
        residual_audio,
        residual_video,
        num_heads,
        band or 0,
    )


_SCHEMA = ", ".join(f"Tensor{'' if name in REQUIRED_INPUTS else '?'} {name}" for name in NODE_INPUTS)


@torch.library.custom_op(
    "edgeaff::cross_modal_attention", mutates_args=(), schema=f"({_SCHEMA}, SymInt num_heads, SymInt band) -> Tensor"
)
def _operator(*inputs: Any) -> Tensor:
    """Returns the op's value: by the compiled kernel, or in plain torch where that has no form for it."""
    tensors, num_heads, band = inputs[:-2], inputs[-2], inputs[-1]
    queries = tensors[0]
    if not _has_kernel(queries, num_heads):
        return _plain(*inputs)
    readable = (None if tensor is None else _readable(tensor) for tensor in tensors)
    named: dict[str, Any] = dict(zip(NODE_INPUTS, readable, strict=True))
    for name in ("age_bias_audio", "age_bias_video"):
        if named[name] is not None:
            named[name] = named[name].float().contiguous()
    on_card = queries.device.type == "cuda"
    if not on_card:
        named |= {name: float(named[name]) for name in ("alpha", "beta")}
    return _compiled(
        **named,
        num_heads=num_heads,
        band=band or None,
        threads=1 if on_card else torch.get_num_threads(),
        stream=torch.cuda.current_stream(queries.device).cuda_stream if on_card else None,
    )


@_operator.register_fake
def _(q_audio: Tensor, *_others: Any) -> Tensor:
    """Returns the shape and type of the result."""
    return q_audio.new_empty(q_audio.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keeps the inputs: the backward computes everything again."""
    del output
    ctx.num_heads, ctx.band = inputs[12], inputs[13]
    ctx.save_for_backward(*inputs[:12])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """Returns the gradients of the twelve tensors, and None for the two sizes."""
    inputs: list[Any] = [
        None if tensor is None else tensor.detach().requires_grad_(needed)
        for tensor, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[:12], strict=True)
    ]
    wanted = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
    with torch.enable_grad():
        value = _plain(*inputs, ctx.num_heads, ctx.band)
    found = iter(torch.autograd.grad(value, wanted, gradient, allow_unused=True))
    gradients = [next(found) if tensor is not None and tensor.requires_grad else None for tensor in inputs]
    return (*gradients, None, None)


_operator.register_autograd(_backward, setup_context=_setup_context)


def _plain(*inputs: Any) -> Tensor:
    """Returns the op in plain torch: computed in at least float32, of the type of q_audio.

    What a masked key holds must not matter, not even infinities: such keys are zero before the twin sees them.
    """
    named: dict[str, Any] = dict(zip((*NODE_INPUTS, "num_heads", "band"), inputs, strict=True))
    dtype = named["q_audio"].dtype
    for modality in ("audio", "video"):
        pair, mask = named["kv_" + modality], named["key_mask_" + modality]
        named["kv_" + modality] = pair if mask is None else pair.masked_fill(~mask.bool()[:, :, None], 0.0)
    for name in ("q_audio", "kv_audio", "q_video", "kv_video"):
        named[name] = named[name].to(torch.promote_types(dtype, torch.float32))
    return reference.cross_modal_attention(**named | {"band": named["band"] or None}).to(dtype)


def _has_kernel(queries: Tensor, num_heads: int) -> bool:
    """Reports whether the compiled module has a form for this device, type and head size.

    Returns:
        False where plain torch must do.
    """
    head_size = queries.shape[-1] // num_heads
    if queries.device.type == "cpu":
        return queries.dtype in {torch.float32, torch.bfloat16} and head_size % 16 == 0 and head_size <= 256
    if queries.device.type == "cuda":
        compiled = hasattr(native(), "cross_modal_attention_cuda")
        return compiled and head_size in CUDA_HEAD_SIZES and queries.dtype != torch.float64
    return False


def _readable(tensor: Tensor) -> Tensor:
    """Returns the tensor without its gradient, and copied where its rows are not contiguous."""
    tensor = tensor.detach()
    return tensor if tensor.dim() == 0 or tensor.stride(-1) == 1 else tensor.contiguous()
