"""A host that asks everybody who calls, and AWS's ways of showing it."""

import json
import uuid
from urllib.parse import quote, urlencode, urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from conftest import ROLE, code, eventually, new_session, serving
from model import Checked, said

SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
# The host's log at its most talkative, and what must not be in it.
MARK = f"swordfish{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def asking():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTCORE_LOG", "trace")
        with serving("--require-auth") as host:
            yield host


def client(host, service, key):
    made = boto3.client(
        service, endpoint_url=host.url, region_name="us-east-1", aws_access_key_id=key[0],
        aws_secret_access_key=key[1], config=Config(retries={"total_max_attempts": 1}),
    )
    return Checked(made)


def target(host, **query):
    return f"{host.url}/runtimes/tester/ws?{urlencode(query)}"


def presigned(host, key, **query):
    request = AWSRequest(method="GET", url=target(host, **query), headers={"host": urlsplit(host.url).netloc})
    SigV4QueryAuth(Credentials(*key), "bedrock-agentcore", "us-east-1", expires=300).add_auth(request)
    return request.url


def echoed(url, **parameters):
    with connect(url.replace("http", "ws", 1), open_timeout=60, **parameters) as socket:
        socket.send("hello")
        return socket.recv(timeout=60)


def test_boto3_makes_its_tour_with_a_key(asking):
    key = asking.key("--invoke", "*", "--administer", "*")
    control, data = client(asking, "bedrock-agentcore-control", key), client(asking, "bedrock-agentcore", key)
    created = control.create_agent_runtime(
        agentRuntimeName="keyed", agentRuntimeArtifact=code(), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"MODE": MARK},
    )
    here = {"agentRuntimeArn": created["agentRuntimeArn"], "runtimeSessionId": new_session()}
    payload = json.dumps({"do": "length", "text": MARK + "x" * 10_000_000})
    answer = json.loads(data.invoke_agent_runtime(**here, payload=payload)["response"].read())
    assert answer == {"length": len(MARK) + 10_000_000}
    assert data.stop_runtime_session(**here)["statusCode"] == 200
    assert control.delete_agent_runtime(agentRuntimeId=created["agentRuntimeId"])["status"] == "DELETING"


def test_who_may_not_is_denied_by_the_class_of_the_error(asking):
    invoker = asking.key("--invoke", "nothing")
    data = client(asking, "bedrock-agentcore", invoker)
    control = client(asking, "bedrock-agentcore-control", invoker)
    for body in [b"{}", b"x" * 8_000_000]:
        with pytest.raises(data.exceptions.AccessDeniedException) as denied:
            data.invoke_agent_runtime(agentRuntimeArn="tester", runtimeSessionId=new_session(), payload=body)
        assert said(denied.value)["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(control.exceptions.AccessDeniedException) as denied:
        control.list_agent_runtime_versions(agentRuntimeId="tester")
    said(denied.value)
    forged = client(asking, "bedrock-agentcore", (invoker[0], "not the secret"))
    with pytest.raises(forged.exceptions.AccessDeniedException) as denied:
        forged.invoke_agent_runtime(agentRuntimeArn="tester", runtimeSessionId=new_session(), payload=MARK * 100)
    assert MARK not in str(said(denied.value))


def test_a_websocket_opens_with_signed_headers_and_a_session_beside_them(asking):
    """As AWS's own client does it, which adds the session's header after it has signed."""
    key = asking.key("--invoke", "tester")
    request = AWSRequest(method="GET", url=target(asking, qualifier="DEFAULT"))
    request.headers["host"] = urlsplit(asking.url).netloc
    SigV4Auth(Credentials(*key), "bedrock-agentcore", "us-east-1").add_auth(request)
    signed = {name: request.headers[name] for name in ("Authorization", "X-Amz-Date")}
    url = target(asking, qualifier="DEFAULT")
    assert echoed(url, additional_headers={**signed, SESSION: new_session()}) == "hello"


def test_a_presigned_websocket_opens_its_own_session_alone(asking):
    key = asking.key("--invoke", "tester")
    session = new_session()
    url = presigned(asking, key, qualifier="DEFAULT", **{SESSION: session})
    assert echoed(url) == "hello"
    bare = presigned(asking, key, qualifier="DEFAULT")
    for url, headers, status in [
        (url, {SESSION: new_session()}, 403),
        (bare, {SESSION: new_session()}, 403),
        (bare, {"X-Amzn-Bedrock-AgentCore-Runtime-User-Id": "alice"}, 403),
        (url.replace(quote(session), quote(new_session())), {}, 403),
    ]:
        with pytest.raises(InvalidStatus) as refused:
            echoed(url, additional_headers=headers)
        assert refused.value.response.status_code == status


def test_no_payload_and_no_secret_is_in_a_log(asking):
    """Last, when the others have left their traces."""
    key = asking.key("--invoke", "*")
    data = client(asking, "bedrock-agentcore", key)
    data.invoke_agent_runtime(
        agentRuntimeArn="tester", runtimeSessionId=new_session(), payload=json.dumps({"text": MARK}),
    )["response"].read()
    logs = [asking.folder / "host.log", *asking.state.glob("audit*.jsonl")]
    assert eventually(lambda: len(logs) > 1 and all(log.stat().st_size for log in logs))
    for log in logs:
        text = log.read_text(errors="replace")
        assert "session" in text, "the log says little"
        for secret in (MARK, key[1]):
            assert secret not in text, f"{log.name} gives away {secret}"
