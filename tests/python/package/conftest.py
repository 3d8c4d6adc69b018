"""Three ways to an agent: the Rust server, uvicorn, and Starlette's test client."""

import contextlib
import importlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import httpx
import pytest
from starlette.testclient import TestClient
from websockets.sync.client import connect

HERE = pathlib.Path(__file__).parent


class Served:
    """An agent in a process of its own."""

    def __init__(self, way, module, function, env=None):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        self.port = listener.getsockname()[1]
        command = [sys.executable, str(HERE / "serve.py"), way, module, function, str(listener.fileno())]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, cwd=HERE, pass_fds=[listener.fileno()], stderr=self.log, env={**os.environ, **(env or {})}
        )
        listener.close()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def invoke(self, payload, **kwargs):
        return self.client.post("/invocations", content=json.dumps(payload), **kwargs)

    def websocket(self, **kwargs):
        return connect(f"ws://127.0.0.1:{self.port}/ws", legacy=True, **kwargs)

    def stop(self, number=signal.SIGTERM):
        """Ends the agent; its exit code and what it logged."""
        self.client.close()
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        return self.process.returncode, self.logged()

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode()


@contextlib.contextmanager
def served(way, module, function, env=None):
    agent = Served(way, module, function, env)
    try:
        yield agent
    finally:
        if agent.process.poll() is None:
            agent.process.kill()
        agent.process.wait()


class InProcess:
    def __init__(self, client):
        self.client = client

    def invoke(self, payload, **kwargs):
        return self.client.post("/invocations", content=json.dumps(payload), **kwargs)


WAYS = ["rust", "uvicorn", "testclient"]
KINDS = ["sync", "async"]


@contextlib.contextmanager
def agent_by(way, module, function):
    if way == "testclient":
        app = getattr(importlib.import_module(module), function)()
        yield InProcess(TestClient(app, base_url="http://127.0.0.1:8080"))
    else:
        with served(way, module, function) as agent:
            yield agent


@pytest.fixture(scope="session", params=[(way, kind) for way in WAYS for kind in KINDS], ids="-".join)
def agent(request):
    way, kind = request.param
    with agent_by(way, "agents.behaviour", f"make_{kind}") as agent:
        agent.way, agent.kind = way, kind
        yield agent


@pytest.fixture(params=KINDS)
def rust_agent(request):
    with served("rust", "agents.behaviour", f"make_{request.param}") as agent:
        agent.kind = request.param
        yield agent


def eventually(condition, seconds=10):
    """Waits for a condition that comes true by itself."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {condition}"
        time.sleep(0.02)
    return answer
