"""Async generators as server-sent events: at the client's pace, and cancelled when it leaves."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from ._json import encode
from ._stream import error_event

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator

    from ._native import Sink


class AsyncStream:
    """An async generator that the loop advances while its client takes more."""

    def __init__(self, generator: AsyncGenerator[Any, Any], sink: Sink, logger: logging.Logger) -> None:
        self._generator = generator
        self._sink = sink
        self._logger = logger

    def started(self, task: asyncio.Task[Any]) -> None:
        """Has the task cancelled when the client leaves."""
        self._sink.on_leave(task.cancel)

    async def run(self) -> None:
        """Adds items until the end, or until it is cancelled."""
        sink, generator = self._sink, self._generator
        try:
            async for item in generator:
                if not sink.push(encode(item)):
                    if sink.abandoned:
                        return
                    await room(sink)
        except asyncio.CancelledError:
            if not sink.abandoned:
                sink.push(error_event(asyncio.CancelledError("the stream was cancelled")))
            raise
        except BaseException as error:
            self._logger.error("Error in async streaming", exc_info=error)
            sink.push(error_event(error))
        finally:
            sink.close()
            await self._close()

    async def _close(self) -> None:
        try:
            await self._generator.aclose()
        except Exception as error:
            self._logger.error("Error when a stream was closed", exc_info=error)


async def room(sink: Any) -> None:
    """Waits until there is room in a sink, or nobody listens any more."""
    free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if sink.park(functools.partial(wake, free)):
        await free


def wake(waiting: asyncio.Future[Any], result: object = None) -> None:
    """Lets whoever waits go on, unless it was cancelled meanwhile."""
    if not waiting.done():
        waiting.set_result(result)
