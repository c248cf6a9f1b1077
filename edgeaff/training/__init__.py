"""Training, evaluation and ablation of every system of the paper. Needs torch."""

SPLITS = ("train", "valid", "test")  # of every corpus
