"""Packs the two face graphs of a bundle for the native networks: `face_nets.npz`, with a certificate of its bytes.

    python -m edgeaff.export.pack_face IN.eaff OUT.eaff [--crops CROPS.npy]

makes both graphs exact (`edgeaff.export.face_graphs`), packs them, compares every quantized tensor with ONNX Runtime and writes
the bundle with the new graphs, the packed networks, and `native` as its default backend. CROPS.npy holds faces, (N, 96, 96, 3)
uint8; drawn images are compared in any case. A graph of another form is refused by name, and nothing is written: such a bundle
goes on running on ONNX Runtime.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends.engines import import_onnxruntime, session_options
from edgeaff.backends.native_face import ARCHITECTURE, FACE_NETS, FORMAT, NETS
from edgeaff.backends.onnx_edit import load, without_quantization
from edgeaff.bundle import ModelBundle, pack_arrays
from edgeaff.errors import BundleError
from edgeaff.export.certificate import versions
from edgeaff.export.face_graphs import exact_front, snap_image_layer
from edgeaff.export.pack_net import NetPacker
from edgeaff.features.face import normalize
from edgeaff.ops.face_nets import FaceNet, net_arrays

CONTRASTS = (1.0, 0.3, 0.1, 0.04, 0.02, 0.0)
CANVAS_SIZES = ((256, 320), (192, 320), (96, 96))
logger = logging.getLogger(__name__)


def pack_face(detector: bytes, encoder: bytes, *, crop_size_px: int = 96) -> dict[str, np.ndarray]:
    """Returns the arrays of `face_nets.npz`.

    Args:
        detector: QDQ graph, `image` (1, 3, H, W) uint8 to maps.
        encoder: QDQ graph with the exact front, `face` (1, 3, S, S) to `descriptor`.
        crop_size_px: S.

    Returns:
        Arrays by name, as in edgeaff/ops/face_nets.py; `meta` names the graphs by their sha256.

    Raises:
        ArgumentError: a graph has a form that the native networks do not have; the node is named.
    """
    packed: dict[str, np.ndarray] = {}
    meta: dict[str, Any] = {"format": FORMAT, "architecture": ARCHITECTURE, "crop_size_px": crop_size_px}
    for name, model in zip(NETS, (detector, encoder), strict=True):
        packer = NetPacker(model, crop_size_px=crop_size_px)
        packed |= {f"{name}.{key}": array for key, array in packer.pack().items()}
        meta[name] = {"sha256": hashlib.sha256(model).hexdigest(), "outputs": packer.outputs}
    packed["meta"] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8).copy()
    return packed


def certify_face(
    packed: dict[str, np.ndarray],
    detector: bytes,
    encoder: bytes,
    crops: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
) -> dict[str, Any]:
    """Returns the certificate of packed networks: bytes that differ from ONNX Runtime, and the error to float32 of both.

    Args:
        packed: from `pack_face`.
        detector: the graph that was packed.
        encoder: likewise.
        crops: (96, 96, 3) uint8 faces.
        images: (3, H, W) uint8 inputs of the detector.

    Returns:
        graph "face_nets", backend, precision, versions; per network the images and bytes compared, the bytes that differ (of the
        detector in the first layer too), the largest difference of an output, and the relative L2 error of the outputs to
        those of the graph in float32, of the packed network and of ONNX Runtime; date.
    """
    made: dict[str, Any] = {"graph": "face_nets", "backend": "native", "precision": "int8"}
    made["versions"] = versions("native") | {"onnxruntime": versions("onnxruntime")["onnxruntime"]}
    feeds = [{"image": image[None]} for image in images]
    faces = [{"face": normalize(crop)[None]} for crop in crops]
    for name, model, inputs, feed in zip(NETS, (detector, encoder), (images, crops), (feeds, faces), strict=True):
        figures = _compare(NetPacker(model), FaceNet(net_arrays(packed, name), strips=False), model, inputs, feed)
        made |= {f"{name}_{key}": value for key, value in figures.items()}
    return {**made, "date": datetime.now(timezone.utc).date().isoformat()}


def require_equal(certificate: dict[str, Any]) -> None:
    """Refuses packed networks whose bytes differ from those of the graphs.

    Args:
        certificate: from `certify_face`.

    Raises:
        BundleError: a byte of the encoder differs, or one of the detector although its first layer is equal.
    """
    for name in NETS:
        differing = certificate[f"{name}_bytes_differing"]
        if differing and not certificate[f"{name}_first_layer_differing"]:
            raise BundleError(
                f"{name} must give the bytes of its graph, got {differing} of {certificate[f'{name}_bytes_compared']} that differ; "
                "run this graph on ONNX Runtime."
            )


def _compare(
    packer: NetPacker, net: FaceNet, model: bytes, inputs: Sequence[np.ndarray], feeds: Sequence[dict[str, np.ndarray]]
) -> dict[str, Any]:
    """Returns the figures of one network. packer: of its graph; feeds: the inputs as ONNX Runtime takes them."""
    packer.pack()
    engine, wide = _session(model, packer.names), _session(without_quantization(model))
    compared = differing = first_layer = 0
    largest = 0.0
    squares = np.zeros(3)  # of the float32 outputs, of the packed network's error, of ONNX Runtime's
    for image, feed in zip(inputs, feeds, strict=True):
        height, width = image.shape[1:] if image.shape[0] == 3 else image.shape[:2]
        expected = engine.run([*packer.outputs, *packer.names], feed)
        reference = wide.run(packer.outputs, feed)
        written: dict[int, np.ndarray] = {}
        for tensors in net.run_steps(image, height=height, width=width):
            written.update(tensors)
        for index, tensor in enumerate(expected[len(packer.outputs) :]):
            wrong = int((written[index].transpose(2, 0, 1) != tensor[0]).sum())
            compared, differing, first_layer = (
                compared + tensor.size,
                differing + wrong,
                first_layer + wrong * (index == 0),
            )
        for output, one, exact in zip(net.run(image, height=height, width=width), expected, reference, strict=False):
            values = (
                output.transpose(2, 0, 1)
                .reshape(16 if one.ndim == 4 else one.size, -1)[: one.shape[1]]
                .reshape(one.shape)
            )
            largest = max(largest, float(np.abs(values - one).max()))
            squares += [float((part.astype(np.float64) ** 2).sum()) for part in (exact, values - exact, one - exact)]
    errors = np.sqrt(squares[1:] / max(squares[0], 1e-30))
    return {
        "images": len(inputs),
        "bytes_compared": compared,
        "bytes_differing": differing,
        "first_layer_differing": first_layer,
        "max_abs_difference": largest,
        "error_to_float32": round(float(errors[0]), 6),
        "error_to_float32_onnxruntime": round(float(errors[1]), 6),
    }


def _session(model: bytes, names: Sequence[str] = ()) -> Any:
    """Returns an ONNX Runtime session that gives these uint8 tensors too."""
    import onnx

    parsed = load(model)
    parsed.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    runtime = import_onnxruntime()
    return runtime.InferenceSession(parsed.SerializeToString(), session_options(), providers=["CPUExecutionProvider"])


def drawn_crops(count: int = 6, size: int = 96) -> list[np.ndarray]:
    """Returns drawn images in place of faces, (size, size, 3) uint8, from full contrast to none, and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] * (np.pi / size)
    crops = []
    for index in range(count):
        waves = np.stack(
            [np.sin((index + 1) * x + shift) * np.cos((index % 3 + 1) * y - shift) for shift in range(3)], -1
        )
        crops += [np.rint(60 + 10 * index + 60 * contrast * waves).astype(np.uint8) for contrast in CONTRASTS]
        crops.append(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
    return [*crops, np.zeros((size, size, 3), np.uint8), np.full((size, size, 3), 255, np.uint8)]


def drawn_images(crops: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns inputs of the detector, (3, H, W) uint8: noise, and mosaics of crops at three sizes."""
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (3, *size), dtype=np.uint8) for size in CANVAS_SIZES]
    for index, (height, width) in enumerate(CANVAS_SIZES * 4):
        image = np.full((3, height, width), 20 * index % 256, np.uint8)
        for row in range(0, height - 95, 96):
            for column in range(0, width - 95, 96):
                image[:, row : row + 96, column : column + 96] = crops[int(rng.integers(len(crops)))].transpose(2, 0, 1)
        images.append(image)
    return images


def pack_bundle(bundle: ModelBundle, crops: Sequence[np.ndarray] = ()) -> tuple[ModelBundle, dict[str, Any]]:
    """Returns a bundle with exact face graphs and packed networks, and the certificate of the latter.

    Args:
        bundle: with 8-bit face graphs.
        crops: faces for the certificate, (96, 96, 3) uint8; drawn images are added.

    Raises:
        ArgumentError: a graph has a form that the native networks do not have.
        BundleError: packed networks and graphs disagree.
    """
    size = bundle.spec.crop_size_px
    detector = snap_image_layer(bundle.graph_bytes("face_detector"))
    encoder = exact_front(bundle.graph_bytes("face_encoder"), crop_size_px=size)
    packed = pack_face(detector, encoder, crop_size_px=size)
    faces = [*crops, *drawn_crops(size=size)]
    certificate = certify_face(packed, detector, encoder, faces, drawn_images(faces))
    require_equal(certificate)
    manifest = bundle.manifest
    card = {**manifest.detector.card, "sha256": hashlib.sha256(detector).hexdigest(), "bytes": len(detector)}
    kept = [one for one in manifest.certificates if one.get("graph") != "face_nets"]
    manifest = replace(
        manifest,
        detector=replace(manifest.detector, card=card),
        certificates=(*kept, certificate),
    )
    graphs = manifest.graphs
    members = {
        **bundle.members,
        graphs["face_detector"]: detector,
        graphs["face_encoder"]: encoder,
        FACE_NETS: pack_arrays(packed),
    }
    return ModelBundle(bundle.path, manifest, members), certificate


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--crops", type=Path, help="faces for the certificate, .npy (N, 96, 96, 3) uint8")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    crops = [] if options.crops is None else list(np.load(options.crops, allow_pickle=False))
    made, certificate = pack_bundle(ModelBundle.load(options.bundle), crops)
    ModelBundle.save(options.output, made.manifest, made.members)
    logger.info("%s", json.dumps(certificate, indent=1))


if __name__ == "__main__":
    main()
