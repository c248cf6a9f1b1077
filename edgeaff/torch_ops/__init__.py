"""Torch code beside the runtime (extra `train`): the twin of the op, its differentiable adapter, and graphs of torch modules."""
