"""An MCP server with one tool: how the person before the camera comes across, in words and numbers, with their uncertainty.

python examples/adapters/mcp_tool.py --video camera:0 --audio mic:default        # speaks MCP on standard input and output

Needs `pip install mcp`. Camera and microphone are open only while a client asks: `seconds` per call. Nothing is stored, and
nothing but the summary leaves the process.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import edgeaff
from edgeaff import AffectEvent

MOST_SECONDS = 30.0


def summary(events: list[AffectEvent]) -> dict[str, Any]:
    """Returns means, uncertainty and the share of each status; a mean is None where no event has that value."""
    row: dict[str, Any] = {"ticks": len(events)}
    for name in ("valence", "arousal"):
        values = [getattr(event, name) for event in events if getattr(event, name) is not None]
        stds = [getattr(event, f"{name}_std") for event in events if getattr(event, f"{name}_std") is not None]
        row[name] = round(statistics.fmean(values), 3) if values else None
        row[f"{name}_std"] = round(statistics.fmean(stds), 3) if stds else None
    counts = {event.status.value: 0 for event in events}
    for event in events:
        counts[event.status.value] += 1
    row["statuses"] = {name: round(count / len(events), 3) for name, count in counts.items()}
    if row["valence"] is not None and row["arousal"] is not None:
        row["reads_as"] = edgeaff.circumplex(row["valence"], row["arousal"])
    row["note"] = "an estimate of how a person appears, not of what the person feels"
    return row


def watch(video: str | None, audio: str | None, seconds: float) -> dict[str, Any]:
    """Returns the summary of the next seconds, or of a whole file.

    Args:
        video: path or URI of the frames.
        audio: path or URI of the audio.
        seconds: how long a live source is watched, at most 30.
    """
    events: list[AffectEvent] = []
    end_ns: float | None = None
    with edgeaff.Runtime(video=video, audio=audio) as runtime:
        for event in runtime:
            events.append(event)
            end_ns = end_ns or event.pts_ns + 1e9 * min(max(seconds, 1.0), MOST_SECONDS)
            if event.pts_ns >= end_ns:
                break
    return summary(events)


def make_server(video: str | None, audio: str | None) -> Any:
    """Returns the MCP server.

    Args:
        video: path or URI of the frames.
        audio: path or URI of the audio.
    """
    try:
        from mcp.server.fastmcp import FastMCP as Server
    except ImportError:  # mcp 2
        from mcp.server import MCPServer as Server

    server = Server("edgeaff")

    @server.tool()
    def apparent_affect(seconds: float = 5.0) -> dict[str, Any]:
        """Returns apparent valence and arousal in [-1, 1] of the person in view, each with its uncertainty, after some seconds."""
        return watch(video, audio, seconds)

    return server


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="camera:0", help="path or URI of the frames (default camera:0)")
    parser.add_argument("--audio", help="path or URI of the audio, for example mic:default")
    options = parser.parse_args()
    make_server(options.video, options.audio).run()


if __name__ == "__main__":
    main()
