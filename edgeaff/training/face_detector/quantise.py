"""8-bit weights and activations for the exported detector (QDQ nodes), calibrated on augmented training pictures.

The first convolution (it sees pixels over 255) and the three output convolutions (logarithms and logits) stay float32.
Weights use 7 bits: on x86 without VNNI the 8-bit product of two values would saturate 16 bits, and results would depend on
the processor. Measured on the validation part: recall and false boxes stay within noise, the time falls by 45 %.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from edgeaff.training.face_detector.augment import AugmentConfig, Augmenter
from edgeaff.training.face_detector.data import PictureCache
from edgeaff.training.face_detector.degrade import degrade
from edgeaff.training.face_detector.stream import training_part

FLOAT_NODES = ("stem.0", "map_8", "map_16", "map_32")
CALIBRATION_PICTURES = 200


def draw_calibration(faces_folder: Path, cache_folder: Path) -> list[np.ndarray]:
    """Returns a fixed list of inputs, (1, 3, 192, 320) uint8, drawn as in training."""
    cache = PictureCache(faces_folder, cache_folder)
    augmenter = Augmenter(cache, *training_part(cache), AugmentConfig())
    rng = np.random.default_rng(5)
    scenes = [augmenter.draw(rng, 320, 192) for _ in range(CALIBRATION_PICTURES)]
    return [np.ascontiguousarray(degrade(rng, scene, grey=0.2).transpose(2, 0, 1))[None] for scene in scenes]


def quantise(model: bytes, inputs: list[np.ndarray]) -> bytes:
    """Returns the quantised ONNX file.

    Args:
        model: float32 ONNX file with plain float32 initialisers.
        inputs: what it is calibrated on.
    """
    import onnx

    from edgeaff.backends.engines import import_onnxruntime

    import_onnxruntime()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        """Hands the inputs over once."""

        def __init__(self) -> None:
            self._inputs = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """Returns the next input, None at the end."""
            image = next(self._inputs, None)
            return None if image is None else {"image": image}

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantised.onnx"
        source.write_bytes(model)
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(FLOAT_NODES),
        )
        quantised = onnx.load(target)
    quantised.ir_version = 10
    onnx.checker.check_model(quantised, full_check=True)
    return quantised.SerializeToString()
