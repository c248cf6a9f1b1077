"""From a trained run to one file for the device, and the proof that it is still the same model there.

python examples/export_and_verify.py runs/toy/run affect.eaff
"""

from __future__ import annotations

import argparse
import sys

import edgeaff
from edgeaff.cli.main import main as edgeaff_command


def main() -> int:
    """Returns 0 when the bundle was written and every engine here agrees with the trained model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder that edgeaff train made")
    parser.add_argument("output", help="bundle to write: NAME.eaff")
    options = parser.parse_args()
    for command in (
        ["export", options.run, "--to", "onnx", "--output", options.output],
        ["models", "verify", options.output],
    ):
        code = edgeaff_command(command)
        if code:
            return code
    bundle = edgeaff.ModelBundle.load(options.output)
    for certificate in bundle.manifest.certificates:
        print(f"{certificate['backend']}: largest difference {certificate['max_abs_difference']:.1e}")
    session = edgeaff.Session(bundle)  # what a device does with it
    print(f"{bundle.manifest.model_id} runs on {session.backend}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
