"""From a request to a call of the author's handler, and from what it returns to an answer."""

from __future__ import annotations

import contextvars
import functools
import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from ._handlers import belongs_on_loop, takes_context
from ._json import encode, encode_compact, parse
from ._native import Exchange, Socket
from ._stream import SyncStream, text_of
from .runtime.context import RequestContext, _exchange

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from ._async_stream import AsyncStream
    from ._native import Core
    from ._runtime import Runtime
    from .runtime.app import BedrockAgentCoreApp

_PLAIN = frozenset({dict, list, str, int, float, bool, tuple, type(None)})


class Dispatcher:
    """Calls the app's handlers."""

    def __init__(self, app: BedrockAgentCoreApp, core: Core, runtime: Runtime) -> None:
        self._app = app
        self._core = core
        self._runtime = runtime
        # Tasks that nobody else holds on to: the loop does not.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._known: tuple[Any, bool] = (None, False)

    def work(self, job: Any) -> None:
        """Does a worker's job: a request to answer, or something to call."""
        self._do(job, self.serve_on_worker)

    def work_on_loop(self, job: Any) -> None:
        """Does the event loop's: also WebSockets, and requests to the ASGI application."""
        self._do(job, self.serve_on_loop)

    def _do(self, job: Any, serve: Callable[[Any], object]) -> None:
        try:
            if isinstance(job, (Exchange, Socket)):
                serve(job)
            else:
                job()
        except BaseException as error:
            # Nobody is there to catch it, and the thread has other work to do.
            self._app.logger.error("Error outside of a handler", exc_info=error)

    def serve_on_worker(self, exchange: Exchange) -> None:
        """Answers an invocation, on a thread that may block."""
        context = self._context(exchange)
        context.run(self._invoke, exchange, context)

    def serve_on_loop(self, job: Exchange | Socket) -> None:
        """Answers whatever belongs on the event loop."""
        if isinstance(job, Socket):
            from ._websocket import serve

            self.spawn(serve(self._app, self._runtime, job))
        elif not job.is_invocation:
            from ._asgi import serve_exchange

            self.spawn(serve_exchange(self._app, self._runtime, job))
        elif belongs_on_loop(self._app.handlers.get("main")):
            self.serve_on_worker(job)
        else:
            # The entrypoint was exchanged for one that may block.
            self._core.call_on_worker(functools.partial(self.serve_on_worker, job))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs this on the loop, whose thread this is."""
        task = self._runtime.ensure_loop().loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _context(self, exchange: Exchange) -> contextvars.Context:
        origin = exchange.origin
        context = self._runtime.context if origin is None else origin[0]
        return contextvars.copy_context() if context is None else context.copy()

    def _takes_context(self, handler: Callable[..., Any]) -> bool:
        known, answer = self._known
        if known is not handler:
            answer = takes_context(handler)
            self._known = (handler, answer)
        return answer

    def _invoke(self, exchange: Exchange, context: contextvars.Context) -> None:
        _exchange.set(exchange)
        try:
            payload = parse(exchange.text)
        except (ValueError, RecursionError) as error:
            self._app.logger.warning("Invalid JSON in request: %s", error)
            body = {"error": "Invalid JSON", "details": str(error)}
            return exchange.reply_json(400, encode_compact(body))
        handler = self._app.handlers.get("main")
        if handler is None:
            self._app.logger.error("No entrypoint defined")
            return exchange.reply_json(500, encode_compact({"error": "No entrypoint defined"}))
        try:
            if self._takes_context(handler):
                result = handler(payload, RequestContext._of(exchange))
            else:
                result = handler(payload)
        except BaseException as error:
            self._failed(exchange, error)
        else:
            self._answer(exchange, context, result)

    def _answer(self, exchange: Exchange, context: contextvars.Context, result: Any) -> None:
        kind = type(result)
        if kind in _PLAIN:
            exchange.reply_json(200, encode(result))
        elif kind is CoroutineType:
            self._on_loop(functools.partial(self._await, exchange, context, result))
        elif kind is AsyncGeneratorType:
            from ._async_stream import AsyncStream

            stream = AsyncStream(result, exchange.reply_events(True), self._app.logger)
            self._on_loop(functools.partial(context.copy().run, self._spawn_stream, stream))
        elif kind is GeneratorType:
            sink = exchange.reply_events(False)
            self._core.call_on_worker(SyncStream(result, sink, context.copy(), self._app.logger))
        elif _is_response(result):
            from ._asgi import serve_response

            self._on_loop(functools.partial(context.copy().run, self.spawn, serve_response(result, exchange, self._app.logger.error)))
        else:
            exchange.reply_json(200, encode(result))

    def _on_loop(self, callable: Callable[[], object]) -> None:
        """Calls this on the loop's thread: at once, if this is it."""
        if self._runtime.on_loop():
            callable()
        else:
            self._runtime.call_on_loop(callable)

    def _spawn_stream(self, stream: AsyncStream) -> None:
        stream.started(self.spawn(stream.run()))

    def _await(self, exchange: Exchange, context: contextvars.Context, work: Any) -> None:
        # The handler's own coroutine is the task. It is answered for by a callback, which runs after
        # the first step of whatever the handler started: so what it started counts already.
        task = context.copy().run(self._runtime.ensure_loop().loop.create_task, work)
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._awaited, exchange, context), context=context)

    def _awaited(self, exchange: Exchange, context: contextvars.Context, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._failed(exchange, RuntimeError("the handler was cancelled"))
        elif (error := task.exception()) is not None:
            self._failed(exchange, error)
        else:
            self._answer(exchange, context, task.result())

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        status, detail = _status_of(error)
        if status is None:
            self._app.logger.error("Invocation failed", exc_info=error)
            return exchange.reply_json(500, encode_compact({"error": text_of(error)}))
        log = self._app.logger.error if status >= 500 else self._app.logger.warning
        log("Invocation failed: HTTP %d: %s", status, detail)
        exchange.reply_json(status, encode_compact({"error": detail}))


def _status_of(error: BaseException) -> tuple[int | None, Any]:
    """The status that an error asks for. Whoever raises Starlette's HTTPException has imported it."""
    module = sys.modules.get("starlette.exceptions")
    if module is not None and isinstance(error, module.HTTPException):
        return error.status_code, error.detail
    return None, None


def _is_response(result: Any) -> bool:
    module = sys.modules.get("starlette.responses")
    return module is not None and isinstance(result, module.Response)
