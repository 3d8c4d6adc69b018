"""The control plane: runtimes, versions, endpoints, tags."""

import json
import uuid

import pytest

from conftest import ROLE, code
from model import said


def mode(data, arn, **parameters):
    answer = data.invoke_agent_runtime(agentRuntimeArn=arn, payload="{}", **parameters)
    return json.loads(answer["response"].read())["mode"]


def update(control, runtime, mode, **parameters):
    return control.update_agent_runtime(
        agentRuntimeId=runtime["agentRuntimeId"], agentRuntimeArtifact=code(), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"MODE": mode}, **parameters,
    )


def test_an_agent_that_was_launched_is_listed_and_shown(control, tester):
    shown = control.get_agent_runtime(agentRuntimeId=tester.split("/")[-1])
    assert (shown["agentRuntimeArn"], shown["status"]) == (tester, "READY")
    assert shown["lifecycleConfiguration"] == {"idleRuntimeSessionTimeout": 900, "maxLifetime": 28800}
    assert "environmentVariables" not in shown, "the shell's own are nobody's business"


def test_a_runtime_is_created_shown_and_invoked(data, control, writer):
    assert writer["agentRuntimeVersion"] == "1"
    shown = control.get_agent_runtime(agentRuntimeId=writer["agentRuntimeId"])
    assert shown["agentRuntimeArtifact"] == code()
    assert (shown["roleArn"], shown["environmentVariables"]) == (ROLE, {"MODE": "first"})
    assert shown["createdAt"] == writer["createdAt"]
    assert mode(data, writer["agentRuntimeArn"]) == "first"


def test_default_follows_versions_and_running_sessions_keep_theirs(data, control, writer, session):
    arn, runtime = writer["agentRuntimeArn"], writer["agentRuntimeId"]
    control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name="prod", agentRuntimeVersion="1")
    assert mode(data, arn, runtimeSessionId=session) == "first"
    assert update(control, writer, "second")["agentRuntimeVersion"] == "2"
    assert mode(data, arn, runtimeSessionId=session) == "first", "it keeps its version"
    assert mode(data, arn) == "second"
    assert mode(data, arn, qualifier="prod") == "first"
    control.update_agent_runtime_endpoint(
        agentRuntimeId=runtime, endpointName="prod", agentRuntimeVersion="2", description="the new one"
    )
    assert mode(data, arn, qualifier="prod") == "second"
    endpoint = control.get_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="prod")
    assert (endpoint["liveVersion"], endpoint["description"]) == ("2", "the new one")
    versions = control.list_agent_runtime_versions(agentRuntimeId=runtime)["agentRuntimes"]
    assert [version["agentRuntimeVersion"] for version in versions] == ["1", "2"]
    old = control.get_agent_runtime(agentRuntimeId=runtime, agentRuntimeVersion="1")
    assert old["environmentVariables"] == {"MODE": "first"}
    names = [each["name"] for each in control.list_agent_runtime_endpoints(agentRuntimeId=runtime)["runtimeEndpoints"]]
    assert names == ["DEFAULT", "prod"]


def test_what_is_deleted_is_gone_with_its_sessions(data, control, writer, session):
    arn, runtime = writer["agentRuntimeArn"], writer["agentRuntimeId"]
    control.create_agent_runtime_endpoint(agentRuntimeId=runtime, name="prod")
    assert mode(data, arn, runtimeSessionId=session, qualifier="prod") == "first"
    gone = control.delete_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="prod")
    assert gone["status"] == "DELETING"
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        mode(data, arn, runtimeSessionId=session, qualifier="prod")
    with pytest.raises(control.exceptions.ConflictException):
        control.delete_agent_runtime_endpoint(agentRuntimeId=runtime, endpointName="DEFAULT")
    with pytest.raises(control.exceptions.ConflictException):
        control.delete_agent_runtime(agentRuntimeId=runtime, agentRuntimeVersion="1")
    assert control.delete_agent_runtime(agentRuntimeId=runtime)["status"] == "DELETING"
    for call in (control.get_agent_runtime, control.delete_agent_runtime):
        with pytest.raises(control.exceptions.ResourceNotFoundException) as failure:
            call(agentRuntimeId=runtime)
        said(failure.value)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        mode(data, arn)


