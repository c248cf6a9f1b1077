"""Single import point for ONNX Runtime and OpenVINO; disables their telemetry before import.

ONNX Runtime's Linux wheels from 1.29 on open an HTTPS uploader and write a device id below ~/.cache when they are imported;
the environment variable ORT_DISABLE_TELEMETRY=1 is the one way to have neither (microsoft/onnxruntime, pull request 27379). It is
set here unless the program that uses us has set it to something else. Importing OpenVINO sends an event through the package
openvino_telemetry and writes ~/intel; without that package it uses a stub, so that package is hidden while it is imported.
`tests/test_privacy.py` watches both.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from edgeaff.errors import BackendUnavailableError

OPT_OUT = "ORT_DISABLE_TELEMETRY"
_REPORTER = "openvino_telemetry"


def telemetry_is_off() -> bool:
    """Returns whether ONNX Runtime was, or will be, imported with its telemetry off."""
    return os.environ.get(OPT_OUT, "1").strip().lower() not in ("", "0", "false", "no", "off")


def import_onnxruntime() -> Any:
    """Returns the module onnxruntime, imported with its telemetry off.

    Where the program had imported it before, its uploader runs already: then it is only reported to send nothing more.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    os.environ.setdefault(OPT_OUT, "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailableError(
            f"onnxruntime must be installed, got: {error}; pip install 'edgeaff[onnxruntime]'."
        ) from error
    if telemetry_is_off() and hasattr(onnxruntime, "disable_telemetry_events"):
        onnxruntime.disable_telemetry_events()
    return onnxruntime


def session_options(threads: int = 1) -> Any:
    """Returns options of an ONNX Runtime session: this many threads, none of them spinning, warnings off."""
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def import_openvino() -> Any:
    """Returns the module openvino, imported without the package that reports.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    hide = _REPORTER not in sys.modules
    if hide:
        sys.modules[_REPORTER] = None  # type: ignore[assignment]  # importing it is an ImportError from here on
    try:
        import openvino
    except ImportError as error:
        raise BackendUnavailableError(
            f"openvino must be installed, got: {error}; pip install 'edgeaff[openvino]'."
        ) from error
    finally:
        if hide:
            del sys.modules[_REPORTER]
    return openvino
