"""asyncio: async callbacks and sinks run; `async for` needs no thread and loses no event when a wait is canceled."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.awaiting import call_plain
from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.runtime.queue import EventQueue
from edgeaff.types import AffectEvent

from ..waiting import wait_until

GRAY = np.full((48, 64, 3), 128, np.uint8)
TICK_NS = 33_333_333


def push(runtime: edgeaff.Runtime, ticks: int) -> None:
    """Pushes frames, waiting for room, and finishes."""
    video = runtime._source.sources[0]
    for tick in range(ticks):
        wait_until(lambda: video.inbox.sizes()[0] == 0)
        runtime.push_frame(GRAY, pts_ns=tick * TICK_NS)
    wait_until(lambda: video.inbox.sizes()[0] == 0)
    runtime.finish()


def make_runtime(**options: Any) -> edgeaff.Runtime:
    return edgeaff.Runtime(video=edgeaff.PushVideo(), **options)


class Collector:
    """Collects events in every form of callable."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def method(self, event: Any) -> None:
        await asyncio.sleep(0)
        self.events.append(event)

    async def with_option(self, option: int, event: Any) -> None:
        await self.method(event)

    async def __call__(self, event: Any) -> None:
        await self.method(event)

    def forms(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "method": self.method,
            "object": self,
            "partial": functools.partial(self.with_option, 1),
            "partial of an object": functools.partial(self),
            "lambda": lambda event: self.method(event),
        }


@pytest.mark.parametrize("form", ["method", "object", "partial", "partial of an object", "lambda"])
@pytest.mark.parametrize("registered", ["outside", "in a loop"])
def test_async_callback_runs_for_every_event(form: str, registered: str) -> None:
    collector = Collector()
    runtime = make_runtime()

    async def main() -> None:
        runtime.on_event(collector.forms()[form])
        with runtime:
            await asyncio.to_thread(push, runtime, 5)
            await asyncio.to_thread(runtime.join)

    if registered == "in a loop":
        asyncio.run(main())
    else:
        runtime.on_event(collector.forms()[form])
        with runtime:
            push(runtime, 5)
            runtime.join()
    assert [event.seq for event in collector.events] == list(range(5))


def test_async_callback_runs_in_the_loop_that_registered_it_and_tasks_of_a_background_loop_go_on() -> None:
    threads: dict[str, str] = {}

    async def note(name: str, event: Any) -> None:
        threads[name] = threading.current_thread().name

    async def later(event: Any) -> None:
        asyncio.get_running_loop().create_task(note("task", event))

    runtime = make_runtime()
    runtime.on_event(functools.partial(note, "background"))
    runtime.on_event(later)

    async def main() -> None:
        runtime.on_event(functools.partial(note, "own"))
        with runtime:
            await asyncio.to_thread(push, runtime, 2)
            await asyncio.to_thread(runtime.join)

    asyncio.run(main())
    wait_until(lambda: len(threads) == 3)
    assert threads == {"background": "edgeaff-asyncio", "task": "edgeaff-asyncio", "own": "MainThread"}


@pytest.mark.parametrize("asynchronous", [True, False])
def test_status_and_first_face_callbacks_may_be_async(asynchronous: bool) -> None:
    seen = Collector()
    runtime = make_runtime()
    callback = seen.method if asynchronous else seen.events.append
    runtime.on_first_face(callback)
    runtime.on_status(callback)
    with runtime:
        runtime.status.emit("backend", "swapped")
        runtime.status.emit("runtime", "first_face")
        wait_until(lambda: len(seen.events) == 3)
    assert sorted(event.kind for event in seen.events) == ["first_face", "first_face", "swapped"]


@pytest.mark.parametrize("live", [True, False])
def test_async_sink_gets_every_event_and_is_closed(live: bool, tmp_path: Any) -> None:
    class Sink(Collector):
        closed = False

        async def write(self, event: AffectEvent) -> None:
            await self.method(event)

        async def close(self) -> None:
            self.closed = True

    sink = Sink()
    if live:
        runtime = make_runtime(sinks=[sink])
        with runtime:
            push(runtime, 5)
            runtime.join()
    else:
        from edgeaff.delivery.queued import QueuedSink

        with QueuedSink(sink) as queued:
            for seq in range(5):
                queued.write(seq)  # type: ignore[arg-type]
    assert len(sink.events) == 5 and sink.closed


