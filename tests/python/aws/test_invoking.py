"""The data plane: invoke, stream, stop."""

import json

import pytest

from conftest import eventually, new_session
from model import said


def invoke(data, arn, payload, **parameters):
    answer = data.invoke_agent_runtime(agentRuntimeArn=arn, payload=json.dumps(payload), **parameters)
    return json.loads(answer["response"].read()), answer


def test_an_agent_answers_in_its_session(data, tester, session):
    body, answer = invoke(data, tester, {}, runtimeSessionId=session, contentType="application/json")
    assert body["session"] == session
    assert (answer["runtimeSessionId"], answer["statusCode"]) == (session, 200)
    assert answer["contentType"].startswith("application/json")
    again, _ = invoke(data, tester, {}, runtimeSessionId=session)
    assert again["life"] == body["life"], "the session lives on"


def test_a_session_is_made_up_when_none_is_named(data, tester):
    body, answer = invoke(data, tester, {})
    assert answer["runtimeSessionId"] == body["session"]


@pytest.mark.parametrize("form", ["arn", "id", "name", "elsewhere"])
def test_a_runtime_has_many_names(data, tester, session, form):
    runtime_id = tester.split("/")[-1]
    elsewhere = f"arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/{runtime_id}"
    name = {"arn": tester, "id": runtime_id, "name": "tester", "elsewhere": elsewhere}[form]
    account = {"accountId": "123456789012"} if form in ("id", "name") else {}
    body, _ = invoke(data, name, {}, runtimeSessionId=session, qualifier="DEFAULT", **account)
    assert body["session"] == session


def test_a_stream_comes_as_it_is_made(data, tester, session):
    answer = data.invoke_agent_runtime(
        agentRuntimeArn=tester, runtimeSessionId=session, payload=json.dumps({"do": "stream", "items": 5})
    )
    assert answer["contentType"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer["response"].iter_lines() if line.startswith(b"data: ")]
    assert events == [{"item": item} for item in range(5)]


def test_ten_megabytes_go_both_ways(data, tester, session):
    ten = 10_000_000
    body, _ = invoke(data, tester, {"do": "length", "text": "x" * ten}, runtimeSessionId=session)
    assert body == {"length": ten}
    body, _ = invoke(data, tester, {"do": "big", "bytes": ten}, runtimeSessionId=session)
    assert len(body) == ten


def test_an_agents_failure_explains_itself(data, tester, session):
    with pytest.raises(data.exceptions.RuntimeClientError) as failure:
        invoke(data, tester, {"do": "fail"}, runtimeSessionId=session)
    response = said(failure.value)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    message = response["Error"]["Message"]
    assert "no good" in message and "500" in message
    assert "invoked" in message, "the end of the log"


def test_an_agent_that_ends_midway_explains_itself(data, tester, session):
    with pytest.raises(data.exceptions.RuntimeClientError) as failure:
        invoke(data, tester, {"do": "exit"}, runtimeSessionId=session)
    assert "exited with code 3" in said(failure.value)["Error"]["Message"]


def test_a_trace_and_a_user_reach_the_agent(data, tester, session):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    body, _ = invoke(
        data, tester, {"do": "headers"}, runtimeSessionId=session, traceParent=trace, runtimeUserId="me"
    )
    assert body.get("traceparent") == trace


def test_what_is_wrong_with_a_request_is_told(data, tester, session):
    with pytest.raises(data.exceptions.ResourceNotFoundException) as failure:
        invoke(data, tester[:-10] + "0000000000", {}, runtimeSessionId=session)
    said(failure.value)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        invoke(data, tester, {}, runtimeSessionId=session, qualifier="nowhere")
    with pytest.raises(data.exceptions.ValidationException) as failure:
        invoke(data, tester, {}, runtimeSessionId="blanks are no part of a session id")
    response = said(failure.value)
    assert response["reason"] == "FieldValidationFailed"
    assert response["fieldList"][0]["name"] == "runtimeSessionId"


def test_a_stopped_session_begins_anew(data, tester, session):
    before, _ = invoke(data, tester, {}, runtimeSessionId=session)
    token = "t" * 40
    for _ in range(2):  # A retry carries the same token.
        answer = data.stop_runtime_session(agentRuntimeArn=tester, runtimeSessionId=session, clientToken=token)
        assert answer["runtimeSessionId"] == session
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        data.stop_runtime_session(agentRuntimeArn=tester, runtimeSessionId=session)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        data.stop_runtime_session(agentRuntimeArn=tester, runtimeSessionId=new_session())
    after, _ = invoke(data, tester, {}, runtimeSessionId=session)
    assert after["life"] != before["life"]
