"""An agent whose caller says what its handler is to do."""

import asyncio
import contextvars
import dataclasses
import gc
import math
import os
import threading
import time

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, StreamingResponse

from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext

#: Generators that were closed or ended.
closed: list[str] = []
NAN = math.nan
marker: contextvars.ContextVar[str] = contextvars.ContextVar("marker", default="unset")


class Model:
    """Looks like a pydantic model."""

    def model_dump(self):
        return {"model": True}


@dataclasses.dataclass
class Point:
    x: int
    tags: set


class Unspeakable:
    def __str__(self):
        raise RuntimeError("on purpose")


def generator(count, name="sync", fail=False, forever=False):
    try:
        n = 0
        while forever or n < count:
            yield {"n": n, "é": None}
            n += 1
        if fail:
            raise KeyError("midway")
    finally:
        closed.append(name)


async def async_generator(count, name="async", fail=False, forever=False, pause=None):
    try:
        n = 0
        while forever or n < count:
            yield {"n": n, "é": None}
            n += 1
            if pause is not None:
                await asyncio.sleep(pause)
        if fail:
            raise KeyError("midway")
    finally:
        closed.append(name)


async def pieces():
    yield b"one "
    yield b"two"


def in_use():
    """What a request must not leave behind, counted."""
    gc.collect()
    kinds = {"Context", "generator", "async_generator", "coroutine", "Task", "SyncStream", "AsyncStream"}
    found = [kind for kind in (type(it).__name__ for it in gc.get_objects()) if kind in kinds]
    return {"open_files": len(os.listdir("/proc/self/fd"))} | {kind: found.count(kind) for kind in sorted(kinds)}


def raise_it(error):
    raise error


ACTIONS = {
    "echo": lambda p, c: p,
    "none": lambda p, c: None,
    "unicode": lambda p, c: {"text": "é𝄞\n"},
    "half": lambda p, c: {"text": "\ud800"},
    "model": lambda p, c: {"a": Model(), "b": [Point(1, {2})], "c": (1, frozenset({3}))},
    "nan": lambda p, c: {"mean": NAN, "NaN": ["NaN", NAN, -math.inf, 1e300, "\ud800"]},
    "nan_in_model": lambda p, c: {"a": Model(), "b": [Point(NAN, {2})]},
    "nan_in_error": lambda p, c: raise_it(HTTPException(409, {"x": NAN})),
    "opaque": lambda p, c: {"o": complex(1, 2)},
    "unspeakable": lambda p, c: Unspeakable(),
    "keys": lambda p, c: {(1, 2): 3},
    "raise": lambda p, c: raise_it(ValueError("went wrong")),
    "exit": lambda p, c: raise_it(SystemExit("leaving")),
    "http": lambda p, c: raise_it(HTTPException(418, "teapot")),
    "detail": lambda p, c: raise_it(HTTPException(409, {"why": "é"})),
    "response": lambda p, c: JSONResponse({"mine": 1}, 202, {"x-mine": "yes"}),
    "streaming": lambda p, c: StreamingResponse(pieces(), 201, media_type="text/x-pieces"),
    "generator": lambda p, c: generator(p["count"], fail=p.get("fail", False), forever=p.get("forever", False)),
    "async_generator": lambda p, c: async_generator(
        p["count"], fail=p.get("fail", False), forever=p.get("forever", False), pause=p.get("pause")
    ),
    "context": lambda p, c: {
        "session_id": c.session_id,
        "headers": c.request_headers,
        "method": c.request.method,
        "query": c.request.url.query,
        "request_id": BedrockAgentCoreContext.get_request_id(),
        "session": BedrockAgentCoreContext.get_session_id(),
        "token": BedrockAgentCoreContext.get_workload_access_token(),
        "callback": BedrockAgentCoreContext.get_oauth2_callback_url(),
        "same_headers": BedrockAgentCoreContext.get_request_headers() == c.request_headers,
        "marker": marker.get(),
    },
    "set_marker": lambda p, c: marker.set("leaked") and None,
    "closed": lambda p, c: list(closed),
    "in_use": lambda p, c: in_use(),
    "threads": lambda p, c: sorted(t.name for t in threading.enumerate()),
    "sleep": lambda p, c: time.sleep(p["seconds"]),
    "start": lambda p, c: app_of(p).add_async_task("counted", {"batch": 100}),
    "start_with_nan": lambda p, c: app_of(p).add_async_task("counted", {"loss": NAN}),
    "complete": lambda p, c: app_of(p).complete_async_task(p["id"]),
    "force": lambda p, c: app_of(p).force_ping_status(p["status"]),
    "unforce": lambda p, c: app_of(p).clear_forced_ping_status(),
    "info": lambda p, c: app_of(p).get_async_task_info(),
    "record": lambda p, c: app_of(p).get_async_task(p["id"]),
    "progress": lambda p, c: app_of(p).report_progress(p["id"], p["progress"]),
    "cancel": lambda p, c: app_of(p).cancel_async_task(p["id"]),
}

current: list[BedrockAgentCoreApp] = []


def app_of(_payload):
    return current[-1]


def act(payload, context):
    if not isinstance(payload, dict) or "do" not in payload:
        return payload
    return ACTIONS[payload["do"]](payload, context)


def make(kind: str) -> BedrockAgentCoreApp:
    app = BedrockAgentCoreApp(debug=True)
    current.append(app)

    if kind == "sync":

        @app.entrypoint
        def handler(payload, context):
            return act(payload, context)

    else:

        released = asyncio.Event()

        @app.async_task
        async def background(fail=False):
            await released.wait()
            released.clear()
            if fail:
                raise LookupError("lost")
            return {"found": 1}

        @app.entrypoint
        async def handler(payload, context):
            if isinstance(payload, dict) and payload.get("do") == "background":
                asyncio.create_task(background(payload.get("fail", False)))
                return "started"
            if isinstance(payload, dict) and payload.get("do") == "release":
                return released.set()
            await asyncio.sleep(0)
            return act(payload, context)

    @app.websocket
    async def chat(websocket, context):
        if context.session_id == "refused":
            raise RuntimeError("before accepting")
        await websocket.accept(subprotocol="second" if "second" in websocket["subprotocols"] else None)
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                await websocket.send_bytes(message["bytes"][::-1])
            elif message["text"] == "fail":
                raise RuntimeError("after accepting")
            elif message["text"] == "bye":
                return await websocket.close(4001, "farewell")
            else:
                await websocket.send_json({"echo": message["text"], "session": context.session_id})

    return app


def make_sync():
    return make("sync")


def make_async():
    return make("async")
