"""A host that serves, and AWS's own clients with nothing changed but the endpoint."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import boto3
import pytest
from botocore.config import Config

from model import Checked

HERE = pathlib.Path(__file__).parent
AGENTCORE = os.environ.get("AGENTCORE", str(HERE.parents[2] / "target/debug/agentcore"))
ROLE = "arn:aws:iam::123456789012:role/agent"


class Host:
    """`agentcore serve` on a folder of its own, with the agent `tester`."""

    # What its clients sign with: anything, where nobody is asked.
    credentials = ("AKIDEXAMPLE", "secret")

    def __init__(self, folder, *arguments):
        self.folder = folder
        shutil.copy(HERE / "agent.py", folder / "agent.py")
        (folder / ".venv").symlink_to(sys.prefix)
        self.code = folder / "code"
        (self.code / "writer").mkdir(parents=True)
        shutil.copy(HERE / "agent.py", self.code / "writer/main.py")
        (self.code / "writer/.venv").symlink_to(sys.prefix)
        # Code that is uploaded runs with the machine's Python: here, the one with AWS's SDK.
        path = f"{sys.prefix}/bin:{os.environ['PATH']}"
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "none"), "PATH": path}
        self.run("configure", "-e", "agent.py", "-n", "tester", "-ni")
        self.log = open(folder / "host.log", "wb")
        self.state = folder / "s"
        self.process = subprocess.Popen(
            [AGENTCORE, "serve", "--listen", "127.0.0.1:0", "--state", self.state, "--code-root", self.code,
             "--on-shutdown", "stop", *arguments],
            cwd=folder, env=self.environment, stderr=self.log,
        )
        known = self.state / "host.json"
        self.url = eventually(lambda: known.exists() and json.loads(known.read_text()))["url"]

    def run(self, *arguments):
        command = [AGENTCORE, *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.environment, check=True, capture_output=True).stdout

    def key(self, *rights):
        """The id and the secret of a new key."""
        key = json.loads(self.run("keys", "create", "--state", self.state, "--json", *rights))
        return key["access_key_id"], key["secret_access_key"]

    def client(self, service, key=None, **config):
        config = {"retries": {"total_max_attempts": 1}, **config}
        identity, secret = key or self.credentials
        client = boto3.client(
            service, endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id=identity, aws_secret_access_key=secret, config=Config(**config),
        )
        return Checked(client)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


def eventually(condition, seconds=30):
    """Waits for a condition that comes true by itself."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.02)
    return answer


def lacks(what):
    """Skips a test for what this machine lacks; CI has everything."""
    assert os.environ.get("CI") != "true", what
    pytest.skip(what)


def new_session():
    return f"session-{uuid.uuid4()}"


@contextlib.contextmanager
def serving(*arguments):
    # A short path: sockets live below it.
    with tempfile.TemporaryDirectory(prefix="ac", dir="/tmp") as folder:
        host = Host(pathlib.Path(folder), *arguments)
        try:
            yield host
        finally:
            host.stop()


@pytest.fixture(scope="session", params=["open", "asking"])
def host(request):
    """Whoever takes this is tested twice: where nobody is asked, and where everybody shows a key."""
    if request.param == "open":
        with serving() as host:
            yield host
        return
    with serving("--require-auth") as host:
        host.credentials = host.key("--invoke", "*", "--administer", "*")
        yield host


# For tests that a key would make no difference to.
where_nobody_is_asked = pytest.mark.parametrize("host", ["open"], indirect=True)


@pytest.fixture(scope="session")
def data(host):
    return host.client("bedrock-agentcore")


@pytest.fixture(scope="session")
def control(host):
    return host.client("bedrock-agentcore-control")


@pytest.fixture(scope="session")
def tester(control):
    """The ARN of the agent that the host was started with."""
    runtimes = control.list_agent_runtimes()["agentRuntimes"]
    return next(runtime["agentRuntimeArn"] for runtime in runtimes if runtime["agentRuntimeName"] == "tester")


@pytest.fixture
def session():
    return new_session()


def code(prefix="writer/", entry="main.py"):
    """An artifact below the host's code root."""
    s3 = {"bucket": "local", "prefix": prefix}
    return {"codeConfiguration": {"code": {"s3": s3}, "runtime": "PYTHON_3_12", "entryPoint": [entry]}}


@pytest.fixture
def writer(control):
    """A runtime of its own for a test."""
    created = control.create_agent_runtime(
        agentRuntimeName=f"writer_{uuid.uuid4().hex[:8]}", agentRuntimeArtifact=code(), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"}, environmentVariables={"MODE": "first"},
    )
    yield created
    try:
        control.delete_agent_runtime(agentRuntimeId=created["agentRuntimeId"])
    except control.exceptions.ResourceNotFoundException:
        pass
