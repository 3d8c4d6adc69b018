"""What is special to being served from Rust, and what must not be."""

import concurrent.futures
import json
import pathlib
import signal
import socket
import time

import httpx
import pytest
from conftest import agent_by, eventually, served


def test_an_agent_without_need_of_starlette_and_asyncio_does_not_load_them():
    with served("rust", "agents.bare", "make") as agent:
        assert agent.invoke(1).json() == {"starlette": False, "asyncio": False}


def test_a_slash_too_many_is_redirected_without_starlette_too():
    with served("rust", "agents.bare", "make") as agent:
        for path, meant in [("/ping/?x=1", "/ping?x=1"), ("/invocations//", "/invocations")]:
            answer = agent.client.get(path)
            assert (answer.status_code, answer.content) == (307, b"")
            assert answer.headers["location"] == agent.url + meant
        for path in ["/ws/", "/nowhere/", "/", "//ping"]:
            assert agent.client.get(path).status_code == 404
        assert agent.client.post("/invocations/", content=b"1", follow_redirects=True).json()["starlette"] is False


@pytest.mark.parametrize("way", ["rust", "uvicorn", "testclient"])
@pytest.mark.parametrize("function", ["entrypoint_is_generator", "entrypoint_is_async_generator"])
def test_the_entrypoint_itself_may_be_a_generator(way, function):
    with agent_by(way, "agents.variants", function) as agent:
        assert agent.invoke(3).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("way", ["rust", "uvicorn", "testclient"])
def test_without_an_entrypoint_the_answer_says_so(way):
    with agent_by(way, "agents.variants", "without_entrypoint") as agent:
        answer = agent.invoke({})
        assert (answer.status_code, answer.content) == (500, b'{"error":"No entrypoint defined"}')
        assert agent.client.post("/invocations", content=b"nope").status_code == 400


@pytest.mark.parametrize("way", ["rust", "uvicorn"])
def test_middleware_lifespan_and_routes_of_the_authors_own(way):
    with agent_by(way, "agents.variants", "with_everything") as agent:
        answer = agent.invoke({})
        assert answer.json() == {"tenant": "from middleware", "state": "in state", "pool": "open"}
        assert answer.headers["x-middleware"] == "was here"
        assert agent.invoke("stream").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert agent.client.post("/extra/x", content=b"body").text == "POST body"
        assert agent.client.get("/nowhere").headers["x-middleware"] == "was here"
        assert agent.client.get("/ping").json()["status"] == "Healthy"
        _, log = agent.stop()
        assert log.index("lifespan starts") < log.index("lifespan ends")


def test_a_lifespan_that_fails_to_start_ends_the_agent():
    with served("rust", "agents.variants", "failing_lifespan") as agent:
        agent.process.wait(timeout=20)
        assert agent.process.returncode == 1
        assert "no database" in agent.logged()


@pytest.mark.parametrize("way", ["rust", "uvicorn", "testclient"])
def test_a_ping_handler_decides_and_one_that_fails_is_passed_over(way):
    with agent_by(way, "agents.variants", "with_ping") as agent:
        ping = lambda: agent.client.get("/ping").json()["status"]  # noqa: E731
        assert ping() == "HealthyBusy"
        for order, status in [("text", "HealthyBusy"), ("else", "Healthy"), ("raise", "Healthy")]:
            agent.invoke(order)
            assert ping() == status
        for order in ["bool", "dict", "wrong"]:
            agent.invoke("busy")
            agent.invoke(order)
            assert ping() == "Healthy"


def test_a_ping_handler_that_hangs_gets_its_last_answer_repeated():
    with served("rust", "agents.variants", "with_ping") as agent:
        assert agent.client.get("/ping").json()["status"] == "HealthyBusy"
        agent.invoke("hang")
        # Within the client's patience, that is; the handler has none.
        assert agent.client.get("/ping").json()["status"] == "HealthyBusy"


def test_a_coroutine_for_a_ping_handler_is_passed_over():
    with served("rust", "agents.variants", "coroutine_ping") as agent:
        assert agent.client.get("/ping").json()["status"] == "Healthy"


def test_ping_is_answered_while_python_computes_without_letting_go():
    with served("rust", "agents.variants", "stuck") as agent:
        agent.invoke("task")
        with pytest.raises(httpx.ReadTimeout):
            agent.invoke("compute", timeout=2)
        for _ in range(100):
            assert agent.client.get("/ping").json()["status"] == "HealthyBusy"


def test_ping_is_answered_while_a_handler_blocks_the_event_loop():
    with served("rust", "agents.variants", "stuck_loop") as agent:
        with pytest.raises(httpx.ReadTimeout):
            agent.invoke({}, timeout=0.5)
        eventually(lambda: agent.client.get("/ping").json()["status"] == "HealthyBusy")


def test_handlers_that_hang_do_not_keep_others_from_being_called():
    with served("rust", "agents.variants", "stuck") as agent, concurrent.futures.ThreadPoolExecutor(20) as pool:
        hanging = [pool.submit(httpx.post, f"{agent.url}/invocations", json="hang", timeout=3) for _ in range(20)]
        eventually(lambda: agent.invoke("more").json() == "done")
        assert all(isinstance(call.exception(), httpx.ReadTimeout) for call in hanging)


def leave_midway(agent, stream, count):
    """Opens streams, reads a little, and leaves."""
    payload = json.dumps({"count": 0, "forever": True, **stream}).encode()
    head = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(payload)
    sockets = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(count)]
    for client in sockets:
        client.sendall(head + payload)
    for client in sockets:
        client.settimeout(10)
        received = b""
        while b"data: " not in received:  # else its generator might not have begun
            received += client.recv(100)
    for client in sockets:
        client.close()


