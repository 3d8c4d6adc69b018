"""Every error that botocore's models know of what is served here, caught by its class; or why it never comes."""

import http.client
import json
import socket
import threading
import urllib.request
import uuid
from urllib.parse import urlsplit

import botocore
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from conftest import ROLE, code, eventually, new_session, serving, where_nobody_is_asked
from model import SERVICES, said

NOWHERE = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/nobody-0000000000"
DATA = ["InvokeAgentRuntime", "InvokeAgentRuntimeCommand", "GetAgentCard", "StopRuntimeSession"]
CONTROL = [
    "CreateAgentRuntime", "GetAgentRuntime", "UpdateAgentRuntime", "DeleteAgentRuntime", "ListAgentRuntimes",
    "ListAgentRuntimeVersions", "CreateAgentRuntimeEndpoint", "GetAgentRuntimeEndpoint", "UpdateAgentRuntimeEndpoint",
    "DeleteAgentRuntimeEndpoint", "ListAgentRuntimeEndpoints", "TagResource", "UntagResource", "ListTagsForResource",
]
ABOUT_NO_RUNTIME = ["CreateAgentRuntime", "ListAgentRuntimes"]
MODELLED = [
    (operation, error.name)
    for service, operations in zip(SERVICES, [DATA, CONTROL]) for operation in operations
    for error in service.operation_model(operation).error_shapes
]

# What never comes, and why.
JOINS = "only an invocation is recorded for those who send it again"
NAMED = "whatever is wrong with a name, there is nothing of that name"
NEVER = {
    ("InvokeAgentRuntimeCommand", "RetryableConflictException"): JOINS,
    ("GetAgentCard", "RetryableConflictException"): JOINS,
    ("StopRuntimeSession", "RetryableConflictException"): JOINS,
    ("StopRuntimeSession", "ConflictException"): "whatever a session does, it can be stopped",
    ("StopRuntimeSession", "ServiceQuotaExceededException"): "it begins nothing",
    ("StopRuntimeSession", "RuntimeClientError"): "the agent is not asked",
    ("UpdateAgentRuntime", "ConflictException"): "updates come one after the other",
    ("UpdateAgentRuntimeEndpoint", "ServiceQuotaExceededException"): "there is nothing more afterwards",
    ("GetAgentRuntime", "ValidationException"): NAMED,
    ("GetAgentRuntimeEndpoint", "ValidationException"): NAMED,
    ("ListTagsForResource", "ValidationException"): NAMED,
    ("UntagResource", "ValidationException"): "a key that no tag can have is one that is not there",
}
# What comes, but takes a minute to provoke: a unit test of the registry shows it.
SHOWN_ELSEWHERE = {("UpdateAgentRuntime", "ServiceQuotaExceededException")}

# What provokes an error, by the operation and the error's name.
PROVOKED = {}


def provokes(error, *operations):
    def add(function):
        for operation in operations:
            assert (operation, error) not in PROVOKED, (operation, error)
            PROVOKED[operation, error] = function
        return function
    return add


def all_that_know(error):
    return [operation for operation, modelled in MODELLED if modelled == error]


@where_nobody_is_asked
@pytest.mark.parametrize("operation, error", MODELLED)
def test_an_error_is_caught_by_its_class(request, host, operation, error):
    if (operation, error) in SHOWN_ELSEWHERE | NEVER.keys():
        return
    assert (operation, error) in PROVOKED, "show that it comes, or say why it does not"
    client, parameters = PROVOKED[operation, error](request, operation)
    expected = getattr(client.exceptions, error)
    with pytest.raises(expected) as caught:
        getattr(client, xform_name(operation))(**parameters)
    assert type(caught.value).__name__ == error
    status = next(service for service in SERVICES if operation in service.operation_names)
    status = status.shape_for_error_code(error).metadata["error"]["httpStatusCode"]
    assert said(caught.value)["ResponseMetadata"]["HTTPStatusCode"] == status


@where_nobody_is_asked
@pytest.mark.parametrize("operation", [name for name in DATA + CONTROL if name not in ABOUT_NO_RUNTIME])
def test_what_is_not_there_is_told_by_an_error_that_the_operation_knows(host, operation):
    with pytest.raises(ClientError) as caught:
        getattr(of(host, operation), xform_name(operation))(**unknown(operation))
    assert (operation, said(caught.value)["Error"]["Code"]) in MODELLED


def test_a_reason_is_of_an_error_that_is_modelled():
    absent = SHOWN_ELSEWHERE | NEVER.keys()
    assert absent | PROVOKED.keys() == set(MODELLED) and not absent & PROVOKED.keys()


def settings(**change):
    return {
        "agentRuntimeArtifact": code(), "roleArn": ROLE, "networkConfiguration": {"networkMode": "PUBLIC"}, **change,
    }


