"""SDKs send again what is not answered in time. The agent runs once all the same."""

import json
import uuid

import pytest
from botocore.exceptions import ReadTimeoutError


def invoke(client, arn, session, payload):
    answer = client.invoke_agent_runtime(agentRuntimeArn=arn, runtimeSessionId=session, payload=json.dumps(payload))
    return json.loads(answer["response"].read())


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_an_agent_that_takes_longer_than_its_client_waits_runs_once(host, data, tester, session, mode):
    invoke(data, tester, session, {})  # So that starting the agent is none of its time.
    impatient = host.client(
        "bedrock-agentcore", read_timeout=2, retries={"total_max_attempts": 6, "mode": mode}
    )
    attempts = []
    impatient.meta.events.register("before-send", lambda request, **_: attempts.append(request.headers))
    run = str(uuid.uuid4())
    answer = invoke(impatient, tester, session, {"do": "sleep", "seconds": 5, "run": run})
    assert answer["session"] == session
    assert len(attempts) >= 2, "the client has retried"
    assert len({headers["amz-sdk-invocation-id"] for headers in attempts}) == 1
    assert invoke(data, tester, session, {"do": "runs", "of": run}) == {"runs": 1}


def test_a_client_that_gives_up_has_run_its_agent_once(host, data, tester, session):
    invoke(data, tester, session, {})
    impatient = host.client("bedrock-agentcore", read_timeout=0.2, retries={"total_max_attempts": 2})
    run = str(uuid.uuid4())
    with pytest.raises(ReadTimeoutError):
        invoke(impatient, tester, session, {"do": "sleep", "seconds": 5, "run": run})
    assert invoke(data, tester, session, {"do": "runs", "of": run}) == {"runs": 1}


def test_two_calls_run_twice(data, tester, session):
    run = str(uuid.uuid4())
    for _ in range(2):
        invoke(data, tester, session, {"run": run})
    assert invoke(data, tester, session, {"do": "runs", "of": run}) == {"runs": 2}
