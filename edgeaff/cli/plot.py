"""A frame of one run: faces above, valence and arousal with their uncertainty below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeaff.errors import BackendUnavailableError
from edgeaff.types import AffectEvent, Status, VideoFrame

FACES = 8
COLORS = {"valence": "#1f6fb2", "arousal": "#c8442c"}
STYLES = ("-", "--", ":", "-.")  # by face
SHADES = {
    Status.NO_FACE: "#d9d9d9",
    Status.NO_AUDIO: "#efe6d2",
    Status.NO_SPEECH: "#f5efe0",
    Status.STALE: "#bdbdbd",
    Status.ABSTAIN: "#e6d7e8",
    Status.WARMUP: "#eef3f7",
}


def plot_events(events: Sequence[AffectEvent], source: str, path: str) -> None:
    """Writes the frame.

    Args:
        events: of one run, in order.
        source: the media file they came from, read again for the faces.
        path: PNG to write.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendUnavailableError(f"--plot needs matplotlib, got: {error}; pip install edgeaff[view].") from error
    figure = Figure(figsize=(10, 5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, FACES, height_ratios=[1, 2.4])
    for column, (event, crop) in enumerate(faces_of(events, source)):
        axes = figure.add_subplot(grid[0, column])
        axes.set_axis_off()
        if crop is not None:
            axes.imshow(crop)
        axes.set_title(f"{event.pts_ns / 1e9:.1f} s", fontsize=8)
    draw_values(figure.add_subplot(grid[1, :]), events)
    figure.savefig(path, dpi=120)


def draw_values(axes: Any, events: Sequence[AffectEvent]) -> None:
    """Draws both values over time, a band of one standard deviation, and shades what is not OK."""
    seconds = np.unique([event.pts_ns for event in events]) / 1e9
    for index, series in enumerate(series_of(events)):
        for name, color in COLORS.items():
            value, std = column(series, name), column(series, f"{name}_std")
            axes.fill_between(seconds, value - std, value + std, color=color, alpha=0.15, linewidth=0)
            label, style = (name, "-") if index == 0 else (None, STYLES[index % len(STYLES)])
            axes.plot(seconds, value, color=color, label=label, linestyle=style, linewidth=1.6)
    for status, start, end in runs(events):
        if status in SHADES:
            axes.axvspan(start / 1e9, end / 1e9, color=SHADES[status], zorder=0, linewidth=0)
            if end - start > 500_000_000:
                axes.text((start + end) / 2e9, -0.97, status.value, fontsize=7, ha="center", color="#555555")
    axes.set(xlim=(seconds[0], seconds[-1] + 1 / 30), ylim=(-1, 1), xlabel="seconds", ylabel="apparent affect")
    axes.axhline(0, color="#999999", linewidth=0.6)
    axes.legend(loc="upper right", frameon=False, ncols=2)


def series_of(events: Sequence[AffectEvent]) -> list[list[AffectEvent | None]]:
    """Returns the lines to draw, an event or None per tick: one line, or one per track where ticks have several faces."""
    ticks = sorted({event.pts_ns for event in events})
    if len(ticks) == len(events):
        return [list(events)]
    found = {(event.face.track_id if event.face else None, event.pts_ns): event for event in events}
    return [[found.get((track, tick)) for tick in ticks] for track in dict.fromkeys(track for track, _ in found)]


def column(series: Sequence[AffectEvent | None], name: str) -> np.ndarray:
    """Returns one field of a line, NaN where there is no value. (n,) float64."""
    values = [None if event is None else getattr(event, name) for event in series]
    return np.array([np.nan if value is None else value for value in values])


def runs(events: Sequence[AffectEvent]) -> list[tuple[Status, int, int]]:
    """Returns (status, first pts, end pts) of each stretch of equal status."""
    found: list[tuple[Status, int, int]] = []
    for event in events:
        if found and found[-1][0] is event.status:
            found[-1] = (event.status, found[-1][1], event.pts_ns + 33_333_333)
        else:
            found.append((event.status, event.pts_ns, event.pts_ns + 33_333_333))
    return found


def faces_of(events: Sequence[AffectEvent], source: str) -> list[tuple[AffectEvent, np.ndarray | None]]:
    """Returns up to eight (event, crop) pairs spread over time, the crops read from the file again; None where no face was."""
    from edgeaff.capture.open import open_source
    from edgeaff.capture.uri import parse_uri

    picks = [events[index] for index in np.linspace(0, len(events) - 1, min(FACES, len(events))).round().astype(int)]
    crops: list[np.ndarray | None] = [None] * len(picks)
    if parse_uri(source).scheme != "file":
        return list(zip(picks, crops, strict=True))
    with open_source(source) as media:
        if not media.has_video:
            return list(zip(picks, crops, strict=True))
        waiting = list(range(len(picks)))
        last: np.ndarray | None = None
        for unit in media:
            if not isinstance(unit, VideoFrame):
                continue
            last = unit.image
            while waiting and unit.pts_ns >= picks[waiting[0]].pts_ns - 20_000_000:
                index = waiting.pop(0)
                crops[index] = crop_of(unit.image, picks[index])
            if not waiting:
                break
        for index in waiting:  # ticks after the last frame
            crops[index] = crop_of(last, picks[index]) if last is not None else None
    return list(zip(picks, crops, strict=True))


def crop_of(image: np.ndarray, event: AffectEvent) -> np.ndarray | None:
    """Returns the surroundings of the event's face in a frame, or None without a face."""
    if event.face is None:
        return None
    box = event.face.box
    reach = 0.75 * max(box.x1 - box.x0, box.y1 - box.y0)
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    top, bottom = int(max(0, y - reach)), int(min(image.shape[0], y + reach))
    left, right = int(max(0, x - reach)), int(min(image.shape[1], x + reach))
    return image[top:bottom, left:right] if bottom > top and right > left else None
