"""The programs of the document, as they are, driven by its own curl lines.

`UPDATE_EXAMPLES=1 pytest test_document.py` writes examples/python anew from the document.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import pytest
import scripted_bedrock
from conftest import eventually

ROOT = pathlib.Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/async-long-running-agents.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples/python"
BLOCKS = re.findall(r"^```\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)

# What the document itself left out, and nothing else.
PROGRAMS = {
    "async_task_decorator.py": ("### 1. Async Task Decorator", "import asyncio\n\n"),
    "manual_task_management.py": ("### 2. Manual Task Management", ""),
    "custom_ping_handler.py": ("### 3. Custom Ping Handler", "def system_busy():\n    return False\n\n\n"),
    "strands_agent.py": ("## Complete Example with Strands", ""),
}


def blocks_after(heading):
    return re.findall(r"^```\n(.*?)^```$", DOCUMENT.split(heading, 1)[1], re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_is_the_documents_own_text(name):
    heading, left_out = PROGRAMS[name]
    expected = left_out + blocks_after(heading)[0]
    if os.environ.get("UPDATE_EXAMPLES"):
        (EXAMPLES / name).write_text(expected, encoding="utf-8")
    assert (EXAMPLES / name).read_text(encoding="utf-8") == expected


class Program:
    """An example that runs as people run it: python FILE."""

    def __init__(self, name, **env):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, str(EXAMPLES / name)]
        self.process = subprocess.Popen(command, env={**os.environ, "PORT": str(self.port), **env})

    def __enter__(self):
        eventually(lambda: self.curl("curl -s http://localhost:8080/ping"), seconds=20)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def curl(self, line):
        line = line.replace("localhost:8080", f"127.0.0.1:{self.port}").replace("curl ", "curl -s --max-time 20 ", 1)
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True).stdout

    def ping(self):
        return json.loads(self.curl(PING))["status"]

    def invoke(self, payload=None):
        line = INVOKE if payload is None else re.sub(r"-d '.*'", lambda _: f"-d '{json.dumps(payload)}'", INVOKE)
        return json.loads(self.curl(line))


LOCAL_TESTING = blocks_after("### Local Testing with curl")[0]
PING = re.search(r"^curl \S+/ping$", LOCAL_TESTING, re.MULTILINE).group()
INVOKE = re.search(r"^curl -X POST(?:\\\n|.)*", LOCAL_TESTING, re.MULTILINE).group()


def test_the_decorator_keeps_the_agent_busy_while_its_function_runs():
    with Program("async_task_decorator.py") as agent:
        assert agent.ping() == "Healthy"
        assert agent.invoke() == {"status": "started"}
        assert agent.ping() == "HealthyBusy"
        eventually(lambda: agent.ping() == "Healthy", seconds=15)


def test_a_task_by_hand_keeps_the_agent_busy():
    with Program("manual_task_management.py") as agent:
        assert agent.ping() == "Healthy"
        answer = agent.invoke()
        assert answer["status"] == "Task started" and 0 < answer["task_id"] < 2**53
        assert agent.ping() == "HealthyBusy"
        eventually(lambda: agent.ping() == "Healthy", seconds=90)  # it works for 30


def test_a_ping_handler_decides():
    with Program("custom_ping_handler.py") as agent:
        assert agent.invoke() == {"status": "Ready"}
        assert agent.ping() == "Healthy"
        assert agent.invoke({"action": "start_processing"}) == {"status": "Processing started"}
        assert agent.ping() == "HealthyBusy"


def test_the_strands_agent_starts_a_task_with_its_tool():
    with scripted_bedrock.Server() as bedrock:
        env = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-west-2",
        }
        with Program("strands_agent.py", **env) as agent:
            assert agent.ping() == "Healthy"
            message = agent.invoke({"prompt": "start a 3 second task"})["message"]
            assert message == {"role": "assistant", "content": [{"text": "It has been started."}]} | {
                key: value for key, value in message.items() if key not in {"role", "content"}
            }
            assert re.search(r"ID: \d+\) for 3 seconds", bedrock.tool_results[0])
            assert agent.ping() == "HealthyBusy"
            eventually(lambda: agent.ping() == "Healthy")
