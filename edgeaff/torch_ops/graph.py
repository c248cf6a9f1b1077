"""A torch module behind the protocol of a graph: the reference for the comparison of exports.

The caller passes a trained network.

    graph = TorchGraph(step_module, inputs={"video": (1, 128), ...}, outputs=("values", ...))
    predictor = StreamingPredictor(graph)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from edgeaff.errors import ArgumentError


class TorchGraph:
    """Runs a module in evaluation mode on the processor; see `edgeaff.backends.Graph`.

    Args:
        module: forward takes tensors in the order of `inputs`, gives one tensor or a tuple in the order of `outputs`.
        inputs: name -> shape, None where free.
        outputs: names in order.

    Attributes:
        backend: "torch".
        precision: "float32".
        inputs: name -> shape.
        outputs: names in order.
    """

    backend = "torch"
    precision = "float32"

    def __init__(
        self, module: nn.Module, *, inputs: Mapping[str, tuple[int | None, ...]], outputs: Sequence[str]
    ) -> None:
        self._module = module.eval()
        self.inputs = dict(inputs)
        self.outputs = tuple(outputs)

    @torch.no_grad()
    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name for these inputs by name.

        Args:
            feeds: all inputs.

        Returns:
            name -> array.

        Raises:
            ArgumentError: an input is missing or has another shape, or the module gives another number of outputs.
        """
        for name, shape in self.inputs.items():
            found = feeds[name].shape if name in feeds else None
            if (
                found is None
                or len(found) != len(shape)
                or any(size not in (None, given) for size, given in zip(shape, found, strict=True))
            ):
                raise ArgumentError(f"{name} must have shape {shape}, got {found}; feed every input of the module.")
        given = self._module(*(torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in self.inputs))
        results = given if isinstance(given, tuple) else (given,)
        if len(results) != len(self.outputs):
            raise ArgumentError(
                f"outputs must name what the module gives, got {len(self.outputs)} names for {len(results)} tensors; correct them."
            )
        return {name: result.numpy() for name, result in zip(self.outputs, results, strict=True)}
