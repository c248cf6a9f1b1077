"""The exception tree of edgeaff.

```
EdgeaffError
├── ArgumentError            (ValueError)     an argument is not what it must be
├── SpecMismatchError        (ValueError)     two parts were made for different preprocessing
├── BundleError              (RuntimeError)   a bundle cannot be read, or is not what its manifest states
├── MediaError               (RuntimeError)   a file or stream cannot be used
├── DeviceError              (RuntimeError)   a camera, microphone or accelerator fails
├── SessionStateError        (RuntimeError)   a call that is not allowed in this state (for example after finish)
└── BackendUnavailableError  (ImportError)    an optional part is not installed; names the extra
```
Every message has one form: *argument* must be *expected*, got *value*; *what to do*.
"""


class EdgeaffError(Exception):
    """The root of all errors that edgeaff raises on purpose."""


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
    """A call came in a state that does not allow it."""


class BackendUnavailableError(EdgeaffError, ImportError):
    """An optional package or device is not there; the message names what to install."""
