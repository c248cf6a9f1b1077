"""The one path from raw frames and samples to the model's input, for Session and for training."""

from edgeaff.preprocess.inputs import FaceInput, InputCounts, InputTap, PreprocessParts, TickInput
from edgeaff.preprocess.parts import parts_from_bundle, trial_inputs
from edgeaff.preprocess.preprocessor import Preprocessor

__all__ = [
    "FaceInput",
    "InputCounts",
    "InputTap",
    "PreprocessParts",
    "Preprocessor",
    "TickInput",
    "parts_from_bundle",
    "trial_inputs",
]
