"""The contract of an agent's server, the same through all three ways."""

import json

import pytest

SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def test_any_json_value_goes_in_and_comes_out(agent):
    for value in [{"a": [1, 2.5, None, True]}, [], "text", 7, None, {"": {}}]:
        answer = agent.invoke(value)
        assert (answer.status_code, answer.json()) == (200, value)
        assert answer.headers["content-type"] == "application/json"


def test_results_are_json_with_spaces_and_without_escapes(agent):
    assert agent.invoke({"do": "unicode"}).content == '{"text": "é𝄞\\n"}'.encode()
    assert agent.invoke({"do": "half"}).content == b'{"text": "\\ud800"}'


def test_what_is_no_json_is_converted_or_sent_as_text(agent):
    assert agent.invoke({"do": "model"}).json() == {"a": {"model": True}, "b": [{"x": 1, "tags": [2]}], "c": [1, [3]]}
    assert agent.invoke({"do": "opaque"}).json() == "{'o': (1+2j)}"
    assert agent.invoke({"do": "keys"}).json() == "{(1, 2): 3}"
    refused = agent.invoke({"do": "unspeakable"})
    assert refused.status_code == 200
    assert refused.json() == {"error": "Serialization failed", "original_type": "Unspeakable"}


def test_what_is_no_number_comes_out_as_null(agent):
    assert agent.invoke({"do": "nan"}).content == b'{"mean": null, "NaN": ["NaN", null, null, 1e+300, "\\ud800"]}'
    assert agent.invoke({"do": "nan_in_model"}).json() == {"a": {"model": True}, "b": [{"x": None, "tags": [2]}]}
    assert agent.invoke({"do": "nan_in_error"}).content == b'{"error":{"x":null}}'
    task = agent.invoke({"do": "start_with_nan"}).json()
    assert agent.invoke({"do": "record", "id": task}).json()["metadata"] == {"loss": None}
    assert agent.invoke({"do": "complete", "id": task}).json() is True


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "Invalid JSON"),
        (b"nope", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"9" * 5_000, "Invalid JSON"),
        (b"NaN", "Invalid JSON"),
        (b'{"a": [Infinity]}', "Invalid JSON"),
        (b"[-Infinity]", "Invalid JSON"),
        (b"[1e999]", "Invalid JSON"),
        (b'{"a": -1E+400}', "Invalid JSON"),
        (b"9" * 400 + b".0", "Invalid JSON"),
        (b'{"a":"\xff"}', "Invalid encoding"),
        (b"\xff\xfe\x00\xd8", "Invalid encoding"),
    ],
)
def test_bad_input_is_answered_with_400(agent, body, error):
    answer = agent.client.post("/invocations", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.json()["details"]


def test_numbers_come_in_as_python_reads_them(agent):
    for text in ["1e308", "-1.7976931348623157e308", "5e-324", "1e-999", "0.1", "-0.0", "2.5E+3", "9" * 400]:
        answer = agent.client.post("/invocations", content=text)
        assert (answer.status_code, answer.text) == (200, json.dumps(json.loads(text)))


def test_half_a_character_goes_in_and_comes_out(agent):
    answer = agent.client.post("/invocations", content=b'{"cut": "\\ud83d"}')
    assert (answer.status_code, answer.content) == (200, b'{"cut": "\\ud83d"}')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_every_unicode_encoding_is_understood_and_the_content_type_ignored(agent, encoding):
    body = json.dumps({"é": "𝄞"}, ensure_ascii=False).encode(encoding)
    answer = agent.client.post("/invocations", content=body, headers={"content-type": "text/html"})
    assert answer.json() == {"é": "𝄞"}


def test_errors_of_a_handler(agent):
    for action, status, body in [
        ("raise", 500, b'{"error":"went wrong"}'),
        ("exit", 500, b'{"error":"leaving"}'),
        ("http", 418, b'{"error":"teapot"}'),
        ("detail", 409, '{"error":{"why":"é"}}'.encode()),
    ]:
        answer = agent.invoke({"do": action})
        assert (answer.status_code, answer.content) == (status, body)


def test_a_response_of_the_handlers_own_is_sent_as_it_is(agent):
    answer = agent.invoke({"do": "response"})
    assert (answer.status_code, answer.json(), answer.headers["x-mine"]) == (202, {"mine": 1}, "yes")
    answer = agent.invoke({"do": "streaming"})
    assert (answer.status_code, answer.text) == (201, "one two")
    assert answer.headers["content-type"].startswith("text/x-pieces")


@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_generators_are_server_sent_events(agent, kind):
    answer = agent.invoke({"do": kind, "count": 3})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.content == "".join(f'data: {{"n": {n}, "é": null}}\n\n' for n in range(3)).encode()
    empty = agent.invoke({"do": kind, "count": 0})
    assert (empty.status_code, empty.content) == (200, b"")
    many = agent.invoke({"do": kind, "count": 5_000})
    assert many.content.count(b"data: ") == 5_000


@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_a_stream_that_fails_midway_ends_with_an_error_event(agent, kind):
    answer = agent.invoke({"do": kind, "count": 1, "fail": True})
    last = json.loads(answer.content.split(b"data: ")[-1])
    message = "An error occurred during streaming"
    assert last == {"error": "'midway'", "error_type": "KeyError", "message": message}


def test_the_context_has_what_the_request_said(agent):
    headers = {
        SESSION: "s-1",
        "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id": "r-1",
        "WorkloadAccessToken": "token",
        "OAuth2CallbackUrl": "https://back",
        "authorization": "Bearer x",
        "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team": "blue",
        "X-Amzn-Trace-Id": "hidden",
        "Cookie": "hidden=1",
    }
    seen = agent.client.post("/invocations?a=b", json={"do": "context"}, headers=headers).json()
    visible = seen.pop("headers")
    assert visible["Authorization"] == "Bearer x"
    assert visible["x-amzn-bedrock-agentcore-runtime-custom-team"] == "blue"
    assert not {"cookie", "host", "x-amzn-trace-id", "content-type", "user-agent"} & visible.keys()
    assert seen == {
        "session_id": "s-1",
        "session": "s-1",
        "request_id": "r-1",
        "token": "token",
        "callback": "https://back",
        "method": "POST",
        "query": "a=b",
        "same_headers": True,
        "marker": "unset",
    }


def test_context_variables_do_not_leak_from_one_request_to_another(agent):
    agent.invoke({"do": "set_marker"})
    for _ in range(10):
        seen = agent.invoke({"do": "context"}).json()
        assert (seen["marker"], seen["session_id"]) == ("unset", None)
        assert len(seen["request_id"]) == 36


def test_ping_follows_tasks_and_its_time_is_that_of_the_change(agent):
    healthy = agent.client.get("/ping")
    assert healthy.headers["content-type"] == "application/json"
    assert healthy.content.startswith(b'{"status":"Healthy","time_of_last_update":')
    task = agent.invoke({"do": "start"}).json()
    assert 0 < task < 2**53
    busy = agent.client.get("/ping").json()
    assert busy["status"] == "HealthyBusy"
    jobs = agent.invoke({"_agent_core_app_action": "job_status"}).json()
    assert jobs["active_count"] == 1
    assert jobs["running_jobs"][0].items() >= {"name": "counted", "task_id": task, "metadata": {"batch": 100}}.items()
    assert agent.invoke({"do": "info"}).json()["active_count"] == 1
    assert agent.invoke({"do": "progress", "id": task, "progress": {"done": 0.5}}).json() is True
    assert agent.client.get("/ping").json() == busy
    assert agent.invoke({"do": "complete", "id": task}).json() is True
    assert agent.client.get("/ping").json()["status"] == "Healthy"
    record = agent.invoke({"do": "record", "id": task}).json()
    assert record["status"] == "completed" and record["progress"] == {"done": 0.5}


def test_a_task_that_nobody_knows_is_not_completed(agent):
    for unknown in [1, -1, 2**70, "x", None]:
        assert agent.invoke({"do": "complete", "id": unknown}).json() is False
    assert agent.invoke({"do": "record", "id": 1}).json() is None


def test_debug_actions(agent):
    def action(name):
        answer = agent.invoke({"_agent_core_app_action": name})
        return answer.status_code, answer.content

    assert action("force_busy") == (200, b'{"forced_status":"HealthyBusy"}')
    assert agent.client.get("/ping").json()["status"] == "HealthyBusy"
    assert action("force_healthy") == (200, b'{"forced_status":"Healthy"}')
    assert action("ping_status")[1].startswith(b'{"status":"Healthy","time_of_last_update":')
    assert action("clear_forced_status") == (200, b'{"forced_status":"Cleared"}')
    assert action("job_status") == (200, b'{"active_count":0,"running_jobs":[]}')
    assert action("x") == (400, b'{"error":"Unknown action: x"}')
    assert action("") == (200, b'{"_agent_core_app_action": ""}')


def test_a_status_can_be_forced_from_code(agent):
    agent.invoke({"do": "force", "status": "HealthyBusy"})
    assert agent.client.get("/ping").json()["status"] == "HealthyBusy"
    agent.invoke({"do": "unforce"})
    assert agent.client.get("/ping").json()["status"] == "Healthy"
    assert agent.invoke({"do": "force", "status": "Sleepy"}).status_code == 500


def test_other_paths_and_methods(agent):
    lost = agent.client.get("/nowhere")
    assert (lost.status_code, lost.text) == (404, "Not Found")
    assert lost.headers["content-type"].startswith("text/plain")
    wrong = agent.client.get("/invocations")
    assert (wrong.status_code, wrong.text, wrong.headers["allow"]) == (405, "Method Not Allowed", "POST")
    wrong = agent.client.post("/ping")
    assert (wrong.status_code, wrong.text) == (405, "Method Not Allowed")
    assert {name.strip() for name in wrong.headers["allow"].split(",")} == {"GET", "HEAD"}
    assert agent.client.head("/ping").status_code == 200


@pytest.mark.parametrize("path", ["/invocations/", "/ping/", "/invocations//?a=b%20c"])
def test_a_slash_too_many_is_redirected(agent, path):
    answer = agent.client.post(path, content=b"1", follow_redirects=False)
    meant = path.replace("//", "/").replace("/?", "?").removesuffix("/")
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["location"] == str(agent.client.base_url.join(meant))