def unknown(operation):
    """Parameters that are well-formed, of a runtime that is not there."""
    runtime = {"agentRuntimeId": "nobody-0000000000"}
    session = {"agentRuntimeArn": NOWHERE, "runtimeSessionId": new_session()}
    match operation:
        case "InvokeAgentRuntime":
            return {**session, "payload": "{}"}
        case "InvokeAgentRuntimeCommand":
            return {**session, "body": {"command": "true"}}
        case "GetAgentCard" | "StopRuntimeSession":
            return session
        case "CreateAgentRuntime":
            return settings(agentRuntimeName=f"never_{uuid.uuid4().hex[:8]}", agentRuntimeArtifact=code("none/"))
        case "UpdateAgentRuntime":
            return settings(**runtime)
        case "ListAgentRuntimes":
            return {}
        case "CreateAgentRuntimeEndpoint":
            return {**runtime, "name": "prod"}
        case "TagResource":
            return {"resourceArn": NOWHERE, "tags": {"team": "red"}}
        case "UntagResource":
            return {"resourceArn": NOWHERE, "tagKeys": ["team"]}
        case "ListTagsForResource":
            return {"resourceArn": NOWHERE}
        case name if name.endswith("RuntimeEndpoint"):
            return {**runtime, "endpointName": "prod"}
    return runtime


def known(operation, runtime):
    """The same, of this runtime."""
    parameters = unknown(operation)
    ours = {
        "agentRuntimeId": runtime["agentRuntimeId"], "agentRuntimeArn": runtime["agentRuntimeArn"],
        "resourceArn": runtime["agentRuntimeArn"],
    }
    return {name: ours.get(name, value) for name, value in parameters.items()}


def of(host, operation, key=None, **config):
    service = "bedrock-agentcore" if operation in DATA else "bedrock-agentcore-control"
    return host.client(service, key, **config)


class Again:
    """A client that calls until it is told that it calls too often."""

    def __init__(self, client):
        self.client, self.exceptions = client, client.exceptions

    def __getattr__(self, name):
        def call(**parameters):
            for _ in range(100):
                try:
                    getattr(self.client, name)(**parameters)
                except self.exceptions.ThrottlingException:
                    raise
                except ClientError:
                    pass  # What else is wrong is told to whoever may ask.
        return call


# Hosts on which things go wrong, and the agent that each was started with.

LAUNCHED = {"agentRuntimeId": "tester", "agentRuntimeArn": "tester"}


@pytest.fixture(scope="module")
def asking():
    with serving("--require-auth") as host:
        yield host


@pytest.fixture(scope="module")
def broken():
    """A host that cannot read its keys."""
    with serving("--require-auth") as host:
        host.key("--operator")
        (host.state / "keys.json").write_text("{")
        yield host


