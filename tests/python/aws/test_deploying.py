"""A project of one's own, deployed to a host, and AWS's own client there."""

import json
import subprocess
import sys
import zipfile

import pytest

from conftest import AGENTCORE, new_session, serving

AGENT = """
from bedrock_agentcore import BedrockAgentCoreApp
from greeting import WORD

app = BedrockAgentCoreApp()


@app.entrypoint
def greet(payload, context):
    return {"said": f"{WORD} {payload['name']}", "session": context.session_id}


if __name__ == "__main__":
    app.run()
"""


def make_wheel(folder):
    """A package that no index has."""
    with zipfile.ZipFile(folder / "greeting-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", "WORD = 'servus'\n")
        wheel.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        wheel.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("greeting-1.0.dist-info/RECORD", "")


@pytest.fixture
def project(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/agent.py").write_text(AGENT)
    (tmp_path / "requirements.txt").write_text("--no-index\n./greeting-1.0-py3-none-any.whl\n")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    make_wheel(tmp_path)
    return tmp_path


def test_what_is_deployed_with_its_requirements_answers_boto3(project):
    with serving("--require-auth") as host:
        key = host.key("--administer", "greeter", "--invoke", "greeter")
        signing = {"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1], "AWS_REGION": "us-east-1"}

        def run(*arguments):
            ran = subprocess.run(
                [AGENTCORE, *arguments], cwd=project, env={**host.environment, **signing},
                capture_output=True, text=True,
            )
            assert ran.returncode == 0, ran.stderr
            return ran.stdout.strip()

        run("configure", "-e", "app/agent.py", "-n", "greeter", "-ni")
        arn = run("deploy", "--endpoint", host.url)
        session = new_session()
        answer = host.client("bedrock-agentcore", key).invoke_agent_runtime(
            agentRuntimeArn=arn, runtimeSessionId=session, payload=json.dumps({"name": "you"}),
        )
        assert json.loads(answer["response"].read()) == {"said": "servus you", "session": session}
