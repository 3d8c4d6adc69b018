"""The thread with the one event loop that async handlers share. What they start outlives them."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._native import Core

# How long tasks that were cancelled may take to end.
_PATIENCE = 5.0
# How many times in a row the loop may go round without asking the system for events.
_ROUNDS = 4


class _Selector(selectors.DefaultSelector):
    """Asks the system for events only every few rounds while callbacks wait to be called.

    To ask is to give up the interpreter lock and to get it back, for which every other thread that
    computes makes the loop wait; and a request takes three rounds: it comes in, its handler runs,
    its answer goes out.
    """

    _rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0 and self._rounds < _ROUNDS:
            self._rounds += 1
            return []
        self._rounds = 0
        return super().select(timeout)


def _new_loop() -> asyncio.AbstractEventLoop:
    """An event loop of the author's kind; asyncio's own kind with our selector."""
    loop = asyncio.new_event_loop()
    if type(loop) is asyncio.SelectorEventLoop:
        loop.close()
        loop = asyncio.SelectorEventLoop(_Selector())
    return loop


class LoopThread:
    """A running event loop on a thread of its own."""

    def __init__(self, core: Core, serve: Callable[[Any], object]) -> None:
        self._core = core
        self._serve = serve
        self._ready = threading.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._run, name="agentcore-loop", daemon=True)
        self.thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop. Waits until it runs."""
        if self._loop is None:
            self._ready.wait()
        assert self._loop is not None
        return self._loop

    def _run(self) -> None:
        self._loop = loop = _new_loop()
        asyncio.set_event_loop(loop)
        loop.add_reader(self._core.descriptor(), self._drain)
        loop.call_soon(self._ready.set)
        while not self._stopping:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # A handler's, which has been answered. It is asyncio that lets these two through, and
                # an agent does not end because one of its handlers says so.
                continue
        _finish(loop)

    def _drain(self) -> None:
        for job in self._core.drain():
            self._serve(job)

    def stop(self) -> None:
        """Ends the loop, and waits for its thread a while."""
        loop = self.loop
        self._stopping = True
        loop.call_soon_threadsafe(loop.stop)
        if threading.current_thread() is not self.thread:
            self.thread.join(2 * _PATIENCE)


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Cancels what is left, lets it end, and closes the loop."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=_PATIENCE))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
