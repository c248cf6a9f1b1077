"""Preprocessor: detection + features + sync. THE path from raw frames and samples to the model's input, for Session and training.

```
frame   -> detector -> tracker -> crop -> face encoder -+
                                                        +-> one TickInput per tick of the model clock
samples -> clock -> resampler -> LLDs -> normalizer ----+
```
It knows no model, checks what comes, and hands it to csrc/core. The same calls give the same ticks, however the audio was cut into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.preprocess.core import Core, Setup, core_encoder, native_core
from edgeaff.preprocess.inputs import InputCounts, PreprocessParts, TickInput, check_rows, check_samples
from edgeaff.spec import HOP_NS, NANOSECONDS
from edgeaff.types import TrackedFace, check_image, check_pts, is_face

MOST_DEGRADED = 2
LATEST_END_NS = 2**63 - 1


class Preprocessor:
    """Frames and samples in, TickInputs out; sans-IO and deterministic.

    Args:
        parts: spec, detector, encoder and normalizer.
        video: whether a video modality is declared; one that is not is never waited for.
        audio: whether an audio modality is declared.
        max_faces: most faces per tick.
        detector_stride: the detector runs on every n-th taken frame, the tracker predicts between.
        staleness_seconds: after so long without any delivery a tick is stale.
        max_skew_seconds: how far one modality may run ahead before ticks stop waiting for the other.
        live: whether a jump of more than 10 s needs a second input to confirm it; False for files, where every frame counts.
        keep_crops: whether the faces of a tick hold their crops; without, a crop is empty, (0, 0, 3).

    Raises:
        ArgumentError: an argument is out of range, or a part is missing for a declared modality.
    """

    def __init__(
        self,
        parts: PreprocessParts,
        *,
        video: bool = True,
        audio: bool = True,
        max_faces: int = 1,
        detector_stride: int = 1,
        staleness_seconds: float = 0.5,
        max_skew_seconds: float = 0.25,
        live: bool = True,
        keep_crops: bool = True,
    ) -> None:
        if not (video or audio):
            raise ArgumentError("video and audio must not both be off, got False and False; declare at least one.")
        for name, value in (("max_faces", max_faces), ("detector_stride", detector_stride)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"{name} must be an int >= 1, got {value!r}; pass 1 or more.")
        for name, seconds in (("staleness_seconds", staleness_seconds), ("max_skew_seconds", max_skew_seconds)):
            if not isinstance(seconds, (int, float)) or not 0 <= seconds <= 60:
                raise ArgumentError(f"{name} must be in [0, 60], got {seconds!r}; pass seconds.")
        self.spec = parts.spec
        self.video, self.audio = video, audio
        self.counts = InputCounts()
        staleness_ns, skew_ns = round(staleness_seconds * NANOSECONDS), round(max_skew_seconds * NANOSECONDS)
        self._setup = Setup(
            parts,
            bool(video),
            bool(audio),
            bool(live),
            bool(keep_crops),
            max_faces,
            detector_stride,
            staleness_ns,
            skew_ns,
        )
        self._core = self._make_core()
        self._in_core = parts
        self._finished = False

    def _make_core(self) -> Core:
        return native_core(self._setup, self.counts)

    @property
    def parts(self) -> PreprocessParts:
        """Spec, detector, encoder and normalizer; new ones take effect at the next reset()."""
        return self._setup.parts

    @parts.setter
    def parts(self, parts: PreprocessParts) -> None:
        self._setup = replace(self._setup, parts=parts)

    def reset(self) -> None:
        """Starts again, as after construction; the counts go on."""
        self._core.reset()
        if self.parts is not self._in_core:
            self._core, self._in_core = self._make_core(), self.parts
        self._finished = False

    def encoder_changed(self) -> None:
        """Goes on with the graph that the face encoder has now."""
        self._core.replace_encoder(core_encoder(self.parts))

    def push_frame(self, image: np.ndarray, *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of this frame. image: (H, W, 3) uint8 RGB.

        Raises:
            ArgumentError: image or pts_ns is not what it must be, or video is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_frame", self.video, "video")
        return self._core.push_frame(check_image(image), check_pts(pts_ns))

    def push_face(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of a frame whose faces are known. Enters after detection and tracking.

        Args:
            faces: (face, crop) pairs, primary first; crop: (crop_size_px, crop_size_px, 3) uint8 RGB. Empty: a frame without a face.
            pts_ns: time of the frame.

        Raises:
            ArgumentError: a pair, a crop or pts_ns is not what it must be, or video is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_face", self.video, "video")
        expected = (self.spec.crop_size_px, self.spec.crop_size_px, 3)
        if not isinstance(faces, Sequence):
            raise ArgumentError(f"faces must be a list of (TrackedFace, crop) pairs, got {faces!r}; [] means no face.")
        for pair in faces:
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], TrackedFace)):
                raise ArgumentError(
                    f"faces must hold (TrackedFace, crop) pairs, got {type(pair).__name__}; pass a list of tuples."
                )
            face, crop = pair
            if not is_face(face.box, face.score):
                raise ArgumentError(
                    f"face must have a finite box with x1 > x0 and y1 > y0 and a score in [0, 1], got {face}; leave it out."
                )
            if not isinstance(crop, np.ndarray) or crop.shape != expected or crop.dtype != np.uint8:
                raise ArgumentError(
                    f"crop must have shape {expected} and dtype uint8, got {getattr(crop, 'shape', type(crop).__name__)}; crop it first."
                )
        return self._core.push_faces(list(faces[: self._setup.max_faces]), check_pts(pts_ns))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int, sample_rate_hz: int) -> list[TickInput]:
        """Returns the ticks that went out because of this audio.

        Args:
            samples: (n,) int16, or float32/float64 in [-1, 1]; NaN and Inf become 0 and are counted.
            pts_ns: time of samples[0].
            sample_rate_hz: 8,000 to 768,000.

        Raises:
            ArgumentError: an argument is not what it must be, or audio is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_audio", self.audio, "audio")
        samples = check_samples(samples, sample_rate_hz)
        pts_ns, rate_hz = check_pts(pts_ns), int(sample_rate_hz)
        if samples.size == 0:
            return []
        end_ns = min(pts_ns + samples.size * NANOSECONDS // rate_hz, LATEST_END_NS)
        return self._core.push_samples(samples, rate_hz, pts_ns, end_ns)

    def push_lld(self, rows: np.ndarray, *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of final LLD rows. Enters after the LLD stream.

        Args:
            rows: (n, 65) float32, 10 ms apart, not normalized.
            pts_ns: start of rows[0].

        Raises:
            ArgumentError: an argument is not what it must be, or audio is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_lld", self.audio, "audio")
        rows = check_rows(rows)
        pts_ns = check_pts(pts_ns)
        if len(rows) == 0:
            return []
        return self._core.push_rows(rows, pts_ns, min(pts_ns + len(rows) * HOP_NS, LATEST_END_NS))

    def degrade(self, step: int) -> None:
        """Leaves out work from the next frame on; see Session.degrade.

        Raises:
            ArgumentError: there is no such step.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= MOST_DEGRADED:
            raise ArgumentError(f"step must be an int in [0, {MOST_DEGRADED}], got {step!r}; 0 leaves out nothing.")
        self._core.degrade(step)

    def advance(self, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because time has come to pts_ns with nothing delivered.

        Raises:
            ArgumentError: pts_ns is no int.
            SessionStateError: after finish.
        """
        self._check_open("advance", True, "")
        return self._core.advance(check_pts(pts_ns))

    def finish(self) -> list[TickInput]:
        """Returns the ticks held back; afterwards only reset is allowed.

        Raises:
            SessionStateError: it was called already.
        """
        self._check_open("finish", True, "")
        self._finished = True
        return self._core.finish()

    def _check_open(self, call: str, declared: bool, modality: str) -> None:
        if self._finished:
            raise SessionStateError(f"{call} must come before finish, got it after; call reset() to start over.")
        if not declared:
            raise ArgumentError(
                f"{call} needs {modality}=True, got {modality}=False; declare the modality when constructing."
            )