def test_exception_of_an_async_callback_surfaces_where_events_are_read() -> None:
    async def breaks(event: Any) -> None:
        raise TimeoutError("mine")

    runtime = make_runtime()
    runtime.on_event(breaks)
    with runtime:
        push(runtime, 2)
        with pytest.raises(TimeoutError, match="mine"):
            runtime.join()


@pytest.mark.parametrize("call", ["join", "iterate"])
def test_waiting_in_the_loop_of_ones_own_callbacks_is_an_error(call: str) -> None:
    async def main() -> None:
        runtime = make_runtime()
        runtime.on_status(Collector().method)
        with runtime, pytest.raises(SessionStateError, match="must not block the event loop"):
            runtime.join() if call == "join" else next(iter(runtime))

    asyncio.run(main())


def test_async_callback_whose_loop_has_ended_is_an_error_not_a_hang() -> None:
    runtime = make_runtime()

    async def register() -> None:
        runtime.on_event(Collector().method)

    asyncio.run(register())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with runtime:
            push(runtime, 1)
            with pytest.raises(SessionStateError, match="event loop"):
                runtime.join()


def generator(event: Any) -> Iterator[None]:
    yield


async def async_generator(event: Any) -> Any:
    yield


@pytest.mark.parametrize("callback", [generator, async_generator, functools.partial(generator), 3, None])
@pytest.mark.parametrize("register", ["on_event", "on_status", "on_first_face"])
def test_what_would_never_run_is_no_callback(register: str, callback: Any) -> None:
    runtime = make_runtime()
    with pytest.raises(ArgumentError, match="callback must"):
        getattr(runtime, register)(callback)
    runtime.stop()


@pytest.mark.parametrize("function", [Collector().method, generator, async_generator, lambda event: generator(event)])
def test_plain_call_refuses_what_would_never_run(function: Any) -> None:
    with warnings.catch_warnings(), pytest.raises(ArgumentError, match="progress must be a plain function"):
        warnings.simplefilter("error")
        call_plain("progress", function, 1)
    call_plain("progress", print, 1)


# --- async iteration ------------------------------------------------------------------------------------------------------------


def test_async_iteration_needs_no_thread_and_canceled_waits_lose_nothing() -> None:
    async def main() -> list[int]:
        runtime = make_runtime()
        with runtime:
            events = aiter(runtime)
            before = threading.active_count()
            for _ in range(20):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(events), 0.001)
            assert threading.active_count() == before
            pushing = asyncio.to_thread(push, runtime, 6)
            task = asyncio.create_task(pushing)
            seen = [event.seq async for event in events]
            await task
            return seen

    assert asyncio.run(main()) == list(range(6))


def test_async_queue_under_cancellation_delivers_every_item_once() -> None:
    queue: EventQueue[int] = EventQueue(capacity=4)

    async def read(seen: list[int]) -> None:
        random = np.random.default_rng(1)
        while not queue.finished:
            with contextlib.suppress(asyncio.TimeoutError):
                item = await asyncio.wait_for(queue.get_async(), random.uniform(0, 0.002))
                if item is not None:
                    seen.append(item)

    def loop(seen: list[int]) -> None:
        asyncio.run(read(seen))

    seen: tuple[list[int], list[int]] = ([], [])
    readers = [threading.Thread(target=loop, args=(mine,)) for mine in seen]
    for reader in readers:
        reader.start()
    for item in range(400):
        queue.put(item)
        if item % 40 == 0:
            time.sleep(0.004)
    queue.close()
    for reader in readers:
        reader.join()
    assert sorted([*seen[0], *seen[1]]) == list(range(400))


def test_async_iteration_of_a_dropped_loop_does_not_keep_the_producer_from_going_on() -> None:
    queue: EventQueue[int] = EventQueue(capacity=4)
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.get_async())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    assert queue.put(1) and queue.get() == 1


def test_async_iteration_raises_what_went_wrong() -> None:
    async def main() -> None:
        runtime = make_runtime()
        runtime.on_event(lambda event: 1 / 0)
        with runtime:
            runtime.push_frame(GRAY)
            async for _ in runtime:
                pass

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