@pytest.fixture(scope="module")
def slow():
    """A host that one may ask once in a second."""
    with serving("--max-requests-per-second", "1") as host:
        yield host


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A host that has as many sessions, and an agent as many endpoints, as there may be."""
    options = tmp_path_factory.mktemp("options") / "host.yaml"
    options.write_text("limits: {sessions: 1}")
    with serving("--config", options) as host:
        host.client("bedrock-agentcore").invoke_agent_runtime(**known("InvokeAgentRuntime", LAUNCHED))
        control = host.client("bedrock-agentcore-control")
        for number in range(9):
            control.create_agent_runtime_endpoint(agentRuntimeId="tester", name=f"e{number}")
        yield host

# What provokes them.


@provokes("AccessDeniedException", *all_that_know("AccessDeniedException"))
def forged(request, operation):
    host = request.getfixturevalue("asking")
    identity, _ = host.key("--operator")
    return of(host, operation, (identity, "not the secret")), unknown(operation)


@provokes("InternalServerException", *all_that_know("InternalServerException"))
def keys_are_broken(request, operation):
    return of(request.getfixturevalue("broken"), operation), unknown(operation)


@provokes("ThrottlingException", *all_that_know("ThrottlingException"))
def too_often(request, operation):
    host = request.getfixturevalue("slow")
    client = of(host, operation)
    return Again(client), unknown(operation)


@provokes("ResourceNotFoundException", *all_that_know("ResourceNotFoundException"))
def nobody(request, operation):
    return of(request.getfixturevalue("host"), operation), unknown(operation)


@provokes("ValidationException", *DATA)
def no_session_id(request, operation):
    parameters = known(operation, LAUNCHED)
    return of(request.getfixturevalue("host"), operation), {**parameters, "runtimeSessionId": "blanks " * 7}


@provokes("ValidationException", *(name for name in all_that_know("ValidationException")
                                   if name in CONTROL and (name, "ValidationException") not in NEVER))
def no_such_thing(request, operation):
    wrong = {
        "CreateAgentRuntime": {}, "UpdateAgentRuntime": {"agentRuntimeArtifact": code("none/")},
        "CreateAgentRuntimeEndpoint": {"name": "no-hyphens"}, "UpdateAgentRuntimeEndpoint": {"description": "x" * 257},
        "TagResource": {"tags": {"x" * 129: "x"}},
    }
    parameters = known(operation, request.getfixturevalue("writer"))
    if "EndpointName" in parameters or operation == "UpdateAgentRuntimeEndpoint":
        parameters["endpointName"] = "DEFAULT"
    return of(request.getfixturevalue("host"), operation), {**parameters, **wrong.get(operation, {"maxResults": 101})}


@provokes("ConflictException", "CreateAgentRuntime", "DeleteAgentRuntime", "CreateAgentRuntimeEndpoint",
          "UpdateAgentRuntimeEndpoint", "DeleteAgentRuntimeEndpoint")
def as_things_are(request, operation):
    writer, control = request.getfixturevalue("writer"), request.getfixturevalue("control")
    control.update_agent_runtime(**known("UpdateAgentRuntime", writer))
    shown = control.get_agent_runtime(agentRuntimeId=writer["agentRuntimeId"])
    wrong = {
        "CreateAgentRuntime": {"agentRuntimeName": shown["agentRuntimeName"], "agentRuntimeArtifact": code()},
        "DeleteAgentRuntime": {"agentRuntimeVersion": "2"}, "CreateAgentRuntimeEndpoint": {"name": "DEFAULT"},
        "UpdateAgentRuntimeEndpoint": {"endpointName": "DEFAULT", "agentRuntimeVersion": "1"},
        "DeleteAgentRuntimeEndpoint": {"endpointName": "DEFAULT"},
    }
    return control, {**known(operation, writer), **wrong[operation]}


@provokes("ServiceQuotaExceededException", "InvokeAgentRuntime", "InvokeAgentRuntimeCommand", "GetAgentCard",
          "CreateAgentRuntimeEndpoint")
def no_room(request, operation):
    host = request.getfixturevalue("full")
    return of(host, operation), known(operation, LAUNCHED)


@provokes("ServiceQuotaExceededException", "CreateAgentRuntime")
def no_room_for_another(request, operation):
    host = request.getfixturevalue("full")
    # A thousand, without what boto3 takes for each.
    connection = http.client.HTTPConnection(urlsplit(host.url).netloc)
    for number in range(1_000):
        connection.request("PUT", "/runtimes/", json.dumps(settings(agentRuntimeName=f"r{number}")))
        connection.getresponse().read()
    return of(host, operation), {**unknown(operation), "agentRuntimeArtifact": code()}


@provokes("ServiceQuotaExceededException", "TagResource")
def no_room_for_tags(request, operation):
    tags = {f"key{number}": "value" for number in range(51)}
    return of(request.getfixturevalue("host"), operation), {**known(operation, request.getfixturevalue("writer")), "tags": tags}


@provokes("RuntimeClientError", "InvokeAgentRuntime", "InvokeAgentRuntimeCommand", "GetAgentCard")
def does_not_start(request, operation):
    host, control = request.getfixturevalue("host"), request.getfixturevalue("control")
    (host.code / "ends").mkdir(exist_ok=True)
    (host.code / "ends/main.py").write_text("raise SystemExit(3)")
    created = control.create_agent_runtime(
        **settings(agentRuntimeName=f"ends_{uuid.uuid4().hex[:8]}", agentRuntimeArtifact=code("ends/")),
    )
    request.addfinalizer(lambda: control.delete_agent_runtime(agentRuntimeId=created["agentRuntimeId"]))
    return of(host, operation), known(operation, created)


@provokes("UnauthorizedException", "StopRuntimeSession")
def without_a_token(request, operation):
    host, control = request.getfixturevalue("host"), request.getfixturevalue("control")
    rules = {"discoveryUrl": "http://127.0.0.1:1/.well-known/openid-configuration", "allowedClients": ["web"]}
    created = control.create_agent_runtime(
        **settings(agentRuntimeName=f"guarded_{uuid.uuid4().hex[:8]}"),
        authorizerConfiguration={"customJWTAuthorizer": rules},
    )
    request.addfinalizer(lambda: control.delete_agent_runtime(agentRuntimeId=created["agentRuntimeId"]))
    return of(host, operation, signature_version=botocore.UNSIGNED), known(operation, created)


@provokes("RetryableConflictException", "InvokeAgentRuntime")
def with_an_attempt_that_reaches_no_agent(request, operation):
    """An attempt whose payload breaks off, and one more of the same call that has joined it."""
    host = request.getfixturevalue("host")
    parameters, call = known(operation, LAUNCHED), str(uuid.uuid4())
    where = urlsplit(host.url)
    first = socket.create_connection((where.hostname, where.port))
    head = (
        f"POST /runtimes/tester/invocations HTTP/1.1\r\nhost: {where.netloc}\r\namz-sdk-invocation-id: {call}\r\n"
        f"x-amzn-bedrock-agentcore-runtime-session-id: {parameters['runtimeSessionId']}\r\ncontent-length: 100\r\n\r\n"
    )
    first.sendall(head.encode())

    def has_begun():
        with urllib.request.urlopen(f"{host.url}/_agentcore/v1/sessions") as sessions:
            return parameters["runtimeSessionId"] in sessions.read().decode()

    eventually(has_begun)
    client = of(host, operation)

    def join(request, **_):
        request.headers["amz-sdk-invocation-id"] = call
        threading.Timer(1, first.close).start()

    client.meta.events.register("before-send", join)
    return client, parameters
