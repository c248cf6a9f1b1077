"""The plain-ONNX body of `edgeaff::CrossModalAttention`, so that a graph with it runs everywhere.

ONNX Runtime inlines the body; a TensorRT plugin or a custom-op library takes the node instead. Twelve positional inputs
in the order of `edgeaff.ops.cross_modal_attention`; an input that a file does not give is the empty name, and the
body made for that file does not mention it (ONNX Runtime refuses a body that does).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from edgeaff.backends.onnx_edit import DOMAIN, OP_TYPE, OPSET
from edgeaff.ops.cross_modal_attention import NODE_INPUTS

if TYPE_CHECKING:
    import onnx


_SIZES = """
    heads = Constant <value_int: int = @num_heads> ()
    head_axis = Reshape (heads, one)
    head_shape = Concat <axis = 0> (zero_zero, head_axis, minus_one)
    model_size = Shape <start = 2, end = 3> (q_audio)
    head_size = Div (model_size, head_axis)
    head_float = Cast <to = 1> (head_size)
    root = Sqrt (head_float)
"""
_CONSTANTS = """
    one = Constant <value_ints = [1]> ()
    minus_one = Constant <value_ints = [-1]> ()
    zero_zero = Constant <value_ints = [0, 0]> ()
    merged_shape = Constant <value_ints = [0, 0, -1]> ()
    lowest = Constant <value_float = -3.0e38> ()
    nothing = Constant <value_float = 0.0> ()
"""
_AGES = """
    band_size = Constant <value_int: int = @band> ()
    zero = Constant <value_int = 0> ()
    step = Constant <value_int = 1> ()
    query_axis = Shape <start = 1, end = 2> (q_audio)
    key_axis = Shape <start = 1, end = 2> (kv_audio)
    query_count = Squeeze (query_axis)
    key_count = Squeeze (key_axis)
    first_query = Sub (key_count, query_count)
    query_times = Range (first_query, key_count, step)
    query_column = Unsqueeze (query_times, one)
    key_times = Range (zero, key_count, step)
    age = Sub (query_column, key_times)
    not_future = GreaterOrEqual (age, zero)
    not_old = Less (age, band_size)
    in_band = And (not_future, not_old)
    oldest = Sub (band_size, step)
    bias_row = Clip (age, zero, oldest)
"""


def _direction(asks: str, answers: str, *, band: bool, mask: bool, bias: bool, residual: bool) -> str:
    """Returns the lines of one direction; its result is `branch_{asks}`."""
    p = f"{asks}_"
    lines = [
        f"{p}k, {p}v = Split <axis = 2, num_outputs = 2> (kv_{answers})",
        f"{p}q4 = Reshape (q_{asks}, head_shape)",
        f"{p}k4 = Reshape ({p}k, head_shape)",
        f"{p}v4 = Reshape ({p}v, head_shape)",
        f"{p}qh = Transpose <perm = [0, 2, 1, 3]> ({p}q4)",
        f"{p}kh = Transpose <perm = [0, 2, 3, 1]> ({p}k4)",
        f"{p}vh = Transpose <perm = [0, 2, 1, 3]> ({p}v4)",
        f"{p}dots = MatMul ({p}qh, {p}kh)",
        f"{p}scores = Div ({p}dots, root)",
    ]
    scores, visible = f"{p}scores", "in_band" if band else ""
    if bias:
        lines += [
            f"{p}bias = Gather <axis = 1> (age_bias_{answers}, bias_row)",
            f"{p}biased = Add ({scores}, {p}bias)",
        ]
        scores = f"{p}biased"
    if mask:
        lines.append(f"{p}keys = Unsqueeze (key_mask_{answers}, mask_axes)")
        if band:
            lines.append(f"{p}visible = And ({p}keys, in_band)")
        visible = f"{p}visible" if band else f"{p}keys"
    if visible:
        lines.append(f"{p}masked = Where ({visible}, {scores}, lowest)")
        scores = f"{p}masked"
    lines.append(f"{p}softmax = Softmax <axis = 3> ({scores})")
    weights = f"{p}softmax"
    if visible:  # a row that sees no key attends to nothing
        lines.append(f"{p}weights = Where ({visible}, {weights}, nothing)")
        weights = f"{p}weights"
    lines += [
        f"{p}mixed = MatMul ({weights}, {p}vh)",
        f"{p}rows = Transpose <perm = [0, 2, 1, 3]> ({p}mixed)",
        f"{p}attended = Reshape ({p}rows, merged_shape)",
    ]
    if residual:
        lines.append(f"{p}whole = Add ({p}attended, residual_{asks})")
    lines.append(f"branch_{asks} = Identity ({p}{'whole' if residual else 'attended'})")
    return "\n    ".join(lines)


def function_body(given: Collection[str], *, band: bool) -> onnx.FunctionProto:
    """Returns the model-local function for a node that gives these inputs.

    Args:
        given: names of NODE_INPUTS that are not absent; the first six must be there.
        band: whether the node's band is not 0.

    Returns:
        FunctionProto of domain `edgeaff`, attributes num_heads and band.
    """
    import onnx.parser

    parts = [_CONSTANTS]
    if "key_mask_audio" in given or "key_mask_video" in given:
        parts.append("    mask_axes = Constant <value_ints = [1, 2]> ()\n")
    parts += [_SIZES, _AGES if band else ""]
    for asks, answers in (("audio", "video"), ("video", "audio")):
        parts.append(
            "    "
            + _direction(
                asks,
                answers,
                band=band,
                mask=f"key_mask_{answers}" in given,
                bias=f"age_bias_{answers}" in given,
                residual=f"residual_{asks}" in given,
            )
            + "\n"
        )
    parts.append(
        "    weighted_audio = Mul (alpha, branch_audio)\n    weighted_video = Mul (beta, branch_video)\n"
        "    output = Add (weighted_audio, weighted_video)\n"
    )
    attributes = "num_heads, band" if band else "num_heads"
    header = (
        f'<opset_import: ["" : {OPSET}], domain: "{DOMAIN}">\n'
        f"{OP_TYPE} <{attributes}> ({', '.join(NODE_INPUTS)}) => (output)\n"
    )
    return onnx.parser.parse_function(header + "{" + "".join(parts) + "}")
