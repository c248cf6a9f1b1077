"""A ROS 2 node: publishes valence and arousal as `hri_msgs/Expression`, one topic per face, as ROS4HRI has it.

python examples/adapters/ros2_node.py --video camera:0 --audio mic:default

Needs rclpy and hri_msgs of a ROS 2 installation; neither is on PyPI. A value that an event lacks is NaN. `confidence` is 1 where
the standard deviation is 0 and 0 where it is that of a value drawn evenly from [-1, 1], which carries no information.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import edgeaff
from edgeaff import AffectEvent, Status

TOPIC = "/humans/faces/{face}/expression"
NOTHING_KNOWN_STD = 2 / math.sqrt(12)


def confidence(event: AffectEvent) -> float:
    """Returns the confidence of an event in [0, 1], from the larger of its two standard deviations."""
    stds = [std for std in (event.valence_std, event.arousal_std) if std is not None]
    return max(0.0, 1 - max(stds) / NOTHING_KNOWN_STD) if stds and event.status is not Status.ABSTAIN else 0.0


class AffectNode:
    """Publishes events; makes the topic of a face with its first event."""

    def __init__(self, node: Any, expression: Any) -> None:
        """Takes what ROS gives.

        Args:
            node: an rclpy node.
            expression: the message class `hri_msgs.msg.Expression`.
        """
        self._node, self._expression = node, expression
        self._publishers: dict[str, Any] = {}

    def write(self, event: AffectEvent) -> None:
        """Publishes an event that has a face."""
        if event.face is None:
            return
        face = f"edgeaff{event.face.track_id}"
        if face not in self._publishers:
            self._publishers[face] = self._node.create_publisher(self._expression, TOPIC.format(face=face), 10)
        message = self._expression()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.valence = math.nan if event.valence is None else float(event.valence)
        message.arousal = math.nan if event.arousal is None else float(event.arousal)
        message.confidence = confidence(event)
        self._publishers[face].publish(message)

    def close(self) -> None:
        """Removes the topics."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()


def main() -> None:
    """Runs until the source ends or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="camera:0", help="path or URI of the frames (default camera:0)")
    parser.add_argument("--audio", help="path or URI of the audio, for example mic:default")
    parser.add_argument("--max-faces", type=int, default=2, help="most faces with their own topic (default 2)")
    options = parser.parse_args()
    import rclpy
    from hri_msgs.msg import Expression

    rclpy.init()
    node = rclpy.create_node("edgeaff")
    sink = AffectNode(node, Expression)
    try:
        with edgeaff.Runtime(video=options.video, audio=options.audio, max_faces=options.max_faces) as runtime:
            for event in runtime:
                sink.write(event)
    except KeyboardInterrupt:
        pass
    finally:
        sink.close()
        node.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    main()
