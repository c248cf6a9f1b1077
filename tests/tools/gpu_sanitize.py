"""A few launches of every form of the CUDA kernel, small, for compute-sanitizer: `compute-sanitizer python gpu_sanitize.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from edgeaff.ops.cross_modal_attention import cross_modal_attention
from tests.ops.attention_cases import float64_result, make_case


def main() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        for head_size in (16, 32, 64, 128):
            for lengths in ((1, 100), (17, 33), (70, 100), (40, 200)):
                case = make_case(1, 2, *lengths, 1, head_size, masks=True, band=50, residuals=True)
                card = {
                    name: torch.from_numpy(value).cuda() if isinstance(value, np.ndarray) else value
                    for name, value in case.items()
                }
                for name, value in card.items():
                    if name.startswith(("q_", "kv_", "residual_")):
                        card[name] = value.to(dtype)
                result = cross_modal_attention(**card).float().cpu().numpy()
                error = float(np.abs(result - float64_result(case)).max())
                print(dtype, head_size, lengths, f"{error:.2e}")
                if not error < 0.1:
                    raise SystemExit("the kernel is wrong")


if __name__ == "__main__":
    main()
