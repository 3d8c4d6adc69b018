"""Agents whose callers bring tokens, and an identity provider that others wrote."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from conftest import AGENTCORE, HERE, ROLE, code, lacks, new_session, serving

SCRIPT = pathlib.Path(__file__).parents[2] / "js/identity_provider.mjs"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


class Provider:
    """`oidc-provider` on a loopback port; it does what it is told."""

    def __init__(self, modules):
        self.process = subprocess.Popen(
            ["node", SCRIPT], env={**os.environ, "NODE_MODULES": modules}, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        self.issuer = self.line()

    def line(self):
        line = self.process.stdout.readline()
        assert line, "the provider has ended"
        return line.strip()

    def tell(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        return self.line()

    def token(self, client="web", resource="urn:writer:ES256", scope="invoke"):
        return self.tell("token", client, resource, scope)


@pytest.fixture(scope="module")
def provider():
    modules = os.environ.get("AWS_JS_MODULES")
    if not modules or not shutil.which("node"):
        lacks("AWS_JS_MODULES names no node_modules, or there is no node")
    provider = Provider(modules)
    yield provider
    provider.process.kill()
    provider.process.wait()


@pytest.fixture(scope="module")
def guarded(host, control, provider):
    """The URL of an agent that takes the provider's tokens, and nothing else."""
    rules = {
        "discoveryUrl": f"{provider.issuer}/.well-known/openid-configuration",
        "allowedAudience": ["urn:writer:ES256", "urn:writer:RS256"],
        "allowedClients": ["web"],
        "allowedScopes": ["invoke"],
    }
    created = control.create_agent_runtime(
        agentRuntimeName=f"guarded_{uuid.uuid4().hex[:8]}", agentRuntimeArtifact=code(), roleArn=ROLE,
        networkConfiguration={"networkMode": "PUBLIC"}, authorizerConfiguration={"customJWTAuthorizer": rules},
    )
    yield f"{host.url}/runtimes/{urllib.parse.quote(created['agentRuntimeArn'], safe='')}"
    control.delete_agent_runtime(agentRuntimeId=created["agentRuntimeId"])


def invoke(url, token=None, session=None, payload=None, more=None):
    """The status, the headers and the body of an invocation's answer."""
    headers = {"Content-Type": "application/json", SESSION: session or new_session(), **(more or {})}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{url}/invocations", json.dumps(payload or {}).encode(), headers)
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        return answer.status, answer.headers, json.loads(answer.read())


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_whoever_bears_a_token_of_the_provider_may_invoke(provider, guarded, session, algorithm):
    token = provider.token(resource=f"urn:writer:{algorithm}")
    status, _, body = invoke(guarded, token, session)
    assert (status, body["session"]) == (200, session)


def test_a_token_does_not_reach_an_agent_that_does_not_ask_for_it(provider, guarded, session):
    status, _, headers = invoke(guarded, provider.token(), session, {"do": "headers"})
    assert status == 200 and "authorization" not in {name.lower() for name in headers}


def test_whoever_brings_no_token_learns_where_there_are_some(provider, guarded):
    for token in (None, "e30.e30.", provider.token()[:-4] + "AAAA"):
        status, headers, _ = invoke(guarded, token)
        assert (status, headers["x-amzn-errortype"]) == (401, "UnauthorizedException")
        scheme, metadata = headers["WWW-Authenticate"].split(' resource_metadata="')
        assert scheme == "Bearer"
        with urllib.request.urlopen(metadata.rstrip('"'), timeout=60) as document:
            assert json.load(document)["authorization_servers"] == [provider.issuer]


@pytest.mark.parametrize(
    "claim, wrong, expected",
    [
        ("aud", {"resource": "urn:reader:ES256"}, (401, "UnauthorizedException")),
        ("client_id", {"client": "batch"}, (403, "AccessDeniedException")),
        ("scope", {"scope": "read"}, (403, "AccessDeniedException")),
    ],
)
def test_a_token_for_something_else_is_refused(provider, guarded, claim, wrong, expected):
    status, headers, body = invoke(guarded, provider.token(**wrong))
    assert (status, headers["x-amzn-errortype"]) == expected
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert body["message"] == f"Claim '{claim}' value mismatch with configuration."


