"""edgeaff models: lists, describes and verifies bundles."""

from __future__ import annotations

import argparse
import json

from edgeaff.bundle import DEFAULT_BUNDLE, ModelBundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("action", choices=("list", "info", "verify"), help="what to do")
    parser.add_argument("bundle", nargs="?", help="a bundle (.eaff); default: the one that ships")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after running the command."""
    bundle = ModelBundle.load(options.bundle or DEFAULT_BUNDLE)
    if options.action == "info":
        print(json.dumps(bundle.manifest, indent=2, sort_keys=True))
        return 0
    sizes = ", ".join(f"{name} {len(data) / 1e6:.2f} MB" for name, data in sorted(bundle.members.items()))
    print(
        f"{bundle.manifest['model_id']} ({bundle.manifest['preset']}), preprocessing {bundle.spec.fingerprint}: {sizes}"
    )
    if options.action == "verify":
        print("verified: every member has the sha256 that the bundle states, and the preprocessing is this edgeaff's")
    return 0
