"""One tick as a waterfall of its stages, drawn with matplotlib.

The stages are those of the readable twin (`edgeaff.reference`): in a Session most of them run inside of one native call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeaff.bench.latency_engines import Engine
from edgeaff.bench.latency_media import Media
from edgeaff.reference.preprocessor import Preprocessor, ReferenceCore

TICKS = 120
COLORS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb")
Span = dict[str, Any]


def measure_waterfall(engine: Engine, media: Media) -> list[Span]:
    """Returns the spans (name, depth, start_ms, end_ms) of the tick with the median time among those where the detector ran.

    Args:
        engine: of ours, warmed up.
        media: images and audio.
    """
    spans: list[Span] = []
    session, usual = engine.session, engine.session._preprocessor
    session._preprocessor = readable = Preprocessor.like(usual)
    undo = _watch(engine, readable, spans)
    ticks: list[list[Span]] = []
    try:
        for tick in range(engine.next_tick, engine.next_tick + TICKS):
            spans.clear()
            taken = media.take(tick)
            start = time.perf_counter_ns()
            engine.push_taken(taken, tick)
            end = time.perf_counter_ns()
            whole = {"name": "tick", "depth": 0, "start_ns": start, "end_ns": end}
            if any(span["name"] == "detector" for span in spans):
                ticks.append([whole, *sorted(spans, key=lambda span: span["start_ns"])])
    finally:
        for restore in undo:
            restore()
        session._preprocessor = usual
    ticks.sort(key=lambda found: found[0]["end_ns"] - found[0]["start_ns"])
    chosen = ticks[len(ticks) // 2]
    zero = chosen[0]["start_ns"]
    return [
        {
            "name": span["name"],
            "depth": span["depth"],
            "start_ms": round((span["start_ns"] - zero) / 1e6, 4),
            "end_ms": round((span["end_ns"] - zero) / 1e6, 4),
        }
        for span in chosen
    ]


def _watch(engine: Engine, preprocessor: Preprocessor, spans: list[Span]) -> list[Callable[[], None]]:
    """Returns functions that unwrap the stages of a session, after wrapping them."""
    session = engine.session
    assert isinstance(preprocessor._core, ReferenceCore)
    parts, segment = preprocessor.parts, preprocessor._core.segment
    assert segment._faces is not None
    stages: list[tuple[Any, str, str]] = [
        (preprocessor, "push_audio", "audio: clock, LLDs"),
        (parts.detector, "detect", "detector"),
        (segment._faces._tracker, "update", "tracker, shot cuts"),
        (parts.encoder, "crop", "crop"),
        (parts.encoder, "encode_crops", "face encoder"),
        (segment, "_make", "sync, normalize"),
        (session._predictor, "advance", "step"),
        (session, "_event", "event"),
    ]
    undo = [_wrap(owner, attribute, name, 1, spans) for owner, attribute, name in stages]
    graph = getattr(parts.detector, "_graph", None)
    if graph is not None:
        undo.append(_wrap(graph, "run", "detector's network", 2, spans))
    return undo


def _wrap(owner: Any, attribute: str, name: str, depth: int, spans: list[Span]) -> Callable[[], None]:
    inner = getattr(owner, attribute)

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter_ns()
        try:
            return inner(*arguments, **named)
        finally:
            spans.append({"name": name, "depth": depth, "start_ns": start, "end_ns": time.perf_counter_ns()})

    setattr(owner, attribute, timed)
    return lambda: delattr(owner, attribute)


def draw_waterfall(spans: list[Span], path: Path, title: str) -> None:
    """Writes an image of the spans. path: PNG, SVG or PDF; title: above it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.34 * len(spans) + 1.1), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, span in enumerate(spans):
        length = span["end_ms"] - span["start_ms"]
        color = "#dddddd" if span["depth"] == 0 else COLORS[row % len(COLORS)]
        axes.barh(row, length, left=span["start_ms"], height=0.7 if span["depth"] < 2 else 0.35, color=color)
        axes.annotate(
            f"{length:.3f} ms",
            (span["end_ms"], row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(spans)), [span["name"] for span in spans], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, spans[0]["end_ms"] * 1.15)
    axes.set_xlabel("milliseconds since the image came")
    axes.set_title(title, fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
