"""Face detection: detectors behind one protocol, and the tracker that gives faces an identity over time."""

from edgeaff.detection.detector import FaceDetector, load_detector
from edgeaff.detection.tracker import FaceTracker

__all__ = ["FaceDetector", "FaceTracker", "load_detector"]
