"""Checks the packed face networks of a bundle on this machine: against their NumPy twin to the byte, and against installed engines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.backends.face import has_native_nets
from edgeaff.backends.native_face import FACE_NETS, NETS, load_native_face
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BackendUnavailableError, BundleError
from edgeaff.features.face import normalize
from edgeaff.ops.face_nets import FaceNet, net_arrays
from edgeaff.ops.reference_nets import run_net

ENGINES = ("onnxruntime", "openvino")
LEAST_COSINE = 0.98  # of the outputs with those of an engine; a different order of float sums reaches 0.9999999
IMAGE_SIZE = (96, 128)
ROLES = ("face_detector", "face_encoder")


@dataclass(frozen=True, slots=True)
class FaceAgreement:
    """Agreement of packed networks with another engine on the same graphs.

    Attributes:
        other: "twin" (NumPy), or the backend.
        instruction_set: what the packed networks ran on.
        bytes_differing: tensors and outputs together, against the twin; None against an engine.
        cosine: lowest of detector and encoder, of all outputs together.
        largest_difference: of any output.
    """

    other: str
    instruction_set: str
    bytes_differing: int | None
    cosine: float
    largest_difference: float

    def __str__(self) -> str:
        if self.bytes_differing is not None:
            return f"{self.bytes_differing} bytes differ from the NumPy twin"
        return f"largest difference from {self.other} {self.largest_difference:.1e}, cosine {self.cosine:.7f}"


def drawn_inputs(crop_size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns an input of the detector, (3, H, W) uint8, and one of the encoder, (S, S, 3) uint8: waves and noise."""
    height, width = IMAGE_SIZE
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / width
    waves = [128 + 60 * np.sin(9 * x + shift) * np.cos(7 * y - shift) for shift in range(3)]
    image = (np.stack(waves) + rng.integers(-20, 21, (3, height, width))).astype(np.uint8)
    face = np.resize(image[:, :crop_size_px, :crop_size_px], (3, crop_size_px, crop_size_px))
    return image, np.ascontiguousarray(face.transpose(1, 2, 0))


def verify_face(bundle: ModelBundle) -> list[FaceAgreement]:
    """Returns the agreement with the twin, then with each engine that is installed; nothing where no networks are packed.

    Args:
        bundle: a verified bundle.

    Raises:
        BundleError: a byte differs from the twin, or an engine gives other outputs.
    """
    if not has_native_nets(bundle):
        return []
    found = [_with_twin(bundle)]
    for engine in ENGINES:
        try:
            found.append(_with_engine(bundle, engine))
        except BackendUnavailableError:
            continue
    for one in found:
        if one.bytes_differing or not one.cosine >= LEAST_COSINE:
            raise BundleError(
                f"packed face networks must agree with {one.other}, got: {one}; use another backend here."
            )
    return found


def _with_twin(bundle: ModelBundle) -> FaceAgreement:
    arrays = bundle.arrays(FACE_NETS)
    differing, largest, name = 0, 0.0, ""
    for part, image in zip(NETS, drawn_inputs(bundle.spec.crop_size_px), strict=True):
        height, width = image.shape[1:] if image.shape[0] == 3 else image.shape[:2]
        net = FaceNet(net_arrays(arrays, part), strips=False)
        name = net.instruction_set
        tensors, outputs = run_net(net_arrays(arrays, part), image)
        for written in net.run_steps(image, height=height, width=width):
            differing += sum(int((tensor != tensors[index]).sum()) for index, tensor in written.items())
        for made, expected in zip(net.run(image, height=height, width=width), outputs, strict=True):
            differing += int((made.view(np.uint8) != expected.view(np.uint8)).sum())
            largest = max(largest, float(np.abs(made - expected).max()))
    return FaceAgreement("twin", name, differing, 1.0 if differing == 0 else 0.0, largest)


def _with_engine(bundle: ModelBundle, engine: str) -> FaceAgreement:
    arrays = bundle.arrays(FACE_NETS)
    lowest, largest = 1.0, 0.0
    image, face = drawn_inputs(bundle.spec.crop_size_px)
    for role, feeds in zip(ROLES, ({"image": image[None]}, {"face": normalize(face)[None]}), strict=True):
        model = bundle.graph_bytes(role)
        made, expected = load_native_face(arrays, role, model).run(feeds), load_graph(model, backend=engine).run(feeds)
        first, second = (
            np.concatenate([np.asarray(one[name], np.float64).ravel() for name in made]) for one in (made, expected)
        )
        lowest = min(lowest, float(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-30)))
        largest = max(largest, float(np.abs(first - second).max()))
    return FaceAgreement(engine, "", None, lowest, largest)
