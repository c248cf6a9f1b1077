"""The results of the latency benchmark as Markdown."""

from __future__ import annotations

from typing import Any


def as_markdown(result: dict[str, Any]) -> str:
    """Returns machine, stages, pipelines, ratios and bars."""
    machine = result["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores; load {machine['load_average']} before, "
        f"{machine['load_average_after']} after; {result['run']['date']}, commit {result['run']['commit']}",
        f"{result['bundle']}; {result['media']}",
        "",
        *_table(
            result["stages"],
            ("stage", "engine", "n", "min_us", "p50_us", "p90_us", "p99_us", "cpu_p50_us", "cpu_share"),
        ),
        "",
        *_table(
            result["pipelines"],
            (
                "engine",
                "mode",
                "n",
                "fps",
                "min_ms",
                "p50_ms",
                "p90_ms",
                "p99_ms",
                "cpu_ms",
                "cpu_share",
                "dropped_percent",
            ),
        ),
        "",
    ]
    for what, key in (("whole tick", "cpu_ratios"), ("model alone", "cpu_ratios_of_the_model_alone")):
        for name, value in result[key].items():
            text = f"{value} times our CPU time" if value is not None else "no ratio: a CPU share was below 0.9"
            lines.append(f"- {what}, {name.removeprefix('vs_')}: {text}")
    bars = [{**row, "asked": row["bar"], "bar": name} for name, row in result["bars"].items()]
    lines += ["", *_table(bars, ("bar", "asked", "measured", "met")), ""]
    lines += [f"- left out: {name}: {why}" for name, why in result["left_out"].items()]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return head + [f"| {' | '.join(str(row.get(name, '')) for name in columns)} |" for row in rows]
