"""The bundle: whether it is whole, and whether each backend of this machine gives what its certificate states."""

from __future__ import annotations

from typing import Any

from edgeaff.bundle import ModelBundle
from edgeaff.cli.doctor.finding import FAIL, OK, WARN, Finding
from edgeaff.cli.doctor.machine import _split
from edgeaff.errors import BundleError, EdgeaffError


def check_bundle(path: str | None) -> list[Finding]:
    """Returns whether the bundle can be used, then a self-test per backend.

    Args:
        path: the bundle, None for the shipped one.
    """
    try:
        bundle = ModelBundle.load(path)
    except EdgeaffError as error:
        return [Finding("bundle", FAIL, *_split(error))]
    manifest = bundle.manifest
    text = f"{manifest.model_id} ({manifest.preset}), preprocessing {bundle.spec.fingerprint}, {len(bundle.members)} members verified"
    data = {"model_id": manifest.model_id, "fingerprint": bundle.spec.fingerprint, "path": str(bundle.path)}
    return [Finding("bundle", OK, text, "", data), *check_engines(bundle), *check_face_networks(bundle)]


def check_engines(bundle: ModelBundle) -> list[Finding]:
    """Returns the self-test of each backend: the golden sequences of the bundle, computed here.

    Args:
        bundle: a verified bundle.
    """
    from edgeaff.bundle import GOLDEN
    from edgeaff.export.certificate import BACKENDS, certify_available

    if GOLDEN not in bundle.members:
        return [Finding("engine", WARN, "the bundle has no golden sequences", "export it with them to have it tested.")]
    default = bundle.manifest.default_backend
    findings = []
    for backend in BACKENDS:
        name = f"{backend}{' (default)' if backend == default else ''}"
        try:
            made, absent = certify_available(bundle, (backend,))
        except EdgeaffError as error:
            findings.append(Finding("engine", FAIL if backend == default else WARN, f"{name}: {error}", "use another."))
            continue
        if absent:
            level = FAIL if backend == default else OK
            text, advice = _split(BundleError(absent[backend]))
            findings.append(
                Finding("engine", level, f"{name}: {text}", advice if level == FAIL else "", {"backend": backend})
            )
        for certificate in made:
            findings.append(_judge(bundle, name, certificate))
    return findings


def check_face_networks(bundle: ModelBundle) -> list[Finding]:
    """Returns whether the packed face networks give the bytes of their twin here, and the outputs of installed engines."""
    from edgeaff.export.verify_face import verify_face

    try:
        found = verify_face(bundle)
    except EdgeaffError as error:
        return [Finding("engine", FAIL, *_split(error))]
    if not found:
        return [Finding("engine", OK, "face networks: none packed, the face graphs run on ONNX Runtime")]
    text = f"face networks native {found[0].instruction_set}: {'; '.join(map(str, found))}"
    data = {"instruction_set": found[0].instruction_set, "compared_with": [one.other for one in found]}
    return [Finding("engine", OK, text, "", data)]


def _judge(bundle: ModelBundle, name: str, certificate: dict[str, Any]) -> Finding:
    from edgeaff.export.certificate import describe
    from edgeaff.golden import require_parity

    text = f"{name}: {describe(certificate).partition(': ')[2]}"
    differences = engine_differences(bundle, certificate)
    if differences:
        text += f"; the bundle was certified with {', '.join(differences)}"
    try:
        require_parity(certificate)
    except BundleError as error:
        return Finding("engine", FAIL, f"{name}: {_split(error)[0]}", "choose another backend.", certificate)
    return Finding("engine", OK, text, "", {**certificate, "differences": differences})


def engine_differences(bundle: ModelBundle, certificate: dict[str, Any]) -> list[str]:
    """Returns the differences from the machine that certified the bundle: "onnxruntime 1.32.0 (here 1.30.1)".

    Args:
        bundle: holds the certificates.
        certificate: made here, of one backend.
    """
    there = next((known for known in bundle.manifest.certificates if known["backend"] == certificate["backend"]), None)
    if there is None:
        return []
    here = certificate["versions"]
    return [
        f"{name} {value} (here {here.get(name)})"
        for name, value in sorted(there.get("versions", {}).items())
        if here.get(name) != value
    ]
