"""Scores an exported face encoder on FER+: accuracy, CCC, and how much each disturbance costs.

`python -m recipes.face_encoder.evaluate FOLDER OUT.json` reads what the exporter wrote there.
The graph that ships is scored, through the normalization of the runtime. The result also goes into the bundle as
`face_encoder.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.features.face import normalize
from edgeaff.machine import stamp
from edgeaff.measures import ccc
from edgeaff.training.corpora.ferplus import EMOTIONS
from edgeaff.types import DIMENSIONS
from recipes.face_encoder.augment import blur, compress, plain, warp
from recipes.face_encoder.data import CROP_MARGIN, FaceSet, default_data, read_split

Encode = Callable[[np.ndarray], np.ndarray]
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def session_of(graph: bytes) -> Any:
    """Returns an ONNX Runtime session on one thread."""
    from edgeaff.backends.engines import import_onnxruntime, session_options

    return import_onnxruntime().InferenceSession(graph, session_options(), providers=["CPUExecutionProvider"])


def encoder_of(session: Any, batch: int = 64) -> Encode:
    """Returns a function from crops (N, 96, 96) or (N, 96, 96, 3) uint8 to descriptors (N, D)."""

    def encode(crops: np.ndarray) -> np.ndarray:
        rgb = crops if crops.ndim == 4 else np.repeat(crops[..., None], 3, axis=3)
        parts = [rgb[start : start + batch] for start in range(0, len(rgb), batch)]
        return np.concatenate([session.run(["descriptor"], {"face": normalize(part)})[0] for part in parts])

    return encode


def tint(frame: np.ndarray, gains: tuple[float, float, float]) -> np.ndarray:
    """Returns a gray frame under colored light: (H, W) -> (H, W, 3) uint8."""
    return np.clip(frame[..., None] * np.array(gains) + 0.5, 0, 255).astype(np.uint8)


def level(frame: np.ndarray, *, gain: float = 1.0, gamma: float = 1.0) -> np.ndarray:
    """Returns the frame at another exposure: 255 (x / 255)^gamma * gain, clipped."""
    return np.clip(255.0 * np.power(frame / 255.0, gamma) * gain + 0.5, 0, 255).astype(np.uint8)


def jitter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the crop of a box of which every edge is off by up to 10 % of its side."""
    left, top, right, bottom = random.uniform(-0.1, 0.1, 4)
    scale = max(1 + right - left, 1 + bottom - top)  # the crop rule squares the longer side around the center
    return warp(image, scale=float(scale), shift=(float(left + right) / 2, float(top + bottom) / 2))


def soften(frame: np.ndarray, sigma: float) -> np.ndarray:
    """Returns the frame out of focus; sigma in pixels of the 96-px crop."""
    import cv2

    return cv2.GaussianBlur(frame, (0, 0), sigma)


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """Returns the crop of a face that is only `side` px large."""
    import cv2

    return plain(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))


