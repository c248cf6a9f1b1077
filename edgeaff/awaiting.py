"""`Caller`: calls a user function, plain or async, from a thread and waits until it is done.

An async function runs in the event loop that was running where it was registered. Without one, or if only the call shows that
it is async (a lambda around a coroutine), it runs in a `BackgroundLoop` on a separate thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from edgeaff.errors import ArgumentError, SessionStateError

LOOK_SECONDS = 0.2
IDLE_LOOKS = 50  # successive looks at an event loop that does not run, 10 s in all


def is_async(function: Any) -> bool:
    """Returns True if a call gives a coroutine: coroutine functions, objects with an async `__call__`, partials of both."""
    return any(inspect.iscoroutinefunction(part) for part in _forms(function))


def require_function(function: Any) -> None:
    """Checks that calling the function runs its code.

    Args:
        function: the user's.

    Raises:
        ArgumentError: it cannot be called, or it is a generator function, which would never run.
    """
    if not callable(function):
        raise ArgumentError(
            f"callback must be a function of one argument, the event, got {function!r}; pass it without ()."
        )
    if any(inspect.isgeneratorfunction(part) or inspect.isasyncgenfunction(part) for part in _forms(function)):
        raise ArgumentError(f"callback must run when it is called, got the generator {function!r}; remove its yield.")


def call_plain(name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Calls a function that must be plain, because its caller has no event loop to run it in.

    Args:
        name: of the argument, for messages.
        function: of the user.
        arguments: of the function.

    Raises:
        ArgumentError: it is async or a generator, so that its code would never run.
    """
    result = function(*arguments)
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        _dispose(result)
        raise ArgumentError(
            f"{name} must be a plain function, got an async one or a generator, {function!r}; pass one with def."
        )


def _forms(function: Any) -> tuple[Any, Any]:
    """Returns the function without its partials, and the `__call__` of its class."""
    while isinstance(function, (functools.partial, functools.partialmethod)):
        function = function.func
    return function, type(function).__call__


class BackgroundLoop:
    """An event loop on a separate thread, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def get(self) -> asyncio.AbstractEventLoop:
        """Returns the loop, running.

        Raises:
            SessionStateError: it was closed.
        """
        with self._lock:
            if self._closed:
                raise SessionStateError("The background event loop was closed. Register async callbacks before stop().")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), name="edgeaff-asyncio", daemon=True).start()
            return self._loop

    def close(self) -> None:
        """Cancels the tasks in the loop and ends it, without waiting. May be called again."""
        with self._lock:
            loop, self._loop, self._closed = self._loop, None, True
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class Caller:
    """Calls one function and waits until it is done."""

    def __init__(self, function: Callable[..., Any], background: BackgroundLoop) -> None:
        """Notes the event loop that runs here, for an async function.

        Args:
            function: of the user.
            background: where async functions run that were registered outside of any event loop.
        """
        self._function, self._background = function, background
        self.loop: asyncio.AbstractEventLoop | None = running_loop() if is_async(function) else None

    def __call__(self, *arguments: Any) -> None:
        """Calls the function and propagates its exceptions.

        Args:
            arguments: of the function.

        Raises:
            ArgumentError: it returned a generator, whose code would never run.
        """
        result = self._function(*arguments)
        if inspect.isawaitable(result):
            _wait(result, self.loop or self._background.get())
        elif inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise ArgumentError(f"callback must run when it is called, got {result!r}; remove its yield.")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Returns the event loop that runs on this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wait(awaitable: Awaitable[Any], loop: asyncio.AbstractEventLoop) -> None:
    """Waits on this thread until `awaitable` is done in `loop`.

    Raises:
        SessionStateError: the loop does not run any more, or canceled it.
    """
    coroutine = _completed(awaitable)
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError as error:
        coroutine.close()
        _dispose(awaitable)
        raise SessionStateError(
            f"The event loop of an async callback has ended ({error}). Keep it running until the runtime has stopped."
        ) from error
    idle = 0
    while not concurrent.futures.wait([future], LOOK_SECONDS).done:
        idle = 0 if loop.is_running() else idle + 1
        if loop.is_closed() or idle >= IDLE_LOOKS:
            future.cancel()
            _dispose(awaitable)
            raise SessionStateError(
                "The event loop of an async callback does not run. Keep it running until the runtime has stopped."
            )
    try:
        future.result()
    except concurrent.futures.CancelledError as error:
        raise SessionStateError("An async callback was canceled. Stop the runtime before its event loop.") from error


async def _completed(awaitable: Awaitable[Any]) -> None:
    await awaitable


def _dispose(awaitable: Any) -> None:
    """Closes a coroutine that will never run, which avoids the RuntimeWarning about it."""
    if inspect.iscoroutine(awaitable) and inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED:
        awaitable.close()
