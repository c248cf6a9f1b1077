"""The training loop of the paper and its parts: configuration, windows, losses, metrics, checkpoints, ranks."""
