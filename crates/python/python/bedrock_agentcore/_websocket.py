"""WebSockets: the endpoint at `/ws`, and those that the Rust server received."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ._async_stream import room, wake
from ._native import Exchange
from .runtime.context import RequestContext, _exchange

if TYPE_CHECKING:
    from starlette.types import Message

    from ._native import Socket
    from ._runtime import Runtime
    from .runtime.app import BedrockAgentCoreApp

_INTERNAL_ERROR = 1011


async def endpoint(app: BedrockAgentCoreApp, websocket: WebSocket) -> None:
    """Lets the author's handler have the socket."""
    handler = app._websocket_handler
    if handler is None:
        app.logger.error("No WebSocket handler defined")
        return await websocket.close(_INTERNAL_ERROR)
    head = Exchange.of_headers([(bytes(name), bytes(value)) for name, value in websocket.scope["headers"]])
    _exchange.set(head)
    try:
        await handler(websocket, RequestContext(head.session_id, head.visible_headers() or None, websocket))
    except WebSocketDisconnect:
        app.logger.debug("WebSocket disconnected")
    except Exception:
        app.logger.exception("WebSocket handler failed")
        if websocket.application_state is not WebSocketState.DISCONNECTED:
            try:
                await websocket.close(_INTERNAL_ERROR)
            except Exception:
                app.logger.debug("WebSocket was closed already")


async def serve(app: BedrockAgentCoreApp, runtime: Runtime, socket: Socket) -> None:
    """Brings a socket that the Rust server received to the ASGI application."""
    scope = socket.scope()
    if runtime.state is not None:
        scope["state"] = dict(runtime.state)
    conversation = _Conversation(socket)
    code = 1000
    try:
        await app(scope, conversation.receive, conversation.send)
    except Exception as error:
        app.logger.error("Exception in the ASGI application", exc_info=error)
        code = _INTERNAL_ERROR
    finally:
        conversation.finish(code)


class _Conversation:
    """ASGI's `receive` and `send` for a WebSocket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._connected = False
        self._accepted = False
        self._closed = False
        self._refusal: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._refusal_body = b""

    async def receive(self) -> Message:
        """The next event."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        while True:
            there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            event = self._socket.receive(functools.partial(wake, there))
            if event is None:
                await there
            elif isinstance(event, str):
                return {"type": "websocket.receive", "text": event}
            elif isinstance(event, bytes):
                return {"type": "websocket.receive", "bytes": event}
            else:
                self._closed = True
                return {"type": "websocket.disconnect", "code": event[0], "reason": event[1]}

    async def send(self, message: Message) -> None:
        """Accepts, sends, refuses, closes."""
        kind = message["type"]
        if kind == "websocket.accept":
            self._accepted = True
            self._socket.accept(message.get("subprotocol"), _headers(message))
        elif kind == "websocket.send":
            await self._send(message)
        elif kind == "websocket.close":
            self._close(message.get("code") or 1000, message.get("reason") or "")
        elif kind == "websocket.http.response.start":
            self._refusal = (message["status"], _headers(message))
        elif kind == "websocket.http.response.body":
            self._refuse(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"the server does not know the message {kind!r}")

    async def _send(self, message: Message) -> None:
        if self._closed or self._socket.abandoned:
            raise OSError("the client has left")
        text: Any = message.get("text")
        more = self._socket.send_text(text) if text is not None else self._socket.send_bytes(bytes(message["bytes"]))
        if not more:
            await room(self._socket)

    def _close(self, code: int, reason: str) -> None:
        self._closed = True
        if self._accepted:
            self._socket.close(code, reason)
        else:
            self._socket.refuse(403, [], b"")

    def _refuse(self, body: bytes, more: bool) -> None:
        self._refusal_body += bytes(body)
        if not more and self._refusal is not None:
            self._closed = True
            self._socket.refuse(*self._refusal, self._refusal_body)

    def finish(self, code: int) -> None:
        """Closes what the application left open."""
        if not self._closed:
            self._close(code, "")


def _headers(message: Message) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
