"""Makes a bundle of a trained run: `edgeaff export RUN --to onnx,int8 --output NAME.eaff`.

A run of `edge` becomes a bundle like the shipped one, and a run of `transformer_av` one of the preset `paper`. Detector, statistics and,
if the run was trained with it, the face encoder come from --bundle.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeaff.errors import ArgumentError, BackendUnavailableError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("run", type=Path, help="folder of a run of edgeaff train")
    parser.add_argument("--to", default="onnx", help="onnx, int8, tensorrt, comma-separated (default onnx: float32)")
    parser.add_argument("--output", type=Path, required=True, help="NAME.eaff to write")
    parser.add_argument(
        "--bundle", type=Path, help="bundle with detector, statistics and encoder; default: the shipped one"
    )
    parser.add_argument("--vggface", type=Path, help="output of edgeaff models import, for a run on VGGFace")
    parser.add_argument("--features", type=Path, help="folder of edgeaff extract, for its statistics")


def run(options: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        options: parsed arguments.

    Returns:
        The exit code.

    Raises:
        ArgumentError: an argument is not what it must be.
        BackendUnavailableError: a package of the extra `export` is missing.
    """
    if options.output.suffix != ".eaff" or not options.output.parent.is_dir():
        raise ArgumentError(f"output must be NAME.eaff in a folder that is there, got {options.output}; rename it.")
    try:
        from edgeaff.export.from_run import export_run
    except ImportError as error:
        raise BackendUnavailableError(
            f"export needs more packages ({error}); run `pip install 'edgeaff[train,export]'`."
        ) from error
    from edgeaff.bundle import ModelBundle
    from edgeaff.export.certificate import describe

    statistics = None if options.features is None else options.features / "statistics.json"
    if statistics is not None and not statistics.is_file():
        raise ArgumentError(
            f"features must hold {statistics.name}, got none in {options.features}; extract them again."
        )
    made = export_run(
        options.run,
        options.output,
        targets=[target for target in options.to.split(",") if target],
        base=ModelBundle.load(options.bundle),
        vggface=options.vggface,
        statistics=statistics,
    )
    for certificate in made.bundle.manifest.certificates:
        print(describe(certificate))
    for row in made.engines:
        print(f"engine: {row['role']} {row['precision']}")
    if made.fabricated:
        print(f"FABRICATED weights, for measuring speed only: {', '.join(made.fabricated)}; give --vggface")
    print(f"{options.output}: {made.bundle.manifest.model_id} ({made.bundle.manifest.preset})")
    return 0
