"""Commands beside an agent, and AWS's event stream."""

import pytest

from model import check, said


def run(data, arn, command, session, **body):
    answer = data.invoke_agent_runtime_command(
        agentRuntimeArn=arn, runtimeSessionId=session, body={"command": command, **body}
    )
    assert answer["contentType"] == "application/vnd.amazon.eventstream"
    assert answer["runtimeSessionId"] == session
    shape = data.meta.service_model.operation_model("InvokeAgentRuntimeCommand").output_shape.members["stream"]
    events = []
    for event in answer["stream"]:
        for name, member in event.items():
            check(shape.members[name], member, name)
        events.append(event["chunk"])
    assert events[0] == {"contentStart": {}}
    deltas = [event["contentDelta"] for event in events[1:-1]]
    written = {pipe: "".join(delta.get(pipe, "") for delta in deltas) for pipe in ("stdout", "stderr")}
    return written, events[-1]["contentStop"]


def test_a_command_tells_what_it_writes_and_how_it_ends(data, tester, session):
    written, stop = run(data, tester, "echo hällo; echo oops >&2; exit 3", session)
    assert written == {"stdout": "hällo\n", "stderr": "oops\n"}
    assert stop == {"exitCode": 3, "status": "COMPLETED"}


def test_much_output_comes_through_whole(data, tester, session):
    written, stop = run(data, tester, "seq 1 200000", session)
    assert written["stdout"] == "".join(f"{number}\n" for number in range(1, 200001))
    assert stop["exitCode"] == 0


def test_a_command_that_takes_too_long_is_ended(data, tester, session):
    written, stop = run(data, tester, "echo begun; sleep 600", session, timeout=2)
    assert (written["stdout"], stop["status"]) == ("begun\n", "TIMED_OUT")


def test_what_is_no_command_is_refused(data, tester, session):
    with pytest.raises(data.exceptions.ValidationException) as failure:
        run(data, tester, "true", session, timeout=99999)
    assert said(failure.value)["fieldList"][0]["name"] == "timeout"
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        run(data, "nobody", "true", session)
