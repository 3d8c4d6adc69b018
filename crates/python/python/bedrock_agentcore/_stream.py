"""Generators as server-sent events: at the client's pace, and closed when it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._json import encode

if TYPE_CHECKING:
    import contextvars
    import logging
    from collections.abc import Generator

    from ._native import Sink


def text_of(error: BaseException) -> str:
    """An exception's message, even if it cannot tell it."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def error_event(error: BaseException) -> bytes:
    """The last event of a stream that failed."""
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
            sink.push(error_event(error))
        sink.close()
        return False
