"""The op as a torch operator, `edgeaff::cross_modal_attention`: shapes for tracing, gradients by recomputation.

Nothing imports this module unless it is asked for by name. The forward runs the compiled kernel wherever it has the
device, the type and the head size (else plain torch); the backward recomputes with plain torch, since training time is
spent elsewhere. Gradients of gradients are not offered.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgeaff.ops import native
from edgeaff.ops.cross_modal_attention import CUDA_HEAD_SIZES
from edgeaff.ops.cross_modal_attention import cross_modal_attention as _compiled


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
    """
    scale_type = torch.float64 if q_audio.dtype == torch.float64 else torch.float32
    alpha = torch.as_tensor(alpha, dtype=scale_type, device=q_audio.device)
    beta = torch.as_tensor(beta, dtype=scale_type, device=q_audio.device)
    return _operator(
        q_audio,
        kv_audio,
        q_video,
        kv_video,
        alpha,
        beta,
        key_mask_audio,
        key_mask_video,
        age_bias_audio,
        age_bias_video,
        residual_audio,
        residual_video,
        num_heads,
        band or 0,
    )


@torch.library.custom_op("edgeaff::cross_modal_attention", mutates_args=())
def _operator(
    q_audio: Tensor,
    kv_audio: Tensor,
    q_video: Tensor,
    kv_video: Tensor,
    alpha: Tensor,
    beta: Tensor,
    key_mask_audio: Tensor | None,
    key_mask_video: Tensor | None,
    age_bias_audio: Tensor | None,
    age_bias_video: Tensor | None,
    residual_audio: Tensor | None,
    residual_video: Tensor | None,
    num_heads: int,
    band: int,
) -> Tensor:
    """Returns the op's value: by the compiled kernel, or in plain torch where that has no form for it."""
    tensors: list[Any] = [
        q_audio,
        kv_audio,
        q_video,
        kv_video,
        alpha,
        beta,
        key_mask_audio,
        key_mask_video,
        age_bias_audio,
        age_bias_video,
        residual_audio,
        residual_video,
    ]
    if not _has_kernel(q_audio, num_heads):
        return attend_both(*tensors, num_heads=num_heads, band=band)
    rows: list[Any] = [None if tensor is None else _readable(tensor) for tensor in tensors]
    if rows[8] is not None:
        rows[8] = rows[8].float().contiguous()
    if rows[9] is not None:
        rows[9] = rows[9].float().contiguous()
    on_card = q_audio.device.type == "cuda"
    return _compiled(
        rows[0],
        rows[1],
        rows[2],
        rows[3],
        rows[4] if on_card else float(alpha),
        rows[5] if on_card else float(beta),
        num_heads=num_heads,
        key_mask_audio=rows[6],
        key_mask_video=rows[7],
        band=band or None,
        age_bias_audio=rows[8],
        age_bias_video=rows[9],
        residual_audio=rows[10],
        residual_video=rows[11],
        threads=1 if on_card else torch.get_num_threads(),
        stream=torch.cuda.current_stream(q_audio.device).cuda_stream if on_card else None,
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
        value = attend_both(*inputs, num_heads=ctx.num_heads, band=ctx.band)
    found = iter(torch.autograd.grad(value, wanted, gradient, allow_unused=True))
    gradients = [next(found) if tensor is not None and tensor.requires_grad else None for tensor in inputs]
    return (*gradients, None, None)


_operator.register_autograd(_backward, setup_context=_setup_context)


def attend_both(
    q_audio: Tensor,
    kv_audio: Tensor,
    q_video: Tensor,
    kv_video: Tensor,
    alpha: Tensor,
    beta: Tensor,
    key_mask_audio: Tensor | None,
    key_mask_video: Tensor | None,
    age_bias_audio: Tensor | None,
    age_bias_video: Tensor | None,
    residual_audio: Tensor | None,
    residual_video: Tensor | None,
    *,
    num_heads: int,
    band: int,
) -> Tensor:
    """Returns the op in plain torch. Paper: section 3.2, eq. 1.

    Args:
        q_audio: (B, Tq, D).
        kv_audio: (B, Tk, 2D).
        q_video: (B, Tq, D).
        kv_video: (B, Tk, 2D).
        alpha: 0-d.
        beta: 0-d.
        key_mask_audio: (B, Tk) or None.
        key_mask_video: (B, Tk) or None.
        age_bias_audio: (num_heads, W) or None.
        age_bias_video: (num_heads, W) or None.
        residual_audio: (B, Tq, D) or None.
        residual_video: (B, Tq, D) or None.
        num_heads: heads.
        band: W; 0 = none.

    Returns:
        (B, Tq, D), of the type of q_audio; scores and sums are at least float32.
    """
    audio = _attend(q_audio, kv_video, num_heads, key_mask_video, band, age_bias_video)
    video = _attend(q_video, kv_audio, num_heads, key_mask_audio, band, age_bias_audio)
    if residual_audio is not None:
        audio = audio + residual_audio
    if residual_video is not None:
        video = video + residual_video
    return (alpha * audio + beta * video).to(q_audio.dtype)


def _attend(
    queries: Tensor, keys_values: Tensor, num_heads: int, mask: Tensor | None, band: int, age_bias: Tensor | None
) -> Tensor:
    """Returns softmax(Q K^T / sqrt(d_h) + bias) V of one direction, at least float32."""
    batch, query_count, channels = queries.shape
    key_count = keys_values.shape[1]
    wide = torch.promote_types(queries.dtype, torch.float32)
    exists = None if mask is None else mask.to(torch.bool)
    if exists is not None:
        keys_values = keys_values.masked_fill(~exists[:, :, None], 0.0)

    split = (num_heads, channels // num_heads)
    parts = (queries, keys_values[..., :channels], keys_values[..., channels:])
    q, k, v = (rows.unflatten(-1, split).transpose(1, 2).to(wide) for rows in parts)
    scores = q @ k.transpose(-1, -2) / (channels // num_heads) ** 0.5
    seen = torch.ones((1, 1, query_count, key_count), dtype=torch.bool, device=queries.device)
    if band:
        last = torch.arange(query_count, device=queries.device) + key_count - query_count
        age = last[:, None] - torch.arange(key_count, device=queries.device)
        seen = ((age >= 0) & (age < band))[None, None]
        if age_bias is not None:
            scores = scores + age_bias[:, age.clamp(0, band - 1)]
    if exists is not None:
        seen = seen & exists[:, None, None, :]
    # A finite floor instead of minus infinity: rows that see nothing get 0 with a gradient of 0, not NaN.
    weights = torch.softmax(scores.masked_fill(~seen, torch.finfo(wide).min), dim=-1) * seen
    return (weights @ v).transpose(1, 2).reshape(batch, query_count, channels)


def _has_kernel(queries: Tensor, num_heads: int) -> bool:
    """Tells whether the compiled module has a form for this device, type and head size.

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
