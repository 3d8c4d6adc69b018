"""The app: what an author puts together, and then serves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _logging
from .._json import to_record
from .._lazy import LazyStarlette
from .._native import Core
from .._handlers import ask_ping, is_async
from .._runtime import Runtime
from .._tasks import track
from .models import PingStatus

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.types import Lifespan

    class _Base(LazyStarlette, Starlette): ...
else:
    _Base = LazyStarlette

__all__ = ["BedrockAgentCoreApp"]

_F = TypeVar("_F", bound=Callable[..., Any])


class BedrockAgentCoreApp(_Base):
    """An agent: an entrypoint, and the tasks that it starts.

    It is a Starlette application: mount it, wrap it, add routes and middleware, drive it with
    Starlette's test client, serve it with any ASGI server. `run()` serves it from Rust: `/ping` is
    answered there, whatever Python is busy with.
    """

    handlers: dict[str, Callable[..., Any]]

    def __init__(
        self,
        debug: bool = False,
        lifespan: Lifespan[Any] | None = None,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        """Makes an app.

        Args:
            debug: Answer debug actions (`_agent_core_app_action`), and log more. Not for production:
                callers can then force the status.
            lifespan: An async context manager, as Starlette has it: entered before the first
                request, left after the last.
            middleware: Starlette's `Middleware(...)` entries.
        """
        self.debug = debug
        self.handlers = {}
        self.logger = _logging.logger(debug)
        self._lifespan = lifespan
        self._middleware = middleware
        self._ping_handler: Callable[[], Any] | None = None
        self._websocket_handler: Callable[..., Any] | None = None
        self._core = Core()
        self._runtime = Runtime(self, self._core)
        if lifespan is not None or middleware or "starlette.applications" in sys.modules:
            self._starlette()

    def _become_starlette(self) -> None:
        from starlette.applications import Starlette

        from .._asgi import routes

        debug = self.debug
        Starlette.__init__(self, routes=routes(self), lifespan=self._lifespan, middleware=self._middleware)
        self.debug = debug

    def entrypoint(self, func: _F) -> _F:
        """Answers invocations with this function.

        Its first argument is the payload: any JSON value. Its second, if it is called `context`, is
        the `RequestContext`. It may be async or not (then it runs on a thread and may block), a
        generator or an async generator (server-sent events), or return a Starlette `Response`.
        """
        self.handlers["main"] = func
        try:
            func.run = lambda port=None, host=None: self.run(port, host)  # type: ignore[attr-defined]
        except AttributeError:
            pass  # a method, or an object with slots, takes no attributes
        return func

    def ping(self, func: _F) -> _F:
        """Decides the ping status with this function: it returns a `PingStatus`, or its string.

        If it fails, or returns something else, the automatic rule decides. If it takes more than a
        second, its last answer stands until it returns.
        """
        self._ping_handler = func
        self._core.set_ping_handler(ask_ping(self))
        return func

    def websocket(self, func: _F) -> _F:
        """Answers WebSockets at `/ws` with this function, called with `(websocket, context)`."""
        self._websocket_handler = func
        return func

    def async_task(self, func: _F) -> _F:
        """Makes each call of this async function a task: busy while it runs, and on record afterwards,
        with its result or its exception."""
        if not is_async(func):
            raise ValueError("@async_task can only be applied to async functions")
        return track(self._core, self.logger, func)

    def add_async_task(self, name: str, metadata: dict[str, Any] | None = None) -> int:
        """Starts to track a task: the agent is busy until `complete_async_task` is called with the id
        that this returns."""
        task_id = self._core.add_task(name, to_record(metadata) if metadata else None)
        self.logger.info("Async task started: %s (ID: %s)", name, task_id)
        return task_id

    def complete_async_task(self, task_id: int) -> bool:
        """Marks a task as complete. False, and a warning, when no such task is running."""
        if self._core.complete_task(task_id):
            self.logger.info("Async task completed (ID: %s)", task_id)
            return True
        self.logger.warning("Attempted to complete unknown task ID: %s", task_id)
        return False

    def report_progress(self, task_id: int, progress: Any) -> bool:
        """Says how far a task is: anything that can be turned into JSON. False when no such task is
        running."""
        return self._core.report_progress(task_id, to_record(progress))

    def cancel_async_task(self, task_id: int) -> bool:
        """Asks a task to end. False when no such task is running.

        A function with `@app.async_task` is cancelled at its next `await`. One that is only counted
        (`add_async_task`) cannot be interrupted, and is on record as cancelled once it completes.
        """
        return self._runtime.cancel_task(task_id)

    def get_async_task(self, task_id: int) -> dict[str, Any] | None:
        """Everything known of one task, running or finished: name, status, metadata, progress, result
        or error, times. None when there never was such a task, or it made room for others."""
        import json

        record = self._core.task_record(task_id)
        return None if record is None else json.loads(record)

    def get_async_task_info(self) -> dict[str, Any]:
        """The running tasks, oldest first: `{"active_count": n, "running_jobs": [...]}`."""
        import json

        info: dict[str, Any] = json.loads(self._core.task_info())
        return info

    def get_current_ping_status(self) -> PingStatus:
        """The status as `/ping` would report it now: forced, then the ping handler, then automatic."""
        return PingStatus(self._core.ping_status()[0])

    def force_ping_status(self, status: PingStatus) -> None:
        """Forces the status, whatever tasks and the ping handler say."""
        self._core.force_ping_status(PingStatus(status).value)

    def clear_forced_ping_status(self) -> None:
        """Lets the ping handler or the automatic rule decide again."""
        self._core.clear_forced_ping_status()

    def run(self, port: int | None = None, host: str | None = None, **kwargs: Any) -> None:
        """Serves until SIGTERM or Ctrl-C; then waits for what is under way, and returns.

        Args:
            port: The port. Without it, the environment variable PORT, else 8080. A socket that was
                handed over (LISTEN_FDS) comes first.
            host: The address. Without it 127.0.0.1, or 0.0.0.0 within a container.
            **kwargs: Settings of uvicorn. `timeout_graceful_shutdown` is how many seconds to wait
                for what is under way (30). What only uvicorn can do (`ssl_certfile`, `workers`,
                `reload`, ...) makes uvicorn serve the app, if it is installed.
        """
        from .._serve import run

        run(self, self._core, self._runtime, port, host, kwargs)
