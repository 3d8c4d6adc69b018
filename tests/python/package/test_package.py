"""The package: types, names, its neighbours, and the app as an ASGI application within others."""

import asyncio
import importlib
import pathlib
import subprocess
import sys

import bedrock_agentcore
import pytest
from agents import behaviour
from bedrock_agentcore import BedrockAgentCoreApp, PingStatus, RequestContext
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

PACKAGE = pathlib.Path(bedrock_agentcore.__file__).parent


def run(code, *flags, **kwargs):
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, **kwargs)


def test_stubs_match_what_is_there():
    allowlist = pathlib.Path(__file__).with_name("stubtest_allowlist.txt")
    command = [sys.executable, "-m", "mypy.stubtest", "bedrock_agentcore", "--allowlist", str(allowlist)]
    command += ["--ignore-disjoint-bases"]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_types_are_strict():
    command = [sys.executable, "-m", "mypy", "--strict", "-p", "bedrock_agentcore"]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import bedrock_agentcore.memory",
        "from bedrock_agentcore import identity",
        "from bedrock_agentcore.memory.client import MemoryClient",
        "from bedrock_agentcore.gateway import x",
        "from bedrock_agentcore.runtime import build_a2a_app",
        "import bedrock_agentcore.runtime.a2a",
    ],
)
def test_what_only_awss_package_has_says_what_to_do(statement):
    failed = run(statement)
    assert "ImportError" in failed.stderr
    assert "belongs to AWS's own package" in failed.stderr
    assert "pip install bedrock-agentcore" in failed.stderr


def test_a_misspelt_name_is_an_ordinary_error():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("bedrock_agentcore.memoryy")
    with pytest.raises(AttributeError):
        bedrock_agentcore.Memory


def test_both_packages_in_one_environment_are_named(tmp_path):
    copy = tmp_path / "bedrock_agentcore"
    copy.symlink_to(tmp_path / "merged", target_is_directory=True)
    (tmp_path / "merged").mkdir()
    for entry in PACKAGE.iterdir():
        (tmp_path / "merged" / entry.name).symlink_to(entry)
    (tmp_path / "merged" / "memory").mkdir()
    (tmp_path / "merged" / "memory" / "__init__.py").touch()
    failed = run("import bedrock_agentcore", env={"PYTHONPATH": str(tmp_path)})
    assert "are both installed in" in failed.stderr and "bedrock-agentcore-rs" in failed.stderr


@pytest.mark.parametrize("on_top", ["ours", "theirs", "ours alone"])
def test_awss_package_installed_over_ours_is_named(tmp_path, on_top):
    package = tmp_path / "bedrock_agentcore"
    (package / "memory").mkdir(parents=True)
    if on_top != "ours alone":
        (package / "memory" / "__init__.py").touch()
    (package / "__init__.py").write_text("" if on_top == "theirs" else "from . import _elsewhere")
    (package / "_elsewhere.py").touch()
    for name in ["bedrock_agentcore_rs.pth", "_bedrock_agentcore_rs.py"]:
        (tmp_path / name).write_text((PACKAGE.parent / name).read_text())
    # As Python treats the folder of an environment's packages; no other folder of packages here.
    code = f"import sys, site; sys.path.insert(0, {str(tmp_path)!r}); site.addsitedir(sys.path[0]); import bedrock_agentcore"
    done = run(code, "-S", "-P" if sys.version_info >= (3, 11) else "-s")
    assert done.returncode == 0, done.stderr
    named = "RuntimeWarning: bedrock-agentcore (AWS's package) was installed over bedrock-agentcore-rs"
    assert (named in done.stderr) == (on_top == "theirs"), done.stderr


def test_importing_and_making_an_app_loads_neither_starlette_nor_asyncio():
    code = "import sys, bedrock_agentcore as b; b.BedrockAgentCoreApp(); print('asyncio' in sys.modules, 'starlette' in sys.modules)"
    assert run(code).stdout.split() == ["False", "False"]