def resident_kib(agent):
    status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


STREAMS = [{"do": "generator"}, {"do": "async_generator"}, {"do": "async_generator", "pause": 600}]


@pytest.mark.parametrize("stream", STREAMS, ids=["generator", "async_generator", "waiting_async_generator"])
def test_200_clients_that_leave_midway_leave_nothing_behind(rust_agent, stream):
    ask = lambda action: rust_agent.invoke({"do": action}).json()  # noqa: E731
    closed = 0

    def leave(count):
        nonlocal closed
        closed += count
        leave_midway(rust_agent, stream, count)
        eventually(lambda: len(ask("closed")) == closed)

    leave(100)  # whatever is made once is made now
    before, memory = ask("in_use"), resident_kib(rust_agent)
    leave(100)
    leave(100)
    eventually(lambda: ask("in_use") == before)
    threads = ask("threads")
    assert len(threads) < 20, threads  # the workers, whose number clients do not decide
    assert resident_kib(rust_agent) < memory + 4 * 1024
    code, log = rust_agent.stop()
    assert code == 0, log


def test_a_slow_client_holds_its_generator_back(rust_agent):
    payload = {"do": "async_generator" if rust_agent.kind == "async" else "generator", "count": 0, "forever": True}
    with rust_agent.client.stream("POST", "/invocations", content=json.dumps(payload)) as answer:
        next(answer.iter_raw())
        before = resident_kib(rust_agent)
        time.sleep(0.5)
        assert resident_kib(rust_agent) < before + 8 * 1024


def test_items_reach_the_client_as_they_are_made():
    with served("rust", "agents.behaviour", "make_async") as agent:
        # The second item comes long after this client would have given up.
        payload = {"do": "async_generator", "count": 2, "pause": 600}
        with agent.client.stream("POST", "/invocations", content=json.dumps(payload)) as answer:
            assert next(answer.iter_lines()) == 'data: {"n": 0, "é": null}'


def test_a_tasks_result_error_and_cancellation_are_on_record():
    with served("rust", "agents.behaviour", "make_async") as agent:
        ping = lambda: agent.client.get("/ping").json()["status"]  # noqa: E731

        def started(payload):
            agent.invoke({"do": "background", **payload})
            eventually(lambda: ping() == "HealthyBusy")
            return agent.invoke({"do": "info"}).json()["running_jobs"][0]["task_id"]

        def released(task):
            agent.invoke({"do": "release"})
            return task

        def record(task):
            eventually(lambda: ping() == "Healthy")
            record = agent.invoke({"do": "record", "id": task}).json()
            return record["status"], record.get("result"), record.get("error")

        assert record(released(started({}))) == ("completed", {"found": 1}, None)
        error = {"type": "LookupError", "message": "lost"}
        assert record(released(started({"fail": True}))) == ("failed", None, error)
        task = started({})
        assert agent.invoke({"do": "cancel", "id": task}).json() is True
        assert record(task) == ("cancelled", None, None)


@pytest.mark.parametrize("way", ["rust", "uvicorn"])
def test_a_host_that_keeps_the_journal_ends_one_task_and_reads_so(way, tmp_path):
    with served(way, "agents.behaviour", "make_async", {"AGENTCORE_JOURNAL_DIR": str(tmp_path)}) as agent:
        agent.invoke({"do": "background"})
        jobs = lambda: agent.invoke({"do": "info"}).json()["running_jobs"]  # noqa: E731
        path = f"/_agentcore/v1/tasks/{eventually(jobs)[0]['task_id']}/cancel"
        assert agent.client.post(path).status_code == 202
        eventually(lambda: not jobs())
        lines = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
        assert [line["event"] for line in lines] == ["started", "cancelled"]
        assert agent.client.post(path).status_code == 409


@pytest.mark.parametrize("way", ["rust", "uvicorn"])
def test_without_a_host_nobody_else_ends_a_task(way):
    with served(way, "agents.behaviour", "make_async") as agent:
        assert agent.client.post("/_agentcore/v1/tasks/1/cancel").status_code == 404


def test_a_fork_is_answered_with_a_clear_error():
    with served("rust", "agents.variants", "forking") as agent:
        answer = agent.invoke({}).json()
        assert answer.startswith("RuntimeError: this process was forked from process")
        assert agent.client.get("/ping").json()["status"] == "Healthy"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_well(number):
    with served("rust", "agents.variants", "slow_task") as agent:
        agent.invoke(1)
        code, log = agent.stop(number)
        assert code == 0, log
        assert "the task has ended" in log
        assert "Traceback" not in log


def test_handlers_that_never_return_do_not_spoil_the_end():
    with served("rust", "agents.variants", "restless") as agent:
        for payload in ["compute", "compute", "sleep", "sleep"]:
            with pytest.raises(httpx.ReadTimeout):
                agent.invoke(payload, timeout=0.3)
        code, log = agent.stop()
        assert code == 0, log


def test_log_lines_are_json_and_name_the_request():
    with served("rust", "agents.behaviour", "make_sync") as agent:
        agent.invoke({"do": "raise"}, headers={"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": "s-9"})
        _, log = agent.stop()
        lines = [json.loads(line) for line in log.splitlines()]
        failure = next(line for line in lines if line.get("errorType") == "ValueError")
        assert failure.keys() >= {"timestamp", "level", "message", "logger", "requestId", "stackTrace", "location"}
        assert (failure["sessionId"], failure["errorMessage"]) == ("s-9", "went wrong")
        assert failure["logger"] == "bedrock_agentcore.app"
