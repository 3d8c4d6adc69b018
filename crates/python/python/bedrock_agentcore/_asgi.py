"""The app as an ASGI application: its routes, and what runs ASGI applications on the Rust server."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute

from ._async_stream import room, wake

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send

    from ._native import Exchange, Relay, Sink
    from ._runtime import Runtime
    from .runtime.app import BedrockAgentCoreApp


# With a journal comes a host, which may ask for the end of a task.
_JOURNAL = "AGENTCORE_JOURNAL_DIR"
_CANCEL = "/_agentcore/v1/tasks/{task_id}/cancel"


def routes(app: BedrockAgentCoreApp) -> list[BaseRoute]:
    """The paths of the contract. Rust answers them, whichever server received them."""
    from ._websocket import endpoint

    hosts = [Route(_CANCEL, functools.partial(_relay, app, None), methods=["POST"])] if _JOURNAL in os.environ else []
    return [
        *hosts,
        Route("/invocations", functools.partial(_relay, app, "/invocations"), methods=["POST"], name="invocations"),
        Route("/ping", functools.partial(_relay, app, "/ping"), methods=["GET"], name="ping"),
        WebSocketRoute("/ws", functools.partial(endpoint, app), name="websocket"),
    ]


async def _relay(app: BedrockAgentCoreApp, path: str | None, request: Request) -> Response:
    """Has Rust answer a request that an ASGI server received."""
    path = path or request.url.path
    body = await request.body()
    app._runtime.open()
    query = request.scope.get("query_string", b"").decode("latin-1")
    loop = asyncio.get_running_loop()
    head: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = loop.create_future()
    relay = app._core.relay(
        request.method,
        f"{path}?{query}" if query else path,
        [(bytes(name), bytes(value)) for name, value in request.scope["headers"]],
        body,
        (contextvars.copy_context(), request),
        functools.partial(_tell, loop, head),
    )
    status, headers = await head
    if any(name == b"content-length" for name, _ in headers):
        whole = b"".join([piece async for piece in _pieces(relay)])
        response = Response(whole, status)
    else:
        response = _Relayed(_pieces(relay), status)
    response.raw_headers = headers
    return response


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], *message: Any) -> None:
    """Passes a message on to a loop. Called by the courier's thread."""
    try:
        loop.call_soon_threadsafe(wake, future, message)
    except RuntimeError:
        pass  # the loop is closed: nobody waits any more


async def _pieces(relay: Relay) -> AsyncGenerator[bytes, None]:
    """The pieces of an answer, each asked for when it is wanted."""
    loop = asyncio.get_running_loop()
    while True:
        piece: asyncio.Future[tuple[int, bytes | None]] = loop.create_future()
        relay.next(functools.partial(_tell, loop, piece))
        if (content := (await piece)[1]) is None:
            return
        yield content


class _Relayed(StreamingResponse):
    """An answer that comes in pieces. When the client leaves, the rest is not asked for."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            pieces = self.body_iterator
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()


def request_of(exchange: Exchange) -> Request:
    """The Starlette request of an invocation."""
    if exchange.origin is not None:
        request: Request = exchange.origin[1]
        return request
    return Request(exchange.scope(), _Conversation(exchange).receive)


async def serve_exchange(app: BedrockAgentCoreApp, runtime: Runtime, exchange: Exchange) -> None:
    """Answers a request that the Rust server received and the ASGI application must see."""
    scope = exchange.scope()
    if runtime.state is not None:
        scope["state"] = dict(runtime.state)
    await _answer(app, scope, exchange, app.logger.error)


async def serve_response(response: Response, exchange: Exchange, log: Callable[..., None]) -> None:
    """Answers an invocation with the response that its handler made."""
    await _answer(response, exchange.scope(), exchange, log)


async def _answer(application: Any, scope: dict[str, Any], exchange: Exchange, log: Callable[..., None]) -> None:
    conversation = _Conversation(exchange)
    try:
        await application(scope, conversation.receive, conversation.send)
    except Exception as error:
        log("Exception in the ASGI application", exc_info=error)
    conversation.finish()


class _Conversation:
    """ASGI's `receive` and `send` for a request that Rust received."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._requested = False
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._sink: Sink | None = None
        self._ended = False
        self._gone: asyncio.Event | None = None

    async def receive(self) -> Message:
        """The whole body at first; then, once the client has left or has its answer, that."""
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": self._exchange.body, "more_body": False}
        if not self._ended:
            self._gone = self._gone or asyncio.Event()
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """The head, and then the pieces of the body."""
        if message["type"] == "http.response.start":
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self._head = (message["status"], headers)
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"the server does not know the message {message['type']!r}")

    async def _send_body(self, body: bytes, more: bool) -> None:
        if self._head is None:
            raise RuntimeError("the body of a response came before its head")
        if self._ended:
            return
        if self._sink is None:
            if not more:
                self._exchange.reply(*self._head, bytes(body))
                return self._end()
            self._sink = self._exchange.reply_stream(*self._head)
            self._sink.on_leave(self._end)
        if body and not self._sink.push(bytes(body)):
            if self._sink.abandoned:
                return self._end()
            await room(self._sink)
        if not more:
            self._sink.close()
            self._end()

    def _end(self) -> None:
        self._ended = True
        if self._gone is not None:
            self._gone.set()

    def finish(self) -> None:
        """Ends what the application left open."""
        if self._sink is not None:
            self._sink.close()
        elif not self._ended:
            self._exchange.reply(500, [(b"content-type", b"text/plain; charset=utf-8")], b"Internal Server Error")
        self._end()
