"""The exception tree of edgeaff.

```
EdgeaffError
├── ArgumentError            (ValueError)     an argument has a wrong type, shape, range or value
├── SpecMismatchError        (ValueError)     two parts were made for different preprocessing
├── BundleError              (RuntimeError)   a bundle cannot be read, or differs from its manifest
├── MediaError               (RuntimeError)   a file or stream cannot be used
├── DeviceError              (RuntimeError)   a camera, microphone or accelerator fails
├── SessionStateError        (RuntimeError)   a call that is not allowed in this state (for example after finish)
└── BackendUnavailableError  (ImportError)    an optional part is not installed; names the extra
```
Argument errors have one form: *argument* must be *expected*, got *value*; *what to do*. Failures state what happened and what to do.
"""


class EdgeaffError(Exception):
    """Base class of all errors that edgeaff raises."""


class ArgumentError(EdgeaffError, ValueError):
    """An argument has a wrong type, shape, range or value."""


class SpecMismatchError(EdgeaffError, ValueError):
    """Two parts (bundle, detector, features, training cache) were made for different preprocessing."""


class BundleError(EdgeaffError, RuntimeError):
    """A bundle cannot be read, is damaged, or differs from its manifest."""


class MediaError(EdgeaffError, RuntimeError):
    """A file or stream cannot be used."""


class DeviceError(EdgeaffError, RuntimeError):
    """A camera, microphone or accelerator is missing or fails."""


class SessionStateError(EdgeaffError, RuntimeError):
    """A call is not allowed in the current state, for example after finish."""


class BackendUnavailableError(EdgeaffError, ImportError):
    """An optional package or device is missing; the message names what to install."""
