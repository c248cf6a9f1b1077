"""The recipes of the shipped model: face detector, face encoder, default bundle and the synthetic corpus. Not in the wheel.

Every recipe is run from the repository root, for example `python -m recipes.face_encoder.train`.
"""

import os
from pathlib import Path


def shared_folder() -> Path:
    """Returns the data folder of the recipes: EDGEAFF_SHARED, or ../shared."""
    return Path(os.environ.get("EDGEAFF_SHARED", "../shared"))
