"""AWS's command line and its SDKs for JavaScript and Rust. `make test-aws` says where they are."""

import json
import os
import pathlib
import shutil
import subprocess

from conftest import ROLE, code, lacks, serving

TOUR = pathlib.Path(__file__).parents[2] / "js/tour.cjs"


def signing(host):
    """The environment, with the host's key in it."""
    identity, secret = host.credentials
    return {**os.environ, "AWS_ACCESS_KEY_ID": identity, "AWS_SECRET_ACCESS_KEY": secret}


def test_the_command_line_invokes_and_tells_errors(host, session, tmp_path):
    cli = os.environ.get("AWS_CLI")
    if not cli:
        lacks("AWS_CLI names no aws")
    environment = {**signing(host), "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}

    def aws(*arguments):
        command = [cli, "--endpoint-url", host.url, "--output", "json", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    listed = json.loads(aws("bedrock-agentcore-control", "list-agent-runtimes").stdout)["agentRuntimes"]
    (arn,) = [each["agentRuntimeArn"] for each in listed if each["agentRuntimeName"] == "tester"]
    invoke = ("bedrock-agentcore", "invoke-agent-runtime", "--payload", "{}", "--runtime-session-id", session)
    answer = aws(*invoke, "--agent-runtime-arn", arn, str(tmp_path / "answer"))
    assert json.loads(answer.stdout)["statusCode"] == 200, answer.stderr
    assert json.loads((tmp_path / "answer").read_text())["session"] == session
    unknown = aws(*invoke, "--agent-runtime-arn", "nobody", str(tmp_path / "none"))
    assert unknown.returncode != 0 and "(ResourceNotFoundException)" in unknown.stderr
    here = ("--agent-runtime-arn", arn, "--runtime-session-id", session)
    assert json.loads(aws("bedrock-agentcore", "stop-runtime-session", *here).stdout)["statusCode"] == 200


def test_the_command_line_looks_after_runtimes(host):
    cli = os.environ.get("AWS_CLI")
    if not cli:
        lacks("AWS_CLI names no aws")
    environment = {**signing(host), "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}

    def called(operation, **parameters):
        given = ["--cli-input-json", json.dumps(parameters)]
        command = [cli, "--endpoint-url", host.url, "--output", "json", "--no-paginate",
                   "bedrock-agentcore-control", operation, *given]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def aws(operation, **parameters):
        answer = called(operation, **parameters)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout or "{}")

    settings = {
        "agentRuntimeArtifact": code(), "roleArn": ROLE, "networkConfiguration": {"networkMode": "PUBLIC"},
    }
    created = aws("create-agent-runtime", agentRuntimeName="commanded", **settings)
    runtime, arn = {"agentRuntimeId": created["agentRuntimeId"]}, created["agentRuntimeArn"]
    again = called("create-agent-runtime", agentRuntimeName="commanded", **settings)
    assert "(ConflictException)" in again.stderr
    invalid = called("create-agent-runtime", agentRuntimeName="other", **{**settings, "agentRuntimeArtifact": code("x/")})
    assert "(ValidationException)" in invalid.stderr
    assert aws("update-agent-runtime", **runtime, **settings)["agentRuntimeVersion"] == "2"
    assert aws("get-agent-runtime", **runtime)["agentRuntimeVersion"] == "2"
    versions = aws("list-agent-runtime-versions", **runtime)["agentRuntimes"]
    assert {version["agentRuntimeVersion"] for version in versions} == {"1", "2"}
    page = aws("list-agent-runtimes", maxResults=1)
    assert len(page["agentRuntimes"]) == 1 and page["nextToken"]
    assert len(aws("list-agent-runtimes", nextToken=page["nextToken"])["agentRuntimes"]) >= 1
    aws("create-agent-runtime-endpoint", **runtime, name="prod", agentRuntimeVersion="1")
    endpoints = aws("list-agent-runtime-endpoints", **runtime)["runtimeEndpoints"]
    assert {endpoint["name"]: endpoint["liveVersion"] for endpoint in endpoints} == {"DEFAULT": "2", "prod": "1"}
    aws("tag-resource", resourceArn=arn, tags={"team": "red", "stage": "test"})
    aws("untag-resource", resourceArn=arn, tagKeys=["stage"])
    assert aws("list-tags-for-resource", resourceArn=arn)["tags"] == {"team": "red"}
    assert aws("delete-agent-runtime", **runtime)["status"] == "DELETING"
    assert "(ResourceNotFoundException)" in called("get-agent-runtime", **runtime).stderr


def test_the_sdk_for_javascript_makes_its_tour(host):
    modules = os.environ.get("AWS_JS_MODULES")
    if not modules or not shutil.which("node"):
        lacks("AWS_JS_MODULES names no node_modules, or there is no node")
    toured = subprocess.run(
        ["node", TOUR, host.url], env={**signing(host), "NODE_PATH": modules}, capture_output=True, text=True, timeout=120
    )
    assert toured.returncode == 0, toured.stderr
    seen = json.loads(toured.stdout)
    assert seen == {
        "created": "READY",
        "artifact": {
            "codeConfiguration": {
                "code": {"s3": {"bucket": "local", "prefix": "writer/"}},
                "runtime": "PYTHON_3_12",
                "entryPoint": ["main.py"],
            }
        },
        "control": {
            "conflict": True, "invalid": True, "updated": "2", "endpoints": [["DEFAULT", "2"], ["prod", "1"]],
            "versions": ["1", "2"], "pages": 1, "tags": {"team": "red"}, "endpoint": "DELETING",
        },
        "received": 10_000_000,
        "sent": 10_000_000,
        "answer": "javascript-".ljust(40, "-"),
        "stream": 'data: {"item": 0}\n\ndata: {"item": 1}\n\n',
        "failure": [True, 424, True],
        "events": [
            {"contentStart": {}},
            {"contentDelta": {"stdout": "hello\n"}},
            {"contentStop": {"exitCode": 0, "status": "COMPLETED"}},
        ],
        "stopped": 200,
        "deleted": "DELETING",
        "gone": True,
    }


def test_the_sdk_for_rust_makes_its_tour_with_a_key_of_the_host():
    tour = os.environ.get("AWS_RUST_TOUR")
    if not tour:
        lacks("AWS_RUST_TOUR names no program")
    with serving("--require-auth") as host:
        invoker = host.key("--invoke", "*")
        administrator = host.key("--invoke", "*", "--administer", "*")

        def made(*key):
            return subprocess.run([tour, host.url, *key], capture_output=True, text=True, timeout=120)

        toured = made(*administrator)
        assert toured.returncode == 0, toured.stderr
        session = "rust-".ljust(40, "-")
        assert json.loads(toured.stdout) == {
            "created": {
                "status": "READY", "version": "1",
                "again is a conflict": True, "what cannot be run is invalid": True,
            },
            "control": {
                "updated": "2", "entry point": ["main.py"], "mode": "second",
                "endpoints": [["DEFAULT", "2"], ["prod", "1"]], "versions": ["1", "2"],
                "at most on a page": 1, "is listed": True,
            },
            "answers": {
                "json": session, "made up": True,
                "stream": 'data: {"item": 0}\n\ndata: {"item": 1}\n\n',
            },
            "bytes": {"sent": 10_000_000, "received": 10_000_000},
            "failures": {
                "of the agent, with its words": True, "has a request id": True, "unknown": True, "invalid": True,
            },
            "events": ["start", "hello\n", [3, "COMPLETED"]],
            "retried": [session, 1],
            "stopped": [200, True],
            "deleted": {"status": "DELETING", "is gone": True},
        }
        denied = made(*invoker)
        assert denied.returncode != 0 and "AccessDeniedException" in denied.stderr
        forged = made(administrator[0], invoker[1])
        assert forged.returncode != 0 and "The request signature we calculated does not match" in forged.stderr
