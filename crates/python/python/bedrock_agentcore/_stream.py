"""Generators as server-sent events: at the client's pace, and closed when it leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._json import encode

if TYPE_CHECKING:
    import contextvars
    import logging
    from collections.abc import AsyncGenerator, Generator

    from ._native import Sink


def _error_event(error: BaseException) -> bytes:
    from ._dispatch import text_of

    message = "An error occurred during streaming"
    return encode({"error": text_of(error), "error_type": type(error).__name__, "message": message})


class SyncStream:
    """A generator that workers advance while its client takes more. Between two advances, and while
    the client is slow, it occupies no thread."""

    def __init__(
        self,
        generator: Generator[Any, Any, Any],
        sink: Sink,
        context: contextvars.Context,
        logger: logging.Logger,
    ) -> None:
        self._generator = generator
        self._sink = sink
        self._context = context
        self._logger = logger

    def __call__(self) -> None:
        # Parked only outside of the context, which one thread at a time can be in.
        while self._context.run(self._advance):
            if self._sink.park(self):
                return

    def _advance(self) -> bool:
        """Adds items until there is no more room. False: the stream has ended."""
        sink, generator = self._sink, self._generator
        try:
            if not sink.abandoned:
                for item in generator:
                    if not sink.push(encode(item)):
                        break
                else:
                    sink.close()
                    return False
            if not sink.abandoned:
                return True
            generator.close()
        except BaseException as error:
            self._logger.error("Error in streaming", exc_info=error)
            sink.push(_error_event(error))
        sink.close()
        return False


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
                    await room(sink)
        except asyncio.CancelledError:
            if not sink.abandoned:
                sink.push(_error_event(asyncio.CancelledError("the stream was cancelled")))
            raise
        except BaseException as error:
            self._logger.error("Error in async streaming", exc_info=error)
            sink.push(_error_event(error))
        finally:
            sink.close()
            await self._close()

    async def _close(self) -> None:
        try:
            await self._generator.aclose()
        except Exception as error:
            self._logger.error("Error when a stream was closed", exc_info=error)


def serve_async(generator: AsyncGenerator[Any, Any], sink: Sink, logger: logging.Logger) -> AsyncStream:
    """A stream of the generator's items."""
    return AsyncStream(generator, sink, logger)


async def room(sink: Any) -> None:
    """Waits until there is room in a sink, or nobody listens any more."""
    free = asyncio.get_running_loop().create_future()
    if sink.park(lambda: free.done() or free.set_result(None)):
        await free
