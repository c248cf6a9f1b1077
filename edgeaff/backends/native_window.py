"""The paper's window as one native call per tick: packed weights (`step.npz`), results of each tick in rows that are never copied."""

from __future__ import annotations

import numpy as np

from edgeaff.backends.native import SIZES, check_vector, load_packed

ARCHITECTURE = "edgeaff-paper-1"
WINDOW_SIZES = {**SIZES, "ticks": (2, 1 << 12)}
Rows = tuple[np.ndarray, ...]


def is_window(arrays: dict[str, np.ndarray]) -> bool:
    """Returns whether packed weights are those of the paper's window (else those of the `edge` step)."""
    return "meta" in arrays and ARCHITECTURE.encode() in arrays["meta"].tobytes()


class NativeWindow:
    """The newest row of the window that ends at a tick, in 8 bits; two threads at most, one per modality.

    Attributes:
        backend: "native".
        precision: "int8".
        memory_ticks: most past ticks that a state depends on.
        video_size: width of a face descriptor.
        audio_size: width of an audio vector.
        ticks: length of the window.
    """

    backend = "native"
    precision = "int8"

    def __init__(self, arrays: dict[str, np.ndarray], *, threads: int = 1) -> None:
        """Copies the packed weights.

        Args:
            arrays: what `edgeaff.export.pack_window` made.
            threads: most threads of one tick.

        Raises:
            BundleError: they are of another format, or incomplete.
        """
        meta, self._model = load_packed(arrays, "WindowStepModel", architecture=ARCHITECTURE, sizes=WINDOW_SIZES)
        self._threads = min(threads, 2)
        self.ticks: int = meta["ticks"]
        self.memory_ticks = self.ticks - 1
        self.video_size: int = meta["video_size"]
        self.audio_size: int = meta["audio_size"]

    def step(self, rows: Rows, video: np.ndarray | None, audio: np.ndarray | None) -> tuple[np.ndarray, Rows]:
        """Returns (2,) float32 valence and arousal of a tick, and the rows after it; those handed in stay unchanged.

        Args:
            rows: of at most T - 1 ticks before, oldest first.
            video: (video_size,) float32 descriptor, or None.
            audio: (audio_size,) float32 normalized audio vector, or None.

        Raises:
            BundleError: an input has another size or type than the packed model.
        """
        self._check(video, audio)
        values, row = self._model.step(rows, video, audio, self._threads)
        return values, (*rows, row)[-self.memory_ticks :]

    def append(self, rows: Rows, video: np.ndarray | None, audio: np.ndarray | None) -> Rows:
        """Returns the rows after a tick without computing its values; arguments as in `step`.

        Raises:
            BundleError: an input has another size or type than the packed model.
        """
        self._check(video, audio)
        return (*rows, self._model.append(video, audio))[-self.memory_ticks :]

    def _check(self, video: np.ndarray | None, audio: np.ndarray | None) -> None:
        check_vector("video", video, self.video_size)
        check_vector("audio", audio, self.audio_size)
