"""Cross-modal attention in both directions and their weighted sum, on CPU or CUDA, without torch.

```
out = alpha * (softmax(Qa Kv^T / sqrt(d_h)) Vv + Ra) + beta * (softmax(Qv Ka^T / sqrt(d_h)) Va + Rv)
```
Paper: section 3.2, eq. 1. `edgeaff.ops.reference` spells the same in NumPy, `edgeaff.torch_ops.reference` in torch;
`edgeaff.torch_ops.adapter` makes a torch operator of this one.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError
from edgeaff.ops import native
from edgeaff.ops.arrays import Operand, check_whole, describe, empty_like
from edgeaff.parsing.boundary import reason_of, shown

NODE_INPUTS = (  # of a graph's node and of the torch operator, in this order
    "q_audio",
    "kv_audio",
    "q_video",
    "kv_video",
    "alpha",
    "beta",
    "key_mask_audio",
    "key_mask_video",
    "age_bias_audio",
    "age_bias_video",
    "residual_audio",
    "residual_video",
)
REQUIRED_INPUTS = NODE_INPUTS[:6]
TYPE_CODES = {"float32": 0, "float16": 1, "bfloat16": 2}  # of edgeaff::DataType
_CPU_TYPES = ("float32", "bfloat16")
CUDA_HEAD_SIZES = (16, 32, 64, 128)
MOST_WEIGHT = 3.4e38
MOST_HEADS, MOST_THREADS, MOST_HEAD_SIZE = 1 << 16, 256, 256
SMALLER = "pass smaller arrays."
_ABSENT = (0, 0, 0, 0, 0, 0)  # mask and its stride, bias, residual and its strides


def cross_modal_attention(
    q_audio: Any,
    kv_audio: Any,
    q_video: Any,
    kv_video: Any,
    alpha: Any,
    beta: Any,
    *,
    num_heads: int,
    key_mask_audio: Any = None,
    key_mask_video: Any = None,
    band: int | None = None,
    age_bias_audio: Any = None,
    age_bias_video: Any = None,
    residual_audio: Any = None,
    residual_video: Any = None,
    threads: int = 1,
    stream: int | None = None,
    out: Any = None,
) -> Any:
    """Returns alpha * (audio queries over video keys + Ra) + beta * (video queries over audio keys + Rv).

    Arrays are NumPy, or of any library with DLPack or `__cuda_array_interface__`; all are of one library, device and
    data type (float32, bfloat16 by DLPack; on CUDA float16 too). Views are read in place; channels must be contiguous.

    Args:
        q_audio: (B, Tq, D) queries of the audio stream.
        kv_audio: (B, Tk, 2D) keys, then values, of the audio stream.
        q_video: (B, Tq, D) queries of the video stream.
        kv_video: (B, Tk, 2D) keys, then values, of the video stream.
        alpha: weight of the audio queries' direction: a number, or a 0-d float32 array.
        beta: weight of the video queries' direction.
        num_heads: heads; D / num_heads is a multiple of 16 up to 256 on the CPU; 16, 32, 64 or 128 on CUDA.
        key_mask_audio: (B, Tk) bool or uint8, False = this audio key does not exist.
        key_mask_video: (B, Tk) the same of video keys.
        band: W: query i sees key j where 0 <= (i + Tk - Tq) - j < W; None = all.
        age_bias_audio: (num_heads, W) float32, added to the scaled scores of audio keys by age (i + Tk - Tq) - j.
        age_bias_video: (num_heads, W) the same of video keys.
        residual_audio: (B, Tq, D) added to the audio queries' attention.
        residual_video: (B, Tq, D) added to the video queries' attention.
        threads: CPU threads to use, this one included.
        stream: CUDA stream handle; None = the one the arrays name, else the default stream.
        out: (B, Tq, D) array to write to; None = a new one.

    Returns:
        (B, Tq, D), of the library of q_audio, or `out`. The attention term of a row that sees no key is 0.

    Raises:
        ArgumentError: an argument has another shape, type, place or range, or there is no memory.
    """
    if (
        type(alpha) is type(beta) is float
        and type(num_heads) is type(threads) is int
        and 0 < num_heads <= MOST_HEADS
        and 0 < threads <= MOST_THREADS
        and band is key_mask_audio is key_mask_video is residual_audio is residual_video is None
        and age_bias_audio is age_bias_video is stream is out is None
    ):
        # Checked and run in one native call, which saves a twentieth of the time at 100 x 512; None = not as plain as it looks.
        try:
            done = native().cross_modal_attention_plain(
                q_audio, kv_audio, q_video, kv_video, alpha, beta, num_heads, threads
            )
        except Exception as error:  # no memory for the result, or an exporter that fails
            raise ArgumentError(
                f"arrays must be readable and fit into memory, got {reason_of(error)}; {SMALLER}"
            ) from error
        if done is not None:
            return done
    arrays = {
        "q_audio": q_audio,
        "kv_audio": kv_audio,
        "q_video": q_video,
        "kv_video": kv_video,
        "key_mask_audio": key_mask_audio,
        "key_mask_video": key_mask_video,
        "age_bias_audio": age_bias_audio,
        "age_bias_video": age_bias_video,
        "residual_audio": residual_audio,
        "residual_video": residual_video,
    }
    call = _Call(arrays, (alpha, beta), num_heads, band)
    return _run_checked(call, threads=threads, stream=stream, out=out)


class _Call(NamedTuple):
    """The arguments of a call: arrays by name (None = absent), (alpha, beta), heads and band."""

    arrays: dict[str, Any]
    weights: tuple[Any, Any]
    num_heads: int
    band: int | None


def _run_checked(call: _Call, *, threads: int, stream: int | None, out: Any) -> Any:
    """Returns the weighted sum after checking every argument, on the device where the arrays lie."""
    arrays, weights, num_heads, band = call
    found = {
        name: describe(array, name) for name, array in arrays.items() if array is not None or name in REQUIRED_INPUTS
    }
    num_heads = check_whole("num_heads", num_heads, 1, MOST_HEADS, "pass the model's heads.")
    sizes = _check_sizes(found, num_heads, band)
    batch, query_count, _, _, head_size = sizes
    shape = (batch, query_count, num_heads * head_size)
    if out is None:
        out = empty_like(arrays["q_audio"], shape)
    target = describe(out, "out", writable=True)
    _check_operand(target, shape, found["q_audio"].dtype, found["q_audio"])
    packed = (
        (TYPE_CODES[target.dtype], *sizes[:3], num_heads, head_size, _band_of(found, band)),
        _modality(found, "audio"),
        _modality(found, "video"),
        _weights(*weights, target),
        (target.address, target.strides[0], target.strides[1]),
    )
    if target.device == "cuda":
        _run_cuda(packed, head_size, _choose_stream(found, stream))
    else:
        _run_cpu(packed, target.dtype, head_size, threads)
    return out


def _check_sizes(found: dict[str, Operand], num_heads: int, band: int | None) -> tuple[int, int, int, int, int]:
    """Returns (B, Tq, Tk, D, head size) after checking every array against them.

    Raises:
        ArgumentError: a size, type or device does not fit.
    """
    query, keys = found["q_audio"], found["kv_audio"]
    if len(query.shape) != 3:
        raise ArgumentError(f"q_audio must have shape (B, Tq, D), got {query.shape}; add the missing axis.")
    batch, query_count, channels = query.shape
    if len(keys.shape) != 3:
        raise ArgumentError(f"kv_audio must have shape (B, Tk, 2D), got {keys.shape}; add the missing axis.")
    key_count = keys.shape[1]
    if channels % num_heads:
        raise ArgumentError(
            f"num_heads must be a positive int that divides D = {channels}, got {num_heads!r}; pass the model's heads."
        )
    if band is not None and (not isinstance(band, Integral) or isinstance(band, bool) or band < 1):
        raise ArgumentError(f"band must be a positive int or None, got {band!r}; pass how many keys a query may see.")
    if query.dtype not in TYPE_CODES:
        raise ArgumentError(
            f"q_audio must be float32, bfloat16 or (on CUDA) float16, got {query.dtype}; cast it to float32."
        )
    rows, pairs = (batch, query_count, channels), (batch, key_count, 2 * channels)
    for name, operand in found.items():
        if name.startswith("kv"):
            _check_operand(operand, pairs, query.dtype, query)
        elif name.startswith(("q", "residual")):
            _check_operand(operand, rows, query.dtype, query)
        elif name.startswith("key_mask"):
            _check_operand(operand, (batch, key_count), "bool", query)
        elif band is None:
            raise ArgumentError(f"{name} must come with a band, got band=None; pass band=W for a bias of shape (H, W).")
        else:
            _check_operand(operand, (num_heads, band), "float32", query)
    return batch, query_count, key_count, channels, channels // num_heads


def _band_of(found: dict[str, Operand], band: int | None) -> int:
    """Returns the band for the kernel: at most all keys, unless a bias has a place for each of its ages; 0 for none."""
    if band is None:
        return 0
    if any(name.startswith("age_bias") for name in found):
        return int(band)
    return int(min(band, max(found["kv_audio"].shape[1], 1)))


def _check_operand(operand: Operand, shape: tuple[int, ...], dtype: str, first: Operand) -> None:
    """Checks an operand's shape, type, device and contiguous rows.

    Raises:
        ArgumentError: one of them does not fit.
    """
    if operand.shape != shape:
        raise ArgumentError(
            f"{operand.name} must have shape {shape}, got {operand.shape}; check it against q_audio "
            f"{first.shape} and num_heads."
        )
    if operand.dtype != dtype and not (dtype == "bool" and operand.dtype == "uint8"):
        raise ArgumentError(f"{operand.name} must be {dtype}, got {operand.dtype}; cast it.")
    if (operand.device, operand.device_index) != (first.device, first.device_index):
        raise ArgumentError(
            f"{operand.name} must lie on {first.device}:{first.device_index} as q_audio does, got "
            f"{operand.device}:{operand.device_index}; move it."
        )
    if operand.strides[-1] != 1 and shape[-1] > 1 and 0 not in shape:
        raise ArgumentError(
            f"{operand.name} must be contiguous along its last axis, got strides {operand.strides}; copy it."
        )
    if operand.name.startswith("age_bias") and shape[0] > 1 and operand.strides[0] != shape[1]:
        raise ArgumentError(f"{operand.name} must be contiguous, got strides {operand.strides}; copy it.")


def _modality(found: dict[str, Operand], which: str) -> tuple[int, ...]:
    """Returns the addresses and strides of one modality, in the order of csrc/python/bind_cross_modal_attention.cc."""
    query, pair = found["q_" + which], found["kv_" + which]
    rest: tuple[int, ...] = _ABSENT
    if len(found) > 4:
        mask, bias = found.get("key_mask_" + which), found.get("age_bias_" + which)
        residual = found.get("residual_" + which)
        rest = (
            *((0, 0) if mask is None else (mask.address, mask.strides[0])),
            0 if bias is None else bias.address,
            *((0, 0, 0) if residual is None else (residual.address, *residual.strides[:2])),
        )
    return (query.address, *query.strides[:2], pair.address, *pair.strides[:2], *rest)


def _weights(alpha: Any, beta: Any, target: Operand) -> tuple[float, float, int, int]:
    """Returns alpha and beta as numbers, and as addresses where they are 0-d arrays on the card.

    Raises:
        ArgumentError: one is neither.
    """
    values, addresses = [], []
    for name, weight in (("alpha", alpha), ("beta", beta)):
        on_card = target.device == "cuda" and (
            hasattr(weight, "__dlpack_device__") or hasattr(weight, "__cuda_array_interface__")
        )
        operand = describe(weight, name) if on_card else None
        if operand is not None and operand.device == "cuda":
            if operand.shape != () or operand.dtype != "float32":
                raise ArgumentError(
                    f"{name} must be a number or a 0-d float32 array, got shape {operand.shape} of {operand.dtype}; "
                    "reshape and cast it."
                )
            values.append(0.0)
            addresses.append(operand.address)
            continue
        try:
            values.append(_finite(weight))
        except Exception as error:  # any error of its __float__ raises
            raise ArgumentError(
                f"{name} must be a number or a 0-d array, got {shown(weight)} ({reason_of(error)}); pass the learned weight."
            ) from error
        addresses.append(0)
    return values[0], values[1], addresses[0], addresses[1]


def _finite(weight: Any) -> float:
    """Returns a weight as the kernel takes it.

    Raises:
        ValueError: it is no finite number of float32.
    """
    value = float(weight)
    if not abs(value) <= MOST_WEIGHT:
        raise ValueError(f"{value} is not finite in float32")
    return value


def _run_cpu(packed: tuple[Any, ...], dtype: str, head_size: int, threads: int) -> None:
    """Runs the CPU kernel.

    Raises:
        ArgumentError: the CPU has no form for this type or head size.
    """
    if dtype not in _CPU_TYPES:
        raise ArgumentError(f"q_audio must be float32 or bfloat16 on the CPU, got {dtype}; cast it to float32.")
    threads = check_whole("threads", threads, 1, MOST_THREADS, "pass 1 for the calling thread alone.")
    try:
        done = head_size <= MOST_HEAD_SIZE and native().cross_modal_attention_cpu(*packed, threads)
    except MemoryError as error:
        raise ArgumentError(f"arrays must fit into memory, got {packed[0][1:4]} as B, Tq, Tk; {SMALLER}") from error
    if not done:
        raise ArgumentError(
            f"num_heads must give a head size that is a multiple of 16 up to 256, got head size {head_size}; "
            "choose other heads."
        )


def _run_cuda(packed: tuple[Any, ...], head_size: int, stream: int) -> None:
    """Queues the CUDA kernel.

    Raises:
        ArgumentError: the head size is none of the four.
        BackendUnavailableError: this build has no CUDA.
        DeviceError: the driver refuses the launch.
    """
    launch = getattr(native(), "cross_modal_attention_cuda", None)
    if launch is None:
        raise BackendUnavailableError(
            "edgeaff must be built with CUDA for arrays on a GPU, got a build without it; install the CUDA toolkit "
            "(nvcc) and reinstall from source with EDGEAFF_CUDA=ON, or pass NumPy arrays."
        )
    if head_size not in CUDA_HEAD_SIZES:
        raise ArgumentError(
            f"num_heads must give a head size of 16, 32, 64 or 128 on CUDA, got head size {head_size}; choose other heads."
        )
    error = launch(*packed, stream)
    if error:
        raise DeviceError(
            f"the CUDA kernel must start, got {error}; check that the driver is new enough (nvidia-smi) and that this "
            "build holds code for the card (edgeaff doctor)."
        )


def _choose_stream(found: dict[str, Operand], stream: int | None) -> int:
    """Returns the stream asked for, else the first that an array names, else the default stream."""
    if stream is not None:
        return check_whole("stream", stream, 0, (1 << 64) - 1, "pass a CUDA stream handle, or None.")
    named = (operand.stream for operand in found.values() if operand.stream is not None)
    return next(named, 0)
