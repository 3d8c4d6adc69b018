"""Agents that differ in one thing each."""

import asyncio
import contextlib
import contextvars
import ctypes
import functools
import os
import sys
import threading
import time

from bedrock_agentcore import BedrockAgentCoreApp, PingStatus

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")


def without_entrypoint():
    return BedrockAgentCoreApp()


def entrypoint_is_async_generator():
    app = BedrockAgentCoreApp()

    @app.entrypoint
    async def handler(payload):
        for n in range(payload):
            await asyncio.sleep(0)
            yield n

    return app


def entrypoint_is_generator():
    app = BedrockAgentCoreApp()

    @app.entrypoint
    def handler(payload):
        yield from range(payload)

    return app


def with_everything():
    """Middleware, a lifespan and a route."""
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse

    class Tenant:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            async def marked(message):
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-middleware", b"was here")]
                await send(message)

            if scope["type"] == "http":
                tenant.set("from middleware")
                scope.setdefault("state", {})["tenant"] = "in state"
            await self.app(scope, receive, marked)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        print("lifespan starts", file=sys.stderr, flush=True)
        yield {"pool": "open"}
        print("lifespan ends", file=sys.stderr, flush=True)

    app = BedrockAgentCoreApp(lifespan=lifespan, middleware=[Middleware(Tenant)])

    @app.entrypoint
    async def handler(payload, context):
        if payload == "stream":
            return (n for n in range(3))
        return {"tenant": tenant.get(), "state": context.request.state.tenant, "pool": context.request.state.pool}

    async def extra(request):
        return PlainTextResponse(f"{request.method} {(await request.body()).decode()}")

    app.add_route("/extra/{name}", extra, methods=["POST"])
    return app


def failing_lifespan():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        raise RuntimeError("no database")
        yield

    return BedrockAgentCoreApp(lifespan=lifespan)


def with_ping():
    """A ping handler that does what it is told."""
    app = BedrockAgentCoreApp()
    orders = ["busy"]

    @app.ping
    def status():
        order = orders[-1]
        if order == "busy":
            return PingStatus.HEALTHY_BUSY
        if order == "hang":
            time.sleep(600)
        if order == "raise":
            raise RuntimeError("on purpose")
        return {"text": "HealthyBusy", "bool": True, "dict": {}, "wrong": "Sleepy"}.get(order, "Healthy")

    @app.entrypoint
    def handler(payload):
        orders.append(payload)

    return app


def coroutine_ping():
    app = BedrockAgentCoreApp()

    @app.ping
    async def status():
        return PingStatus.HEALTHY_BUSY

    return app


def stuck():
    """A thread that holds the interpreter lock for good, and handlers that never return."""
    app = BedrockAgentCoreApp()

    @app.entrypoint
    def handler(payload):
        if payload == "compute":
            ctypes.PyDLL(None).sleep(600)  # one long call that does not let go of the lock
        if payload == "task":
            return app.add_async_task("stuck")
        if payload == "hang":
            threading.Event().wait()
        return "done"

    return app


def restless():
    """Handlers that never return, and an agent that does not wait for them."""
    app = BedrockAgentCoreApp()
    app.run = functools.partial(app.run, timeout_graceful_shutdown=0.1)

    @app.entrypoint
    def handler(payload):
        while True:
            if payload == "sleep":
                time.sleep(0.0005)

    return app


def stuck_loop():
    app = BedrockAgentCoreApp()

    @app.entrypoint
    async def handler(payload):
        app.add_async_task("stuck")
        time.sleep(60)

    return app


def forking():
    app = BedrockAgentCoreApp()

    @app.entrypoint
    def handler(payload):
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                app.add_async_task("in the child")
                answer = "no error"
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        return os.read(reader, 10_000).decode()

    return app


def slow_task():
    app = BedrockAgentCoreApp()

    @app.async_task
    async def work(seconds):
        await asyncio.sleep(seconds)
        print("the task has ended", file=sys.stderr, flush=True)

    @app.entrypoint
    async def handler(payload):
        asyncio.create_task(work(payload))
        return "started"

    return app