def test_an_app_made_before_starlette_was_imported_becomes_one():
    code = """
from bedrock_agentcore import BedrockAgentCoreApp
class Mine(BedrockAgentCoreApp):
    def mine(self): return 1
app = Mine(debug=True)
assert not hasattr(app, "_nothing")
from starlette.applications import Starlette
assert isinstance(app, Starlette) and isinstance(app, Mine) and app.mine() == 1 and app.debug
app.state.x = 1
assert [route.path for route in app.routes] == ["/invocations", "/ping", "/ws"]
"""
    checked = run(code)
    assert checked.returncode == 0, checked.stderr


def test_only_async_functions_are_async_tasks():
    app = BedrockAgentCoreApp()
    with pytest.raises(ValueError, match="^@async_task can only be applied to async functions$"):
        app.async_task(lambda: None)


def test_a_task_works_without_a_server():
    app = BedrockAgentCoreApp()

    @app.async_task
    async def work(x):
        """Documented."""
        assert app.get_current_ping_status() is PingStatus.HEALTHY_BUSY
        return x + 1

    assert (work.__name__, work.__doc__) == ("work", "Documented.")
    assert asyncio.run(work(1)) == 2
    assert app.get_current_ping_status() is PingStatus.HEALTHY


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    ("error", "message"),
    [(Unspeakable(), "Unspeakable"), (ValueError("cut \ud83d"), "cut " + 3 * "\ufffd")],
)
def test_a_task_whose_error_cannot_be_told_has_failed_all_the_same(error, message):
    app = BedrockAgentCoreApp()
    # What is logged is captured, and half a character does not get from pytest's workers to their head.
    app.logger.disabled = True
    started = []

    @app.async_task
    async def work():
        started.append(app.get_async_task_info()["running_jobs"][0]["task_id"])
        raise error

    with pytest.raises(type(error)):
        asyncio.run(work())
    record = app.get_async_task(started[0])
    assert (record["status"], record["error"]) == ("failed", {"type": type(error).__name__, "message": message})


def test_an_unmodified_fastapi_app_with_ours_mounted():
    from fastapi import FastAPI

    outer = FastAPI()

    @outer.get("/hello")
    def hello():
        return "hello"

    outer.mount("/agent", behaviour.make("async"))
    client = TestClient(outer)
    assert client.get("/hello").json() == "hello"
    assert client.get("/agent/ping").json()["status"] == "Healthy"
    assert client.post("/agent/invocations", content=b"[1]").json() == [1]
    stream = client.post("/agent/invocations", content=b'{"do":"async_generator","count":2}')
    assert stream.text.count("data: ") == 2
    with client.websocket_connect("/agent/ws") as socket:
        socket.send_text("hi")
        assert socket.receive_json()["echo"] == "hi"


def test_routes_and_exception_handlers_can_be_added():
    app = BedrockAgentCoreApp()
    app.add_route("/extra", lambda request: PlainTextResponse("extra"))
    app.add_exception_handler(404, lambda request, error: PlainTextResponse("lost", 404))
    client = TestClient(app)
    assert isinstance(app, Starlette)
    assert client.get("/extra").text == "extra"
    assert client.get("/nowhere").text == "lost"


def test_a_request_context_can_be_made_by_hand():
    context = RequestContext(session_id="s", request_headers={"a": "b"})
    assert (context.session_id, context.request_headers, context.request) == ("s", {"a": "b"}, None)


def test_settings_that_only_uvicorn_knows_are_left_to_it(monkeypatch):
    seen = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **settings: seen.update(settings))
    monkeypatch.setenv("PORT", "9123")
    BedrockAgentCoreApp().run(host="127.0.0.1", ssl_certfile="x.pem")
    assert seen == {"host": "127.0.0.1", "port": 9123, "ssl_certfile": "x.pem"}


def test_a_port_that_is_taken_is_an_error_that_says_so():
    code = "from bedrock_agentcore import BedrockAgentCoreApp as A; import socket; s = socket.create_server(('127.0.0.1', 0)); A().run(s.getsockname()[1], '127.0.0.1')"
    assert "OSError: cannot listen on 127.0.0.1:" in run(code).stderr
