"""edgeaff doctor: checks this machine, reports what will not work, and suggests fixes. Opens no network socket and stores nothing.

`edgeaff doctor --av-offset video=camera:0 audio=mic:default` measures how late the audio is against the frame: clap hands in
front of the camera with a lamp, or play a clip with claps and flashes to it. Exit codes: 0 nothing is broken, 1 something is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

from edgeaff.cli.doctor.finding import FAIL, OK, WARN, Finding, guarded
from edgeaff.errors import ArgumentError

NAMES = (
    "python",
    "native",
    "threads",
    "memory",
    "disk",
    "packages",
    "gpu",
    "tensorrt",
    "bundle",
    "engine",
    "camera",
    "microphone",
    "privacy",
    "av_offset",
)
HEALTHY, BROKEN = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of lines")
    parser.add_argument("--bundle", metavar="B", help="bundle to test (.eaff); default: the one that ships")
    parser.add_argument(
        "--require",
        metavar="NAMES",
        default="",
        help=f"treat a warning of these as broken, with commas between: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--av-offset",
        metavar="KEY=URI",
        nargs="+",
        help="measure audio against frame with claps and flashes: video=URI audio=URI, or one file with both",
    )
    parser.add_argument(
        "--prove", metavar="CLIP", help="try the five promises on the first 20 s of a media file, instead of the checks"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long --av-offset listens live (default 10)")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after all checks."""
    required = parse_names(options.require)
    findings = [strict(finding, required) for finding in examine(options)]
    print(as_json(findings) if options.json else as_text(findings))
    return BROKEN if any(finding.level == FAIL for finding in findings) else HEALTHY


def examine(options: argparse.Namespace) -> list[Finding]:
    """Returns the findings of all checks, or of the A/V offset alone if that is requested."""
    from edgeaff.cli.doctor import devices, engines, gpu, machine, privacy

    if options.av_offset:
        from edgeaff.cli.doctor.av_offset import check_av_offset, parse_sources

        video, audio = parse_sources(options.av_offset)
        return check_av_offset(video, audio, seconds=options.seconds)
    if options.prove:
        from edgeaff.cli.doctor.prove import check_promises

        return check_promises(options.prove, options.bundle)
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("python", machine.check_python),
        ("native", machine.check_native),
        ("threads", machine.check_threads),
        ("memory", machine.check_memory),
        ("disk", machine.check_disk),
        ("packages", machine.check_extras),
        ("gpu", gpu.check_gpu),
        ("tensorrt", gpu.check_tensorrt),
        ("bundle", lambda: engines.check_bundle(options.bundle)),
        ("camera", devices.check_cameras),
        ("microphone", devices.check_microphones),
        ("privacy", lambda: privacy.check_privacy(options.bundle)),
    ]
    return [finding for name, check in checks for finding in guarded(name, check)]


def parse_names(text: str) -> set[str]:
    """Returns the names of a comma-separated list.

    Raises:
        ArgumentError: there is no check of that name.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(names - set(NAMES)):
        raise ArgumentError(f"--require must name checks of {', '.join(NAMES)}, got {unknown[0]!r}; correct it.")
    return names


def strict(finding: Finding, required: set[str]) -> Finding:
    """Returns the finding, a warning as a failure where its name is required."""
    if finding.level != WARN or finding.name not in required:
        return finding
    return Finding(finding.name, FAIL, finding.text, finding.advice, finding.data)


def as_text(findings: Sequence[Finding]) -> str:
    """Returns a line per finding, with what to do below it, and a sum."""
    counts = [f"{sum(finding.level == level for finding in findings)} {level}" for level in (OK, WARN, FAIL)]
    return "\n".join([*map(str, findings), ", ".join(counts)])


def as_json(findings: Sequence[Finding]) -> str:
    """Returns one JSON object: schema, level (the worst), findings."""
    worst = next((level for level in (FAIL, WARN) if any(finding.level == level for finding in findings)), OK)
    report = {"schema": 1, "level": worst, "findings": [finding.to_dict() for finding in findings]}
    return json.dumps(report, indent=1, allow_nan=False)
