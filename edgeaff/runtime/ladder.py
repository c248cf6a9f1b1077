"""The degradation ladder: decides from the worker's load how much work a live Session skips.

| step | skipped |
|---|---|
| 0 | nothing |
| 1 | the detector runs every 0.3 s; the tracker predicts in between; the active speaker, if requested, is judged on every third tick |
| 2 | in addition, the face encoder runs only on every second frame |

The decision is a call of the Session (`degrade`), which a Recorder stores, so a replay makes the same calls. The ladder
judges windows of a second. A window is overloaded in three cases. The worker was busy for more than nine tenths of the time. It was
busy for more than half of it while a tenth of the frames were replaced unread (a camera of 200 fps alone is no overload).
Or audio always waited for longer than the budget. Two overloaded windows in a row take one step down. A window is calm if none of
this applies and the worker was busy for less than `_CALM_BUSY` of the time; five in a row take one step up. A step up that is
undone within ten seconds doubles the number of calm windows for the next one, up to 60.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS = ("full", "detector less often", "face encoder every second frame")
_WINDOW_NS = 1_000_000_000
_BUDGET_SECONDS = 0.1  # of audio that may wait; more is being behind
_HOLE_NS = 3 * _WINDOW_NS  # a longer window means that the process was suspended: it shows nothing about load
_FULL_SHARE = 0.9
_HALF_SHARE, _REPLACED_SHARE = 0.5, 0.1
_CALM_BUSY = (1.0, 0.6, 0.55)  # by step: what one step up adds must fit
_BEHIND_WINDOWS, _CALM_WINDOWS, _MAX_CALM_WINDOWS = 2, 5, 60
_RELAPSE_NS = 10 * _WINDOW_NS


@dataclass(frozen=True, slots=True)
class Load:
    """Load of the worker, since its start and now.

    Attributes:
        busy_ns: time spent in the session and in delivery.
        frames: frames that arrived, taken or not.
        frames_replaced: frames replaced by newer ones before they could be taken.
        audio_waiting_seconds: audio that waits now.
    """

    busy_ns: int
    frames: int
    frames_replaced: int
    audio_waiting_seconds: float


class Ladder:
    """Finds the step. Pure: all times are given.

    Attributes:
        step: index of STEPS in force.
        busy_share: of the last whole window.
    """

    def __init__(self) -> None:
        self.step = 0
        self.busy_share = 0.0
        self._start_ns: int | None = None
        self._at_start = Load(0, 0, 0, 0.0)
        self._least_waiting = 0.0
        self._behind = self._calm = 0
        self._calm_needed = _CALM_WINDOWS
        self._raised_ns: int | None = None

    def observe(self, now_ns: int, load: Load) -> int | None:
        """Returns the new step, or None if it stays.

        Args:
            now_ns: monotonic clock.
            load: counters since the start.
        """
        if self._start_ns is None or now_ns - self._start_ns > _HOLE_NS:
            self._begin(now_ns, load)
            return None
        self._least_waiting = min(self._least_waiting, load.audio_waiting_seconds)
        if now_ns - self._start_ns < _WINDOW_NS:
            return None
        before, elapsed = self._at_start, now_ns - self._start_ns
        least_waiting = self._least_waiting
        self.busy_share = min(1.0, (load.busy_ns - before.busy_ns) / elapsed)
        replaced, frames = load.frames_replaced - before.frames_replaced, load.frames - before.frames
        self._begin(now_ns, load)
        loses = self.busy_share > _HALF_SHARE and replaced > max(1.0, _REPLACED_SHARE * frames)
        behind = loses or self.busy_share > _FULL_SHARE or least_waiting > _BUDGET_SECONDS
        calm = not behind and self.busy_share < _CALM_BUSY[self.step]
        self._behind = self._behind + 1 if behind else 0
        self._calm = self._calm + 1 if calm else 0
        return self._decide(now_ns)

    def _begin(self, now_ns: int, load: Load) -> None:
        self._start_ns, self._at_start, self._least_waiting = now_ns, load, load.audio_waiting_seconds

    def _decide(self, now_ns: int) -> int | None:
        if self._behind >= _BEHIND_WINDOWS and self.step < len(STEPS) - 1:
            if self._raised_ns is not None:
                relapsed = now_ns - self._raised_ns < _RELAPSE_NS
                self._calm_needed = min(2 * self._calm_needed, _MAX_CALM_WINDOWS) if relapsed else _CALM_WINDOWS
                self._raised_ns = None
            return self._go(self.step + 1)
        if self._calm >= self._calm_needed and self.step > 0:
            self._raised_ns = now_ns
            return self._go(self.step - 1)
        return None

    def _go(self, step: int) -> int:
        self.step, self._behind, self._calm = step, 0, 0
        return step
