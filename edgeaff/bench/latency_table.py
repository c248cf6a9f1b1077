"""The results of the latency benchmark as Markdown."""

from __future__ import annotations

from typing import Any

STAGE_COLUMNS = (
    "preset",
    "stage",
    "engine",
    "precision",
    "threads",
    "n",
    "min_us",
    "p50_us",
    "p90_us",
    "p99_us",
    "jitter_us",
    "cpu_p50_us",
    "roof_percent",
    "rss_mib",
    "error_to_fp32",
)
PIPELINE_COLUMNS = (
    "preset",
    "engine",
    "precision",
    "threads",
    "stride",
    "n",
    "fps",
    "real_time_factor",
    "min_ms",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "jitter_ms",
    "cpu_ms",
    "cpu_share",
)
CAMERA_COLUMNS = (
    *PIPELINE_COLUMNS,
    "first_value_ms",
    "dropped_percent",
    "video_age_p50_ms",
    "audio_age_p50_ms",
    "av_skew_p50_ms",
)
POWER_COLUMNS = ("rails_w", "joules_per_value")  # where the device reports it
LEGEND = (
    "n: timings; p50, p90, p99: percentiles; jitter: p99 less p50; us, ms: time, cpu_us, cpu_ms: processor time, of one call or tick",
    "cpu_share: processor time / time, 1 is one core all the time; fps: ticks a second; real_time_factor: time of a tick / (1/30 s)",
    "stride: detector (in paper the transformer too) on every n-th image; roof_percent: of the fastest matrix product measured here",
    "rss_mib: memory that it added, in scaling rows memory of the process; error_to_fp32: relative L2, to ONNX Runtime in float32",
    "first_value_ms: from the first image; video_age, audio_age: of what a value rests on; av_skew: audio behind its image",
    "dropped_percent: images that came while the last was at work; rails_w: watts; joules_per_value: energy of a tick",
)
FABRICATED = (
    "Weights of VGG and of the transformer in `paper` rows are FABRICATED (random, of the right sizes): speed only."
)


def as_markdown(result: dict[str, Any]) -> str:
    """Returns machine, stages, pipelines, what the engines are, ratios, bars, scaling and what was left out."""
    machine = result["machine"]
    back_to_back, camera = (
        [row for row in result["pipelines"] if row["mode"] == mode] for mode in ("back_to_back", "camera")
    )
    lines = [
        f"{machine['processor']}, {machine['cores']} cores; load {machine['load_average']} before, "
        f"{machine['load_average_after']} after; {result['run']['date']}, commit {result['run']['commit']}",
        f"{result['bundle']}; {result['media']}; roof by threads, GFLOP/s and GOP/s: {machine['roof_gop_per_s']}",
    ]
    if any(row["preset"] == "paper" for row in result["pipelines"]):
        lines.append(FABRICATED)
    if machine.get("device"):
        lines.append("; ".join(f"{name}: {value}" for name, value in machine["device"].items()))
    lines += ["", *(f"- {sentence}" for sentence in LEGEND)]
    lines += _section("Stages", result["stages"], STAGE_COLUMNS)
    lines += _section("Pipelines, back to back", back_to_back, PIPELINE_COLUMNS + _power(back_to_back))
    camera_title = "Pipelines, camera of 30 images a second (times are from image to value)"
    lines += _section(camera_title, camera, CAMERA_COLUMNS + _power(camera))
    lines += ["", "What the engines are:", ""]
    lines += [
        f"- {row['preset']}, {row['engine']}, stride {row['stride']}: {row['arrangement']}" for row in back_to_back
    ]
    ratios = [_ratio(row) for row in result["ratios"]] or ["- no peer took part: see what is left out, at the end"]
    lines += ["", "Times less than the peer, per tick:", "", *ratios]
    bars = [row for row in result["bars"] if row["measured"] is not None]
    lines += _section(
        "Bars (those in time hold on an idle machine only: see cpu_share)", bars, ("bar", "asked", "measured", "met")
    )
    lines += _section(
        "Scaling",
        result["scaling"],
        ("scaling", "value", "n", "p50_us", "cpu_p50_us", "cpu_mean_us", "rss_mib", "cpu_share"),
    )
    lines += ["", *(f"- left out: {name}: {why}" for name, why in result["left_out"].items())]
    return "\n".join(lines)


def _power(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Returns the columns of power and energy that these rows have."""
    return tuple(name for name in POWER_COLUMNS if any(row.get(name) is not None for row in rows))


def _ratio(row: dict[str, Any]) -> str:
    head = f"- {row['preset']}, stride {row['stride']}, {row['threads']} thread(s), against {row['peer']}: "
    if row["cpu"] is None:
        return f"{head}not stated, a CPU share was below 0.9"
    return f"{head}{row['cpu']} in CPU time, {row['wall']} in time"


def _section(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    if not rows:
        return []
    lines = ["", f"## {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(_cell(row.get(name)) for name in columns)} |" for row in rows]


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
