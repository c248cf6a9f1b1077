"""edgeaff models: lists, describes, verifies and signs bundles; imports VGGFace weights.

`edgeaff models list [FOLDER]` prints a line per bundle; `info [BUNDLE]` prints a manifest.

`edgeaff models verify [BUNDLE]` checks the file and replays its golden sequences on every installed backend. With --key it also
checks the signature. `edgeaff models sign BUNDLE --key private.pem` signs a bundle.

`edgeaff models import VGG_FACE.caffemodel --output vggface.npz` reads one of six public layouts and executes no code of the file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeaff.bundle import DEFAULT_BUNDLE, ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.parsing.boundary import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("action", choices=("list", "info", "verify", "sign", "import"), help="action")
    parser.add_argument(
        "bundle",
        nargs="?",
        help="bundle (.eaff); default: the shipped one. list: or a folder. import: the weight file",
    )
    parser.add_argument(
        "--key", type=Path, help="ed25519 key (PEM): the public one for verify, the private one for sign"
    )
    parser.add_argument(
        "--minimum-version", metavar="N", type=int, help="verify: lowest accepted version of the manifest"
    )
    weights = parser.add_argument_group("import")
    weights.add_argument("--output", type=Path, help="file for the imported weights (.npz)")
    weights.add_argument(
        "--layout", help="caffe, torch7, matconvnet, keras, pytorch or affwildnet; default: by the file name"
    )
    weights.add_argument(
        "--channel-order", choices=("rgb", "bgr"), help="channel order that the weights expect; required for torch7"
    )
    weights.add_argument("--sha256", help="expected checksum of the file")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after running the command.

    Raises:
        ArgumentError: there is nothing to list.
    """
    if options.action == "import":
        return import_weights(options)
    path = Path(options.bundle or DEFAULT_BUNDLE)
    if options.action == "sign":
        return sign(path, options.key)
    if options.action == "list":
        files = sorted(path.glob("*.eaff")) if path.is_dir() else [path]
        if not files:
            raise ArgumentError(f"folder must hold bundles (*.eaff), got none in {path}; name another.")
        for file in files:
            print(describe_bundle(ModelBundle.load(file)))
        return 0
    bundle = ModelBundle.load(path, key=options.key, minimum_version=options.minimum_version)
    if bundle.signed_by is not None:
        print(f"signed by key {bundle.signed_by}")
    if options.action == "info":
        print(json.dumps(bundle.manifest.to_dict(), indent=2, sort_keys=True))
        return 0
    print(describe_bundle(bundle))
    print("verified: every member has the sha256 that the bundle states, and the preprocessing is this edgeaff's")
    replay_golden(bundle)
    return 0


def describe_bundle(bundle: ModelBundle) -> str:
    """Returns a line on a bundle: model, preset, preprocessing, members; random weights are named."""
    sizes = ", ".join(f"{printable(name)} {len(data) / 1e6:.2f} MB" for name, data in sorted(bundle.members.items()))
    made_up = bundle.manifest.fabricated
    warning = f"; FABRICATED weights: {', '.join(made_up)}" if made_up else ""
    head = f"{printable(bundle.manifest.model_id)} ({bundle.manifest.preset}), preprocessing {bundle.spec.fingerprint}"
    return f"{head}, version {bundle.version}: {sizes}{warning}"


def sign(path: Path, key: Path | None) -> int:
    """Returns the exit code, after signing a bundle that is whole.

    Raises:
        ArgumentError: no key is named.
    """
    if key is None:
        raise ArgumentError("sign must have --key, got none; name the PEM file of a private ed25519 key.")
    from edgeaff.signature import sign_bundle

    ModelBundle.load(path)
    print(f"{sign_bundle(path, key)} written")
    return 0


def replay_golden(bundle: ModelBundle) -> None:
    """Prints how each installed backend agrees with the reference outputs of a bundle.

    Raises:
        BundleError: there is nothing to replay, no backend to replay it, or one agrees less than its precision must.
    """
    from edgeaff.export.certificate import certify_available, describe
    from edgeaff.export.verify_face import verify_face
    from edgeaff.golden import require_parity

    bundle.golden()
    certificates, absent = certify_available(bundle)
    for certificate in certificates:
        print(describe(certificate))
    for backend, reason in absent.items():
        print(f"{backend}: not replayed: {reason}")
    for agreement in verify_face(bundle):
        print(f"face networks native: {agreement}")
    for certificate in certificates:
        require_parity(certificate)
    if not certificates:
        raise BundleError(
            f"{bundle.path} must be replayed on one backend at least, got none here; install one of them."
        )


def import_weights(options: argparse.Namespace) -> int:
    """Returns the exit code, after importing VGGFace weights.

    Raises:
        ArgumentError: the file or the place for the result is not named.
        BackendUnavailableError: a package of the extra `train` is missing.
    """
    if options.bundle is None or options.output is None:
        raise ArgumentError(
            f"import must have a weight file and --output, got {options.bundle} and {options.output}; name both."
        )
    try:
        from edgeaff.training.importers import import_vggface, save_weights
    except ImportError as error:
        raise BackendUnavailableError(
            f"import needs more packages ({error}); run `pip install 'edgeaff[train]'`."
        ) from error

    weights = import_vggface(
        options.bundle, layout=options.layout, channel_order=options.channel_order, sha256=options.sha256
    )
    save_weights(weights, options.output)
    print(
        f"{weights.layout}, {'; '.join(weights.notes)}, fc6 of a {weights.map_px}x{weights.map_px} map, mean {weights.mean}"
    )
    print(f"sha256 {weights.sha256}")
    return 0
