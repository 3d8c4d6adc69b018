"""What runs an app's handlers: worker threads, a thread with an event loop, and the dispatcher."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _tasks

if TYPE_CHECKING:
    from contextvars import Context

    from ._dispatch import Dispatcher
    from ._loop import LoopThread
    from ._native import Core
    from .runtime.app import BedrockAgentCoreApp


class Runtime:
    """Started as it is needed: an app that is only imported has no threads."""

    def __init__(self, app: BedrockAgentCoreApp, core: Core) -> None:
        self._app = weakref.ref(app)
        self._core = core
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self._loop: LoopThread | None = None
        #: What handlers find in their context variables when no ASGI server brings a context.
        self.context: Context | None = None
        #: The state that the lifespan made, for each request's scope.
        self.state: dict[str, Any] | None = None
        me = weakref.ref(self)
        core.set_starters(_starter(me, "agentcore-worker", Runtime._work), _starter(me, "agentcore-courier", Runtime._deliver))
        core.set_interrupter(_tasks.interrupt)
        # At the latest before the interpreter ends.
        weakref.finalize(self, core.dismiss)

    @property
    def dispatcher(self) -> Dispatcher:
        """Answers requests by calling the author's handlers."""
        if self._dispatcher is None:
            from ._dispatch import Dispatcher

            app = self._app()
            if app is None:
                raise RuntimeError("the app is gone")
            self._dispatcher = Dispatcher(app, self._core, self)
        return self._dispatcher

    def open(self) -> None:
        """Makes ready to answer requests."""
        from ._handlers import belongs_on_loop

        app = self._app()
        if app is None:
            raise RuntimeError("the app is gone")
        on_loop = belongs_on_loop(app.handlers.get("main"))
        self._core.open(app.debug, on_loop)
        if on_loop:
            self.ensure_loop()

    def ensure_loop(self) -> LoopThread:
        """The thread with the event loop, started."""
        with self._lock:
            if self._loop is None:
                from ._loop import LoopThread

                self._loop = LoopThread(self._core, self.dispatcher.work_on_loop)
            return self._loop

    def on_loop(self) -> bool:
        """Whether this is the event loop's thread."""
        return self._loop is not None and threading.current_thread() is self._loop.thread

    def stop_loop(self) -> None:
        """Cancels what the loop runs, and ends it."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def call_on_loop(self, callable: Callable[[], object]) -> None:
        """Calls this on the event loop's thread."""
        self.ensure_loop()
        self._core.call_on_loop(callable)

    def cancel_task(self, task_id: object) -> bool:
        """Asks a task to end."""
        return _tasks.cancel(self._core, task_id)

    def _work(self) -> None:
        core = self._core
        core.worker_started()
        work = self.dispatcher.work
        while (job := core.next_job()) is not None:
            work(job)
            del job  # not held while there is nothing to do

    def _deliver(self) -> None:
        self._core.deliver()


def _starter(reference: weakref.ref[Runtime], name: str, life: Callable[[Runtime], None]) -> Callable[[], None]:
    def start() -> None:
        runtime = reference()
        if runtime is not None:
            threading.Thread(target=life, args=(runtime,), name=name, daemon=True).start()

    return start
