"""Training, evaluation and ablation of every system of the paper. The only room, with export, that needs torch."""

import os
from pathlib import Path

SPLITS = ("train", "valid", "test")  # of every corpus


def shared_folder() -> Path:
    """Returns the folder of data that the recipes of what ships start from: EDGEAFF_SHARED, or ../shared."""
    return Path(os.environ.get("EDGEAFF_SHARED", "../shared"))
