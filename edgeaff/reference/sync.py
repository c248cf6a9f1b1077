"""One clock: frames and audio of any rate onto the ticks of the model, 30 a second, gaps masked.

```
frames   |  F0      F1        F2 F3          F4     a frame belongs to the tick nearest to it (spec.frame_tick)
ticks    T0    T1    T2    T3    T4    T5           T1 takes the first frame that belongs to it, else the newest older one
LLD rows ..r..r..r..r..r..r..r..r..r..r..r..        tick minus audio lag takes the row whose window center is nearest
```
Nothing here knows frames, samples or models: payloads are opaque, times are int nanoseconds. Events depend on the data alone:
protected by tests/test_sync.py and tests/test_session.py (chunking and interleaving).
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np

from edgeaff.spec import HOP_NS, MILLISECOND, NANOSECONDS, PreprocessSpec

CONTINUOUS_NS = 20 * MILLISECOND
AGREEMENT_NS = (
    1 * MILLISECOND
)  # Choice: Matroska rounds to 1 ms; below that a chunk's pts agrees with the sample count.
FILL_LIMIT_NS = 200 * MILLISECOND
SLEW_DIVISOR = 1000  # 1000 ppm
HOLD_NS = NANOSECONDS // 2  # how long what was delivered last replaces what is missing
ROW_MEMORY_NS = 4 * NANOSECONDS


# --- audio: sample count -> time ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placement:
    """Placement of one chunk: start a new stream or not, samples to skip at its head, zeros to put before it."""

    restart: bool
    skip: int
    fill: int


class AudioClock:
    """Time of every sample of one audio stream: the first chunk's pts plus samples counted, slewed slowly towards later pts.

    `nominal` time is nanoseconds since the first sample by count alone; `pts_ns(nominal)` adds start and correction. The
    correction is piecewise linear in nominal time, so it does not depend on how the audio was cut into chunks.
    """

    def __init__(self) -> None:
        self.rate_hz = 0
        self._start_ns = 0
        self._count = 0
        self._knots: list[tuple[int, int]] = [(0, 0)]  # (nominal, correction)
        self._holes: list[tuple[int, int]] = []  # nominal, half-open

    @property
    def nominal_end_ns(self) -> int:
        """Nominal time after the last sample."""
        return self._count * NANOSECONDS // self.rate_hz if self.rate_hz else 0

    @property
    def end_pts_ns(self) -> int:
        """Session time after the last sample."""
        return self.pts_ns(self.nominal_end_ns)

    def pts_ns(self, nominal_ns: int) -> int:
        """Returns the session time of a nominal time."""
        return self._start_ns + nominal_ns + self._correction(nominal_ns)

    def touches_hole(self, start_ns: int, end_ns: int) -> bool:
        """Returns whether [start, end) in nominal time overlaps zeros that were filled in."""
        if not self._holes:
            return False
        return any(start_ns < hole_end and hole_start < end_ns for hole_start, hole_end in self._holes)

    def place(self, pts_ns: int, count: int, rate_hz: int) -> Placement:
        """Advances the clock over one chunk.

        Args:
            pts_ns: time of the first sample of the chunk.
            count: samples in the chunk.
            rate_hz: their rate.

        Returns:
            What to feed: `skip` leading samples are overlap, `fill` zeros go before the rest; `restart` states that a new
            stream (resampler and LLDs) begins with this chunk.
        """
        difference = pts_ns - self.end_pts_ns
        if self.rate_hz == 0 or difference > FILL_LIMIT_NS:
            return self._restart(pts_ns, count, rate_hz)
        if rate_hz != self.rate_hz:
            skip = self._overlap(difference, count, rate_hz)
            if skip == count:
                return Placement(False, skip, 0)
            self._restart(pts_ns + skip * NANOSECONDS // rate_hz, count - skip, rate_hz)
            return Placement(True, skip, 0)
        if difference > CONTINUOUS_NS:
            fill = (difference * rate_hz + NANOSECONDS // 2) // NANOSECONDS
            hole_start = self.nominal_end_ns
            self._count += fill
            self._holes.append((hole_start, self.nominal_end_ns))
            self._prune()
            self._count += count
            return Placement(False, 0, fill)
        if difference < -CONTINUOUS_NS:
            skip = self._overlap(difference, count, rate_hz)
            self._count += count - skip
            return Placement(False, skip, 0)
        self._slew(difference, count)
        self._count += count
        return Placement(False, 0, 0)

    @staticmethod
    def _overlap(difference: int, count: int, rate_hz: int) -> int:
        """Returns the number of samples at the head of a chunk lie before the end of the audio so far."""
        if difference >= -CONTINUOUS_NS:
            return 0
        return min(count, (-difference * rate_hz + NANOSECONDS // 2) // NANOSECONDS)

    def _restart(self, pts_ns: int, count: int, rate_hz: int) -> Placement:
        self.rate_hz = rate_hz
        self._start_ns = pts_ns
        self._count = count
        self._knots = [(0, 0)]
        self._holes = []
        return Placement(True, 0, 0)

    def _slew(self, difference: int, count: int) -> None:
        """Bends the clock towards the chunk's pts, at most 1000 ppm, until they agree."""
        missing = abs(difference) - AGREEMENT_NS
        if missing <= 0:
            return
        start = self.nominal_end_ns
        span = min(count * NANOSECONDS // self.rate_hz, missing * SLEW_DIVISOR)
        correction = self._correction(start)
        step = span // SLEW_DIVISOR
        self._knots.append((start, correction))
        self._knots.append((start + span, correction + (step if difference > 0 else -step)))
        self._prune()

    def _correction(self, nominal_ns: int) -> int:
        knots = self._knots
        after = bisect_right(knots, nominal_ns, key=lambda knot: knot[0])
        if after == 0:
            return knots[0][1]
        if after == len(knots):
            return knots[-1][1]
        (x0, y0), (x1, y1) = knots[after - 1], knots[after]
        return y0 + (y1 - y0) * (nominal_ns - x0) // (x1 - x0) if x1 > x0 else y1

    def _prune(self) -> None:
        horizon = self.nominal_end_ns - ROW_MEMORY_NS
        keep = max(0, bisect_left(self._knots, horizon, key=lambda knot: knot[0]) - 1)
        del self._knots[:keep]
        self._holes = [hole for hole in self._holes if hole[1] >= horizon]


# --- LLD rows: which row belongs to which instant ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns that share one analysis window. offsets from the start of the row, nanoseconds."""

    columns: tuple[int, ...]
    center_ns: int
    window_ns: int


@dataclass(frozen=True, slots=True)
class Step:
    """The audio input of one tick. lld: (65,) float32, not normalized; center_ns: of its newest column group."""

    lld: np.ndarray
    center_ns: int
    row: int


class RowTimeline:
    """LLD rows with their times; gives, per column group, the row whose window center is nearest to an instant.

    A row that touches a gap is masked. An instant without an unmasked row at most HOLD_NS before it has no audio. Starts
    rise: a stream that begins before the end of the previous one (a change of rate) replaces the rows that it overlaps. A
    row is therefore found by bisection, and a chunk costs time linear in its length.
    """

    def __init__(self, groups: tuple[ColumnGroup, ...]) -> None:
        self._groups = tuple((index, group.center_ns, np.array(group.columns)) for index, group in enumerate(groups))
        self._rows: list[_Row] = []
        self._forgotten = 0  # rows at the head that no instant takes any more; cut off once they are half of the list
        self._count = 0

    def push(self, start_pts_ns: int, lld: np.ndarray, masked: tuple[bool, ...]) -> None:
        """Appends one final row. lld: (65,) float32; masked: one flag per column group."""
        while len(self._rows) > self._forgotten and self._rows[-1].start_ns >= start_pts_ns:
            self._rows.pop()
        self._rows.append(_Row(start_pts_ns, masked, lld, self._count))
        self._count += 1

    def select(self, instant_ns: int) -> Step | None:
        """Returns the step at an instant, or None when audio is missing there.

        Per column group it takes the row with the greatest center below instant + 5 ms: on the 10 ms grid the nearest, the
        earlier one on a tie; in a hole the newest unmasked row before it.
        """
        lld: np.ndarray | None = None
        newest: tuple[int, int] | None = None
        for index, center_ns, columns in self._groups:
            found = self._newest(instant_ns - center_ns, index)
            if found is None:
                return None
            if lld is None:
                lld = np.empty_like(found.lld)
            lld[columns] = found.lld[columns]
            reached = (found.start_ns + center_ns, found.number)
            newest = reached if newest is None else max(newest, reached)
        return None if lld is None or newest is None else Step(lld, newest[0], newest[1])

    def forget_before(self, instant_ns: int) -> None:
        """Drops rows that no instant from here on can take."""
        horizon = instant_ns - HOLD_NS - 200 * MILLISECOND
        while self._forgotten < len(self._rows) and self._rows[self._forgotten].start_ns < horizon:
            self._forgotten += 1
        if self._forgotten > 64 and 2 * self._forgotten > len(self._rows):
            del self._rows[: self._forgotten]
            self._forgotten = 0

    def _newest(self, start_ns: int, group: int) -> _Row | None:
        """Returns the newest row unmasked for a group that starts below start_ns + 5 ms, at most HOLD_NS before start_ns."""
        after = bisect_left(self._rows, start_ns + HOP_NS // 2, lo=self._forgotten, key=attrgetter("start_ns"))
        for position in range(after - 1, self._forgotten - 1, -1):
            row = self._rows[position]
            if row.start_ns < start_ns - HOLD_NS:
                return None
            if not row.masked[group]:
                return row
        return None


@dataclass(frozen=True, slots=True)
class _Row:
    start_ns: int
    masked: tuple[bool, ...]
    lld: np.ndarray
    number: int


# --- frames: which frame belongs to which tick ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Frame:
    tick: int
    pts_ns: int
    payload: Any
    result: Any = None
    processed: bool = False


@dataclass(frozen=True, slots=True)
class TakenFrame:
    """The frame that a tick takes: its time and what processing made of it."""

    pts_ns: int
    result: Any


class FrameTimeline:
    """Frames by tick. A frame that a tick takes is processed once, in time order, and its image is freed immediately.

    The first frame of a tick that was not emitted is certain to be taken: it is processed on arrival, so that memory holds one
    raw frame at most. The newest other frame waits, in case a tick without own frame needs it.
    """

    def __init__(self, spec: PreprocessSpec, process: Callable[[int, Any], Any]) -> None:
        self._spec = spec
        self._process = process
        self._first_of_tick: deque[_Frame] = deque()
        self._newest_other: dict[int, _Frame] = {}
        self._held: _Frame | None = None
        self._next_tick: int | None = None
        self.newest_pts_ns: int | None = None
        self.newest_tick: int | None = None

    def push(self, pts_ns: int, payload: Any) -> bool:
        """Accepts a frame newer than all before it.

        Args:
            pts_ns: time of the frame.
            payload: what `process` gets.

        Returns:
            Whether the frame is late: its tick was emitted without it, so only a later tick can use it.
        """
        frame = _Frame(self._spec.frame_tick(pts_ns), pts_ns, payload)
        previous_tick = self.newest_tick
        late = self._next_tick is not None and frame.tick < self._next_tick
        if late or frame.tick == previous_tick:
            frame.payload = copy.deepcopy(payload)  # it waits, and the caller may reuse its buffer meanwhile
        if late:
            self._held = frame
        elif frame.tick == previous_tick:
            self._newest_other[frame.tick] = frame
        else:
            self._settle_gap(frame.tick)
            self._run(frame)
            self._first_of_tick.append(frame)
        self.newest_pts_ns = pts_ns
        self.newest_tick = frame.tick
        return late and frame.tick != previous_tick

    def ready(self, tick: int) -> bool:
        """Returns whether the tick's frame, or anything later, is there."""
        return self.newest_tick is not None and self.newest_tick >= tick

    def take(self, tick: int) -> TakenFrame | None:
        """Returns the frame of a tick, or None when there is none at most HOLD_NS old. Ticks are taken in order."""
        self._next_tick = tick + 1
        chosen: _Frame | None = None
        while self._first_of_tick and self._first_of_tick[0].tick <= tick:
            frame = self._first_of_tick.popleft()
            chosen = frame if frame.tick == tick else None
            self._held = self._newest_other.pop(frame.tick, frame)
        if chosen is None:
            chosen = self._held
            if chosen is None or self._spec.tick_pts_ns(tick) - chosen.pts_ns > HOLD_NS:
                return None
        self._run(chosen)
        return TakenFrame(chosen.pts_ns, chosen.result)

    def newest_before(self, tick: int) -> int | None:
        """Returns the pts of the newest frame that belongs to this tick or an earlier one; call it after take(tick)."""
        return self._held.pts_ns if self._held is not None else None

    def _settle_gap(self, tick: int) -> None:
        """Before a frame of a later tick is processed: processes the waiting frame if a tick between will take it."""
        if self.newest_tick is None:
            return
        waiting = self._newest_other.get(self.newest_tick)
        if waiting is None and self._held is not None and not self._first_of_tick:
            waiting = self._held
        after = self.newest_tick + 1
        gap_tick = after if self._next_tick is None else max(after, self._next_tick)
        if waiting is None or gap_tick >= tick:
            return
        if self._spec.tick_pts_ns(gap_tick) - waiting.pts_ns <= HOLD_NS:
            self._run(waiting)

    def _run(self, frame: _Frame) -> None:
        if not frame.processed:
            frame.result = self._process(frame.pts_ns, frame.payload)
            frame.payload = None
            frame.processed = True


# --- when a tick goes out ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Modality:
    """Progress of one modality. reached_ns: pts of its last frame, or the end of its audio."""

    reached_ns: int | None = None


@dataclass(slots=True)
class TickScheduler:
    """Decides which tick may go (docs/live.md, "Clocks").

    For a tick, a modality has a last instant that it can use. The tick waits for that modality until it has delivered what is
    taken, or anything later, or until another declared modality or `advance` has reached that instant + `skew_ns`.
    """

    spec: PreprocessSpec
    skew_ns: int
    video: bool
    audio: bool
    audio_need_ns: int  # after the tick (negative: before it), the end of the last sample that its rows need
    first_pts_ns: int | None = None
    next_tick: int | None = None
    _reached: dict[str, _Modality] = field(
        default_factory=lambda: {"video": _Modality(), "audio": _Modality(), "clock": _Modality()}
    )

    def delivered(self, who: str, pts_ns: int, *, first_pts_ns: int | None = None) -> None:
        """Records that a modality ("video", "audio", or "clock" for advance) has delivered up to pts_ns."""
        modality = self._reached[who]
        modality.reached_ns = pts_ns if modality.reached_ns is None else max(modality.reached_ns, pts_ns)
        if self.next_tick is None:
            start = pts_ns if first_pts_ns is None else first_pts_ns
            self.first_pts_ns = start if self.first_pts_ns is None else min(self.first_pts_ns, start)

    def late_ns(self, pts_ns: int) -> int:
        """Returns the duration of new audio from pts_ns on that is too late: only emitted ticks could have used it."""
        if self.next_tick is None:
            return 0
        reached = self._reached["audio"].reached_ns
        start = pts_ns if reached is None else max(pts_ns, reached)
        return max(0, self.spec.tick_pts_ns(self.next_tick - 1) + self.audio_need_ns - start)

    @property
    def newest_ns(self) -> int | None:
        """The latest instant that anything has reached."""
        return max((m.reached_ns for m in self._reached.values() if m.reached_ns is not None), default=None)

    def current_tick(self) -> int | None:
        """Returns the next tick to go, or None before the first delivery."""
        if self.next_tick is not None:
            return self.next_tick
        return None if self.first_pts_ns is None else self.spec.frame_tick(self.first_pts_ns)

    def may_go(self, tick: int, *, video_ready: bool) -> bool:
        """Returns whether the tick is complete, and the data (or advance) reach as far as it."""
        return self._is_reached(tick) and self._video_done(tick, video_ready) and self._audio_done(tick)

    def went(self, tick: int) -> None:
        """Records that the tick was emitted."""
        self.next_tick = tick + 1

    def last_tick(self) -> int | None:
        """Returns the last tick of the data so far: of the last frame, or the last before the end of the audio."""
        ticks = []
        video, audio = self._reached["video"].reached_ns, self._reached["audio"].reached_ns
        if video is not None:
            ticks.append(self.spec.frame_tick(video))
        if audio is not None:
            tick = self.spec.frame_tick(audio) + 1
            while self.spec.tick_pts_ns(tick) >= audio:
                tick -= 1
            ticks.append(tick)
        return max(ticks, default=None)

    def _is_reached(self, tick: int) -> bool:
        clock, last = self._reached["clock"].reached_ns, self.last_tick()
        return (last is not None and tick <= last) or (clock is not None and clock >= self.spec.tick_pts_ns(tick))

    def _video_done(self, tick: int, ready: bool) -> bool:
        return not self.video or ready or self._others_reached("video", self.frame_window_end_ns(tick))

    def _audio_done(self, tick: int) -> bool:
        if not self.audio:
            return True
        need = self.spec.tick_pts_ns(tick) + self.audio_need_ns
        reached = self._reached["audio"].reached_ns
        return (reached is not None and reached >= need) or self._others_reached("audio", need)

    def _others_reached(self, waiting: str, instant_ns: int) -> bool:
        return any(
            modality.reached_ns is not None and modality.reached_ns >= instant_ns + self.skew_ns
            for who, modality in self._reached.items()
            if who != waiting
        )

    def frame_window_end_ns(self, tick: int) -> int:
        """Returns the first pts that belongs to the next tick."""
        rate = self.spec.model_rate_hz
        return -((-((tick + 1) * NANOSECONDS - NANOSECONDS // 2)) // rate) + MILLISECOND