def websocket(url, **parameters):
    session = urllib.parse.urlencode({SESSION: new_session()})
    return connect(f"{url.replace('http', 'ws', 1)}/ws?{session}", open_timeout=60, **parameters)


def test_a_websocket_opens_with_a_token_as_header_or_as_subprotocol(provider, guarded):
    token = provider.token()
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    name = "base64UrlBearerAuthorization"
    for parameters in (
        {"additional_headers": {"Authorization": f"Bearer {token}"}},
        {"subprotocols": [f"{name}.{encoded}", name]},
    ):
        with websocket(guarded, **parameters) as socket:
            socket.send("hello")
            assert socket.recv(timeout=60) == "hello"


def test_a_websocket_without_a_good_token_stays_shut(provider, guarded):
    other = {"Authorization": f"Bearer {provider.token(client='batch')}"}
    for parameters, status in (({}, 401), ({"additional_headers": other}, 403)):
        with pytest.raises(InvalidStatus) as refused:
            websocket(guarded, **parameters)
        assert refused.value.response.status_code == status


def test_a_provider_that_is_away_is_not_needed_for_known_keys(provider, guarded, session):
    token = provider.token()
    assert invoke(guarded, token, session)[0] == 200
    provider.tell("rotate")
    unknown = provider.token()
    provider.tell("down")
    try:
        assert invoke(guarded, token, session)[0] == 200
        status, headers, body = invoke(guarded, unknown)
        assert status == 401 and "WWW-Authenticate" in headers
        assert "key" in body["message"], body
    finally:
        provider.tell("up")


def test_rules_and_headers_of_a_projects_file_hold_where_it_is_deployed(provider, session, tmp_path):
    shutil.copy(HERE / "agent.py", tmp_path)
    rules = {
        "discoveryUrl": f"{provider.issuer}/.well-known/openid-configuration",
        "allowedAudience": ["urn:writer:ES256"], "allowedClients": ["web"],
    }
    agent = {
        "entrypoint": "agent.py", "authorizer_configuration": {"customJWTAuthorizer": rules},
        "request_header_configuration": {"requestHeaderAllowlist": ["X-Team", "Authorization"]},
    }
    # JSON is YAML.
    configured = {"default_agent": "deployed", "agents": {"deployed": agent}}
    (tmp_path / ".bedrock_agentcore.yaml").write_text(json.dumps(configured))
    with serving("--require-auth") as host:
        identity, secret = host.key("--administer", "deployed", "--invoke", "deployed")
        key = {"AWS_ACCESS_KEY_ID": identity, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}

        def run(*arguments, **more):
            environment = {**host.environment, **key, **more}
            return subprocess.run([AGENTCORE, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

        deployed = run("deploy", "--endpoint", host.url)
        assert deployed.returncode == 0, deployed.stderr
        signed = run("invoke", "{}")
        assert signed.returncode != 0 and "--bearer-token" in signed.stderr, signed.stderr
        borne = run("invoke", "{}", BEDROCK_AGENTCORE_BEARER_TOKEN=provider.token())
        assert borne.returncode == 0 and "session" in json.loads(borne.stdout), borne.stderr

        url = f"{host.url}/runtimes/{urllib.parse.quote(deployed.stdout.strip(), safe='')}"
        assert invoke(url, None, session)[0] == 401
        token, sent = provider.token(), {"X-Team": "red", "X-Other": "blue"}
        status, _, headers = invoke(url, token, session, {"do": "headers"}, sent)
        headers = {name.lower(): value for name, value in headers.items()}
        assert status == 200 and headers.get("x-team") == "red" and "x-other" not in headers
        assert headers["authorization"] == f"Bearer {token}"
