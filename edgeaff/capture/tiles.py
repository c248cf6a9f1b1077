"""Still images that are coded in parts: decodes the tiles of a HEIF image and puts them together."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from edgeaff.capture.heif import HeifImage
from edgeaff.capture.image import ImageMaker
from edgeaff.forking import ProcessBound
from edgeaff.types import VideoFrame, most_pixels


def applied(image: np.ndarray, operations: tuple[tuple[str, Any], ...]) -> np.ndarray:
    """Returns an image after the operations of its `HeifImage`, as a view where that is enough."""
    for name, value in operations:
        if name == "turn":
            image = np.rot90(image, value)
        elif name == "mirror":
            image = image[:, ::-1] if value else image[::-1]
        else:
            x0, y0, x1, y1 = value
            image = image[y0:y1, x0:x1]
    return image


class StillReader(ProcessBound):
    """Reads the one image of a HEIF file, tiles and all; takes the place of a `TrackReader`.

    Attributes:
        kind: "video".
        index: position of its first tile in the container.
        bad_packets: tiles that could not be decoded; they stay black.
        damaged_frames: 1 where tiles are missing.
        frames: 1 once it is decoded.
        error: why it could not be read, or None.
    """

    kind = "video"
    repaired_pts = stalled_pts = jumps = end_ns = 0
    channels_cancel = beyond_full_scale = False
    nominal_rate = None

    def __init__(self, container: Any, image: HeifImage) -> None:
        """Prepares the decoders.

        Args:
            container: an open PyAV container without other readers.
            image: whose tiles are tracks of it.
        """
        by_id: dict[int, Any] = {}
        for stream in container.streams:
            if stream.type == "video":
                by_id.setdefault(stream.id, stream)  # an animation beside the items may have the same number
        self._container, self._image = container, image
        self._places: dict[int, list[int]] = {}
        for place, item in enumerate(image.tiles):
            self._places.setdefault(by_id[item].index, []).append(place)
        self._streams = [by_id[item] for item in dict.fromkeys(image.tiles)]
        for stream in self._streams:
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(most_pixels())}
        self.index = self._streams[0].index
        self.bad_packets = self.damaged_frames = self.frames = 0
        self.error: str | None = None

    def __iter__(self) -> Generator[VideoFrame, None, None]:
        """Yields the image, at time 0, where a tile can be decoded."""
        canvas: np.ndarray | None = None
        filled: set[int] = set()
        makers: dict[int, ImageMaker] = {}
        for index, frame in self._decoded():
            if filled.issuperset(self._places[index]):
                continue  # of a sequence the first
            tile = makers.setdefault(index, ImageMaker((0, False))).image_of(frame)
            height, width = tile.shape[:2]
            if canvas is None:
                if self._image.rows * height * self._image.columns * width > most_pixels():
                    self.error = f"it has more than {most_pixels():,} pixels"
                    return
                canvas = np.zeros((self._image.rows * height, self._image.columns * width, 3), np.uint8)
            for place in self._places[index]:
                self._paste(canvas, tile, place)
                filled.add(place)
        missing = len(self._image.tiles) - len(filled)
        self.bad_packets = max(self.bad_packets, missing)
        if canvas is not None:
            self.damaged_frames, self.frames = int(missing > 0), 1
            width, height = self._image.size or (canvas.shape[1], canvas.shape[0])
            yield VideoFrame(0, np.ascontiguousarray(applied(canvas[:height, :width], self._image.operations)))

    def _paste(self, canvas: np.ndarray, tile: np.ndarray, place: int) -> None:
        height, width = canvas.shape[0] // self._image.rows, canvas.shape[1] // self._image.columns
        row, column = divmod(place, self._image.columns)
        part = tile[:height, :width]
        canvas[row * height : row * height + part.shape[0], column * width : column * width + part.shape[1]] = part

    def _decoded(self) -> Generator[tuple[int, Any], None, None]:
        import av

        try:
            for packet in self._container.demux(self._streams):
                try:
                    frames = packet.decode()
                except (av.error.FFmpegError, ValueError):
                    self.bad_packets += 1
                    continue
                for frame in frames:
                    yield packet.stream.index, frame
        except (av.error.FFmpegError, OSError) as error:
            self.error = str(error.strerror or error)
