"""The WebSocket at /ws, through all three ways."""

import json

import pytest
from conftest import agent_by, served
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


class Real:
    """A client of the library websockets."""

    def __init__(self, agent, session, protocols):
        self.socket = agent.websocket(additional_headers={SESSION: session}, subprotocols=protocols, proxy=None)
        self.protocol = self.socket.subprotocol
        self.send, self.receive = self.socket.send, self.socket.recv

    def closed(self):
        with pytest.raises(ConnectionClosed) as closed:
            self.receive()
        return closed.value.rcvd.code, closed.value.rcvd.reason


class Simulated:
    """Starlette's test client."""

    def __init__(self, agent, session, protocols):
        self.socket = agent.client.websocket_connect("/ws", headers={SESSION: session}, subprotocols=protocols)
        self.socket.__enter__()
        self.protocol = self.socket.accepted_subprotocol

    def send(self, message):
        self.socket.send_text(message) if isinstance(message, str) else self.socket.send_bytes(message)

    def receive(self):
        message = self.socket.receive()
        self.socket._raise_on_close(message)
        return message["text"] if message.get("text") is not None else message["bytes"]

    def closed(self):
        with pytest.raises(WebSocketDisconnect) as closed:
            self.receive()
        return closed.value.code, closed.value.reason


def open_socket(agent, session="s-1", protocols=None):
    return (Simulated if agent.way == "testclient" else Real)(agent, session, protocols)


def test_texts_and_bytes_go_both_ways_and_the_context_is_there(agent):
    socket = open_socket(agent)
    socket.send("hello")
    assert json.loads(socket.receive()) == {"echo": "hello", "session": "s-1"}
    socket.send(b"abc")
    assert socket.receive() == b"cba"
    for n in range(200):
        socket.send(f"{n}")
    for n in range(200):
        assert json.loads(socket.receive())["echo"] == f"{n}"
    socket.send("bye")
    assert socket.closed() == (4001, "farewell")


def test_a_subprotocol_is_agreed_on(agent):
    assert open_socket(agent, protocols=["first", "second"]).protocol == "second"


def test_a_handler_that_fails_after_accepting_closes_with_1011(agent):
    socket = open_socket(agent)
    socket.send("fail")
    assert socket.closed()[0] == 1011


def test_a_handler_that_fails_before_accepting_is_403(agent):
    with pytest.raises((InvalidStatus, WebSocketDisconnect, WebSocketDenialResponse)) as refused:
        open_socket(agent, session="refused")
    if agent.way != "testclient":
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"")


@pytest.mark.parametrize("way", ["rust", "uvicorn"])
def test_without_a_handler_it_is_403(way):
    with agent_by(way, "agents.variants", "without_entrypoint") as agent:
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{agent.port}/ws", proxy=None)
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"")


def test_a_client_that_leaves_ends_its_handler():
    with served("rust", "agents.behaviour", "make_async") as agent:
        for _ in range(50):
            socket = agent.websocket(proxy=None)
            socket.send("hello")
            socket.recv()
            socket.socket.close()
        code, log = agent.stop()
        assert code == 0, log
        assert "WebSocket handler failed" not in log
