"""The folded newest row against the op as written."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.ops import reference
from edgeaff.ops.newest_row import Direction, NewestRow


@pytest.mark.parametrize(("rows", "size", "num_heads"), [(1, 8, 2), (7, 12, 3), (100, 512, 4)])
def test_folded_newest_row_equals_the_op_as_written(rows: int, size: int, num_heads: int) -> None:
    rng = np.random.default_rng(rows)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    directions = {
        name: Direction(normal(size, size), normal(size), normal(2 * size, size), normal(2 * size), weight)
        for name, weight in (("audio", 0.6), ("video", -0.3))
    }
    dense, bias = normal(2, size), normal(2)
    x = {name: 3 * rng.standard_normal((rows, size)).astype(np.float32) for name in ("audio", "video")}

    query = {n: x[n] @ directions[n].query_weight.T + directions[n].query_bias for n in x}
    # The audio direction's keys and values are made of video rows with its own weights, and the other way round.
    pairs = {
        "video": x["video"] @ directions["audio"].key_value_weight.T + directions["audio"].key_value_bias,
        "audio": x["audio"] @ directions["video"].key_value_weight.T + directions["video"].key_value_bias,
    }
    mixed = reference.cross_modal_attention(
        query["audio"][None],
        pairs["audio"][None],
        query["video"][None],
        pairs["video"][None],
        0.6,
        -0.3,
        num_heads=num_heads,
    )
    expected = mixed[0, -1] @ dense.T + bias
    row = NewestRow(directions["audio"], directions["video"], dense, bias, num_heads=num_heads)
    # Measured: 4e-7.
    np.testing.assert_allclose(row(x["audio"], x["video"]), expected, atol=3e-6)
