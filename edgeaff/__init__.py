"""edgeaff: apparent valence and arousal from camera and microphone, on the device, 30 times a second.

Names are loaded when first used: `import edgeaff` loads neither torch, cv2, onnxruntime nor tensorrt.
"""

from __future__ import annotations

from edgeaff.version import __version__

TYPE_CHECKING = False  # importing typing would delay the handler of Ctrl-C in __main__ by milliseconds
if TYPE_CHECKING:
    from typing import Any

    from edgeaff.bundle import ModelBundle
    from edgeaff.capture.push import PushAudio, PushVideo
    from edgeaff.errors import EdgeaffError
    from edgeaff.runtime import Policy, Runtime
    from edgeaff.runtime.analyze import analyze
    from edgeaff.session import Session
    from edgeaff.spec import PreprocessSpec
    from edgeaff.types import (
        AffectEvent,
        AudioChunk,
        ChangeEvent,
        FaceDetection,
        Status,
        StatusEvent,
        VideoFrame,
        circumplex,
    )

_HOMES = {
    "AffectEvent": "edgeaff.types",
    "AudioChunk": "edgeaff.types",
    "ChangeEvent": "edgeaff.types",
    "EdgeaffError": "edgeaff.errors",
    "FaceDetection": "edgeaff.types",
    "ModelBundle": "edgeaff.bundle",
    "Policy": "edgeaff.runtime",
    "PreprocessSpec": "edgeaff.spec",
    "PushAudio": "edgeaff.capture.push",
    "PushVideo": "edgeaff.capture.push",
    "Runtime": "edgeaff.runtime",
    "Session": "edgeaff.session",
    "Status": "edgeaff.types",
    "StatusEvent": "edgeaff.types",
    "VideoFrame": "edgeaff.types",
    "analyze": "edgeaff.runtime",
    "circumplex": "edgeaff.types",
}

__all__ = [
    "AffectEvent",
    "AudioChunk",
    "ChangeEvent",
    "EdgeaffError",
    "FaceDetection",
    "ModelBundle",
    "Policy",
    "PreprocessSpec",
    "PushAudio",
    "PushVideo",
    "Runtime",
    "Session",
    "Status",
    "StatusEvent",
    "VideoFrame",
    "__version__",
    "analyze",
    "circumplex",
]


def __getattr__(name: str) -> Any:
    """Returns a public name from its home, loaded now.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeaff' has no attribute {name!r}; public names are {', '.join(__all__)}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
