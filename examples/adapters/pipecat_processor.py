"""A Pipecat processor: listens to the user's audio and images on their way through a pipeline and adds apparent affect.

```
pipeline = Pipeline([transport.input(), AffectProcessor(), stt, context_aggregator.user(), llm, tts, transport.output()])
```
Needs `pip install pipecat-ai`. Every frame passes on unchanged. About once a second an `AffectFrame` follows with the newest event;
a later processor may put it into the context of the language model. Nothing is sent anywhere else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
from pipecat.frames.frames import DataFrame, Frame, InputAudioRawFrame, InputImageRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

import edgeaff
from edgeaff import AffectEvent

PERIOD_NS = 1_000_000_000


@dataclass
class AffectFrame(DataFrame):
    """The newest event; its values are None where there is no evidence."""

    event: AffectEvent


class AffectProcessor(FrameProcessor):
    """Pushes audio and images of the user into a Session; its clock is the count of audio samples."""

    def __init__(self, *, video: bool = True, **arguments: Any) -> None:
        """Makes the session.

        Args:
            video: whether the transport brings images of the user.
            arguments: of FrameProcessor.
        """
        super().__init__(**arguments)
        self._session = edgeaff.Session(video=video)
        self._video, self._now_ns, self._reported_ns = video, 0, 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Passes the frame on, and an AffectFrame after it where one is due."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            events = await asyncio.to_thread(self._hear, frame)
        elif isinstance(frame, InputImageRawFrame) and self._video and frame.format in (None, "RGB"):
            events = await asyncio.to_thread(self._see, frame)
        else:
            return
        if events and events[-1].pts_ns - self._reported_ns >= PERIOD_NS:
            self._reported_ns = events[-1].pts_ns
            await self.push_frame(AffectFrame(events[-1]))

    def _hear(self, frame: InputAudioRawFrame) -> list[AffectEvent]:
        samples = np.frombuffer(frame.audio, dtype="<i2").reshape(-1, frame.num_channels)[:, 0].astype(np.int16)
        start_ns = self._now_ns
        self._now_ns += len(samples) * 1_000_000_000 // frame.sample_rate
        return self._session.push_audio(samples, pts_ns=start_ns, sample_rate_hz=frame.sample_rate)

    def _see(self, frame: InputImageRawFrame) -> list[AffectEvent]:
        width, height = frame.size
        image = np.frombuffer(frame.image, dtype=np.uint8).reshape(height, width, 3)
        return self._session.push_frame(image, pts_ns=self._now_ns)
