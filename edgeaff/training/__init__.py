"""Training, evaluation and ablation of every system of the paper. The only room, with export, that needs torch."""

SPLITS = ("train", "valid", "test")  # of every corpus
