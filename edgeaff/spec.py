"""PreprocessSpec: everything between raw media and the model's input, in one frozen record with a fingerprint.

Training and runtime go through the same `Preprocessor`, made from the same spec; the fingerprint travels in the bundle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.lld_names import NAMES

NANOSECONDS, MILLISECOND = 1_000_000_000, 1_000_000
LLD_SIZE = len(NAMES)
HOP_NS = 10 * MILLISECOND  # from one row of LLDs to the next
JUMP_NS = 10 * NANOSECONDS  # a larger step between two inputs is a jump of the clock
JUMP_CONFIRM_NS = 1 * NANOSECONDS  # a second input this close confirms a jump
STEP_BACK_NS = NANOSECONDS // 2  # a smaller step back is jitter
SAMPLE_RATE_HZ = 16_000  # of the audio that LLDs describe
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 768_000  # of the audio that is taken
CROP_SIZE_PX = 96  # Paper: section 4.2.1
CROP_RULE = "box_centre_square_v1"
_WHOLE_RANGES = {
    "version": (1, 1000),
    "model_rate_hz": (1, 240),
    "audio_context_steps": (1, 1024),
    "audio_vector_size": (1, 1 << 20),
    "lld_version": (1, 1000),
    "lld_max_pitch_lag": (0, 29),
    "crop_size_px": (8, 1024),
}
_NUMBER_RANGES = {
    "audio_lag_seconds": (0.0, 10.0),
    "adaptive_half_life_seconds": (1e-3, 86_400.0),
    "adaptive_prior_seconds": (0.0, 86_400.0),
    "silence_gate_rms": (0.0, 1.0),
    "crop_margin": (0.1, 10.0),
    "face_staleness_seconds": (1e-3, 60.0),
}
_NAMES = ("detector_id", "crop_rule")
_SAME_HERE = ("version", "lld_version")  # of fields whose meaning this edgeaff knows in one version


def check_rate(name: str, rate_hz: float) -> int:
    """Returns the rate as int; 48000.0 is 48,000.

    Raises:
        ArgumentError: rate_hz is not a whole number from 8,000 to 768,000.
    """
    is_number = isinstance(rate_hz, Real) and not isinstance(rate_hz, bool)
    if not is_number or not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ or int(rate_hz) != rate_hz:
        raise ArgumentError(
            f"{name} must be a whole number of Hz from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}, got {rate_hz!r}; "
            "resample the audio first."
        )
    return int(rate_hz)


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """The steps from raw frames and samples to the model's input.

    Attributes:
        version: of the meaning of these fields; raised with any change.
        model_rate_hz: ticks per second. Paper: section 4.3 (30 fps video).
        audio_lag_seconds: lag of the audio step behind its tick. Edge: 4 ticks, the smallest lag at which a whole LLD row
            (110 ms) nearest to that instant is final, so that nothing waits for future audio.
        audio_context_steps: LLD steps stacked per tick, oldest first. Paper: 63 (section 4.2.2); edge: 1, its attention
            looks back itself.
        audio_vector_size: audio_context_steps * 65, zero-padded at the end to this size. Paper: 4096.
        lld_version: version of the LLD definition (edgeaff.features.lld).
        lld_max_pitch_lag: forced decision of the pitch tracker after this many hops.
        audio_normalization: "fixed" (statistics of the training set. Paper: section 4.2.2) or "adaptive" (running
            statistics with a silence gate, started from the fixed ones).
        adaptive_half_life_seconds: memory of the adaptive statistics after the learning, counted in time with speech.
        adaptive_prior_seconds: weight of the fixed statistics at the start, in the same time.
        adaptive_learning_seconds: initial time during which they are the mean of everything so far, in the same time.
        silence_gate_rms: hops with pcm_RMSenergy at or below this are left out of the adaptive statistics.
        detector_id: the face detector whose boxes the model was trained with.
        crop_rule: name of the rule from box to square.
        crop_margin: side of the square = crop_margin * longer side of the box; the shipped encoder was trained with 1.0.
        crop_size_px: side of the crop. Paper: 96 (section 4.2.1).
        face_staleness_seconds: maximum age of a face that a tick uses.
    """

    version: int = 2
    model_rate_hz: int = 30
    audio_lag_seconds: float = 4 / 30
    audio_context_steps: int = 1
    audio_vector_size: int = LLD_SIZE
    lld_version: int = 1
    lld_max_pitch_lag: int = 4
    audio_normalization: str = "adaptive"
    adaptive_half_life_seconds: float = 600.0
    adaptive_prior_seconds: float = 3.0
    adaptive_learning_seconds: float = 10.0
    silence_gate_rms: float = 0.001
    detector_id: str = "edgeaff-ssd"
    crop_rule: str = CROP_RULE
    crop_margin: float = 1.0
    crop_size_px: int = CROP_SIZE_PX
    face_staleness_seconds: float = 0.5

    def __post_init__(self) -> None:
        for name, (low, high) in _WHOLE_RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ArgumentError(f"{name} must be an int in [{low}, {high}], got {value!r}; correct it.")
        for name, (least, most) in _NUMBER_RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not least <= value <= most:
                raise ArgumentError(f"{name} must be a number in [{least:g}, {most:g}], got {value!r}; correct it.")
        for name in _NAMES:
            value = getattr(self, name)
            if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 100:
                raise ArgumentError(
                    f"{name} must be a name of 1 to 100 printable characters, got {value!r}; correct it."
                )
        if self.audio_normalization not in ("fixed", "adaptive"):
            raise ArgumentError(
                f"audio_normalization must be 'fixed' or 'adaptive', got {self.audio_normalization!r}; choose one."
            )
        least = self.audio_context_steps * LLD_SIZE
        if self.audio_vector_size < least:
            raise ArgumentError(
                f"audio_vector_size must be at least audio_context_steps * {LLD_SIZE} = {least}, "
                f"got {self.audio_vector_size}; raise it or stack fewer steps."
            )

    @property
    def audio_lag_ns(self) -> int:
        """The audio lag in nanoseconds."""
        return round(self.audio_lag_seconds * NANOSECONDS)

    def tick_pts_ns(self, tick: int) -> int:
        """Returns the time of a tick: round(tick * 10^9 / model_rate_hz), exact in integers (half rounds up)."""
        return (2 * tick * NANOSECONDS + self.model_rate_hz) // (2 * self.model_rate_hz)

    def frame_tick(self, pts_ns: int) -> int:
        """Returns the tick that a frame belongs to; the 1 ms keeps both neighbors of 60 fps on one side."""
        return (self.model_rate_hz * (pts_ns - 1_000_000) + NANOSECONDS // 2) // NANOSECONDS

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessSpec:
        """Returns the spec with these fields.

        Raises:
            ArgumentError: a field is out of its range.
            SpecMismatchError: a field is missing or unknown, or a version is another.
        """
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        if set(values) != set(known):
            raise SpecMismatchError(
                f"spec must have the fields {sorted(known)}, got missing {sorted(set(known) - set(values))} and unknown "
                f"{[ascii(name)[1:-1] for name in sorted(set(values) - set(known))]}; use a bundle made by this version of edgeaff."
            )
        made = cls(**values)
        for name in _SAME_HERE:
            if getattr(made, name) != known[name]:
                raise SpecMismatchError(
                    f"spec {name} must be {known[name]}, got {getattr(made, name)}; export the bundle again with this edgeaff."
                )
        return made

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all fields and the order of the LLDs; equal fingerprints mean equal preprocessing."""
        text = json.dumps([self.to_dict(), list(NAMES)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def paper_spec(**changes: Any) -> PreprocessSpec:
    """Returns the spec of the `paper` preset (sections 4.2.1, 4.2.2, 4.3), with `changes` applied."""
    values: dict[str, Any] = {
        "audio_lag_seconds": 0.0,
        "audio_context_steps": 63,
        "audio_vector_size": 4096,
        "audio_normalization": "fixed",
    }
    return PreprocessSpec(**{**values, **changes})


def paper_spec_of(spec: PreprocessSpec) -> PreprocessSpec:
    """Returns the spec of the `paper` preset with the detector and crop of another, which a bundle brings."""
    return paper_spec(detector_id=spec.detector_id, crop_margin=spec.crop_margin)