def grain(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame in low light: a quarter of the level, grain of 3 levels."""
    noise = 3.0 * random.standard_normal(frame.shape)
    return np.clip(np.rint(frame * 0.25 + noise), 0, 255).astype(np.uint8)


def shifted(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the crop of a box that is off by 10 % of its side in x and y."""
    return warp(image, shift=(0.1 * random.choice((-1, 1)), 0.1 * random.choice((-1, 1))))


def unfocused(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the crop with the blur of the training's augmentation."""
    return np.rint(blur(plain(image).astype(np.float32), random)).astype(np.uint8)


# Each takes a 48-px tile and gives the 96-px crop.
DISTURBANCES: dict[str, Change] = {
    "crop jitter +-10 % (every edge)": jitter,
    "crop 10 % tighter": lambda image, random: warp(image, scale=0.9),
    "crop 10 % wider": lambda image, random: warp(image, scale=1.1),
    "shift by 10 %": shifted,
    "rotation 15 degrees": lambda image, random: warp(image, degrees=15.0 * float(random.choice((-1, 1)))),
    "brightness x 0.5": lambda image, random: level(plain(image), gain=0.5),
    "brightness x 1.5": lambda image, random: level(plain(image), gain=1.5),
    "gamma 0.6": lambda image, random: level(plain(image), gamma=0.6),
    "gamma 1.7": lambda image, random: level(plain(image), gamma=1.7),
    "blur sigma 1.5 px": lambda image, random: soften(plain(image), 1.5),
    "blur sigma 2.5 px": lambda image, random: soften(plain(image), 2.5),
    "focus or motion blur, random": unfocused,
    "JPEG 40": lambda image, random: compress(plain(image), 40),
    "face of 32 px": lambda image, random: shrink(image, 32),
    "low light": lambda image, random: grain(plain(image), random),
    "warm light": lambda image, random: tint(plain(image), (1.0, 0.8, 0.55)),
    "mirrored": lambda image, random: plain(image[:, ::-1].copy()),
    "brightness x 1.3": lambda image, random: level(plain(image), gain=1.3),
}
# What the issue asks to cost at most 0.03. Brightness x 1.5 is shown but is no part of it: it saturates the face, and what
# is clipped is gone (`clipped_pixels`).
BAR_NAMES = (
    "crop jitter +-10 % (every edge)",
    "rotation 15 degrees",
    "brightness x 0.5",
    "brightness x 1.3",
    "blur sigma 1.5 px",
    "JPEG 40",
)


def affect_of(descriptors: np.ndarray, heads: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns valence, arousal (N, 2) of the linear head."""
    return descriptors @ heads["affect_weight"].T + heads["affect_bias"]


def emotions_of(descriptors: np.ndarray, heads: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns emotion probabilities (N, 8)."""
    logits = descriptors @ heads["emotion_weight"].T + heads["emotion_bias"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def scores(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Returns CCC of valence and arousal."""
    return {name: round(ccc(prediction[:, k], target[:, k]), 4) for k, name in enumerate(DIMENSIONS)}


def interval(prediction: np.ndarray, target: np.ndarray, *, repeats: int = 500) -> dict[str, list[float]]:
    """Returns the 95 % percentile interval of each CCC from resampling faces."""
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(target), len(target)) for _ in range(repeats)]
    rows = [list(scores(prediction[i], target[i]).values()) for i in draws]
    low, high = np.percentile(rows, [2.5, 97.5], axis=0).round(4).tolist()
    return {"valence": [low[0], high[0]], "arousal": [low[1], high[1]]}


def latency_ms(session: Any, repeats: int = 300) -> dict[str, float]:
    """Returns the time of one face on one thread, milliseconds."""
    face = np.random.default_rng(0).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        session.run(["descriptor"], {"face": face})
        times.append(1000 * (time.perf_counter() - started))
    return {name: round(float(np.percentile(times, q)), 3) for name, q in (("min", 0), ("median", 50), ("p95", 95))}


def evaluate(encode: Encode, heads: Mapping[str, np.ndarray], faces: FaceSet) -> dict[str, Any]:
    """Returns all scores of an encoder on one split.

    Args:
        encode: crops to descriptors.
        heads: linear heads as the exporter writes them.
        faces: the split.

    Returns:
        CCC with interval, accuracy on the majority vote, mean valence of happy and sad faces, CCC when disturbed.
    """
    descriptors = encode(np.stack([plain(image) for image in faces.images]))
    affect, emotions = affect_of(descriptors, heads), emotions_of(descriptors, heads)
    majority = faces.votes.argmax(axis=1)
    means = {name: float(affect[majority == EMOTIONS.index(name), 0].mean()) for name in ("happiness", "sadness")}
    clean = scores(affect, faces.affect)
    result: dict[str, Any] = {
        "faces": len(faces),
        "ccc": clean,
        "ccc_interval_95": interval(affect, faces.affect),
        "ccc_of_emotion_expectation": scores(emotions @ heads["anchors"], faces.affect),
        "accuracy_on_majority_vote": round(float((emotions.argmax(axis=1) == majority).mean()), 4),
        "valence_gap_happy_sad": round(means["happiness"] - means["sadness"], 4),
        "disturbed": {},
    }
    for index, (name, change) in enumerate(DISTURBANCES.items()):
        random = np.random.default_rng([7, index])
        crops = np.stack([change(one, random) for one in faces.images])
        disturbed = scores(affect_of(encode(crops), heads), faces.affect)
        clipped = {"clipped_pixels": round(float((crops == 255).mean()), 3)}
        loss = {f"loss_{key}": round(clean[key] - disturbed[key], 4) for key in clean}
        result["disturbed"][name] = {**disturbed, **loss, **clipped}
    result["worst_loss_of_the_bar"] = max(
        max(result["disturbed"][name]["loss_valence"], result["disturbed"][name]["loss_arousal"]) for name in BAR_NAMES
    )
    return result


def main() -> None:
    """Evaluates from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    graph = (arguments.folder / "face_encoder.onnx").read_bytes()
    heads = dict(np.load(arguments.folder / "heads.npz"))
    session = session_of(graph)
    result = {
        "what": f"face encoder on FER+ {arguments.split}; labels: circumplex projection of ten raters' votes",
        **stamp(),
        "graph_sha256": hashlib.sha256(graph).hexdigest(),
        "graph_bytes": len(graph),
        "crop_margin": CROP_MARGIN,
        "descriptor_size": int(heads["affect_weight"].shape[1]),
        "anchors_valence_arousal": dict(zip(EMOTIONS, heads["anchors"].astype(float).round(3).tolist(), strict=True)),
        "latency_ms_one_thread": latency_ms(session),
        **evaluate(encoder_of(session), heads, read_split(arguments.data, arguments.split)),
        "training": json.loads((arguments.folder / "training.json").read_text()),
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