def test_lists_come_in_pages(control, writer):
    for number in range(3):
        control.create_agent_runtime_endpoint(agentRuntimeId=writer["agentRuntimeId"], name=f"e{number}")
    listed, parameters = [], {}
    while True:
        page = control.list_agent_runtime_endpoints(
            agentRuntimeId=writer["agentRuntimeId"], maxResults=2, **parameters
        )
        assert len(page["runtimeEndpoints"]) <= 2
        listed += [endpoint["name"] for endpoint in page["runtimeEndpoints"]]
        if "nextToken" not in page:
            break
        parameters = {"nextToken": page["nextToken"]}
    assert listed == ["DEFAULT", "e0", "e1", "e2"]
    paginator = control.client.get_paginator("list_agent_runtimes")
    pages = paginator.paginate(PaginationConfig={"PageSize": 1})
    names = [runtime["agentRuntimeName"] for page in pages for runtime in page["agentRuntimes"]]
    assert len(names) == len(set(names)) >= 2


def test_a_token_makes_a_request_count_once(control):
    request = {
        "agentRuntimeName": f"once_{uuid.uuid4().hex[:8]}", "agentRuntimeArtifact": code(), "roleArn": ROLE,
        "networkConfiguration": {"networkMode": "PUBLIC"}, "clientToken": str(uuid.uuid4()),
    }
    first, second = (control.create_agent_runtime(**request) for _ in range(2))
    first.pop("ResponseMetadata"), second.pop("ResponseMetadata")
    assert first == second
    with pytest.raises(control.exceptions.ValidationException) as failure:
        control.create_agent_runtime(**{**request, "description": "another"})
    assert said(failure.value)["reason"] == "IdempotentParameterMismatchException"
    with pytest.raises(control.exceptions.ConflictException):
        control.create_agent_runtime(**{**request, "clientToken": str(uuid.uuid4())})
    control.delete_agent_runtime(agentRuntimeId=first["agentRuntimeId"])


def test_tags_are_set_shown_and_removed(control, writer):
    arn = writer["agentRuntimeArn"]
    endpoint = control.create_agent_runtime_endpoint(
        agentRuntimeId=writer["agentRuntimeId"], name="prod", tags={"stage": "prod"}
    )["agentRuntimeEndpointArn"]
    control.tag_resource(resourceArn=arn, tags={"team": "red", "cost": "7"})
    assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "red", "cost": "7"}
    control.untag_resource(resourceArn=arn, tagKeys=["cost", "none"])
    assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "red"}
    assert control.list_tags_for_resource(resourceArn=endpoint)["tags"] == {"stage": "prod"}
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.list_tags_for_resource(resourceArn=arn[:-10] + "0000000000")


@pytest.mark.parametrize(
    "change, field",
    [
        ({"agentRuntimeArtifact": code("../")}, "agentRuntimeArtifact"),
        ({"agentRuntimeArtifact": code(entry="none.py")}, "agentRuntimeArtifact"),
        ({"agentRuntimeArtifact": {"containerConfiguration": {"containerUri": "1.dkr.ecr/x"}}}, "agentRuntimeArtifact"),
        ({"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 900, "maxLifetime": 60}}, "lifecycleConfiguration"),
        ({"agentRuntimeName": "no-hyphens"}, "agentRuntimeName"),
        ({"protocolConfiguration": {"serverProtocol": "A2A"}}, "protocolConfiguration"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(control, change, field):
    request = {
        "agentRuntimeName": "never", "agentRuntimeArtifact": code(), "roleArn": ROLE,
        "networkConfiguration": {"networkMode": "PUBLIC"}, **change,
    }
    with pytest.raises(control.exceptions.ValidationException) as failure:
        control.create_agent_runtime(**request)
    response = said(failure.value)
    assert (response["reason"], response["fieldList"][0]["name"]) == ("FieldValidationFailed", field)
