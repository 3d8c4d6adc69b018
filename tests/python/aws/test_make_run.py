"""`make run`, as it stands in the Makefile, with the debug programs and a few documents."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

from conftest import AGENTCORE, eventually, lacks

ROOT = pathlib.Path(__file__).parents[3]
DOCUMENT_AGENT = os.environ.get("DOCUMENT_AGENT", str(ROOT / "target/debug/document-agent"))
# So much that the agent is at it for a second or more, longer than the next curls take.
DOCUMENTS, WORDS = 40, 30_000


def write_documents(cargo_home):
    sources = cargo_home / "registry/src/index/birds-1.0.0"
    sources.mkdir(parents=True)
    text = " ".join(f"word{number}" for number in range(WORDS))
    for number in range(DOCUMENTS):
        (sources / f"{number}.txt").write_text(text)
    (sources / "shutdown.md").write_text("# Servers\n\nA graceful shutdown waits for what is under way.\n")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def lines_of_make_run(folder):
    """What `make run` does after it has built."""
    variables = {
        "AGENTCORE": AGENTCORE, "DOCUMENT_AGENT": DOCUMENT_AGENT, "PORT": free_port(),
        "CARGO_FOLDER": folder / "cargo", "RUN": folder / "run",
    }
    command = ["make", "--no-print-directory", "-n", "run", *(f"{name}={value}" for name, value in variables.items())]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    lines = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    build, rest = lines.split("\n", 1)
    assert build == "cargo build --release -p agentcore -p document-agent"
    return rest


@contextlib.contextmanager
def made(folder):
    """Runs the lines; yields the curl lines that they print."""
    with open(folder / "printed", "wb") as printed, open(folder / "log", "wb") as log:
        command = ["bash", "-euo", "pipefail", "-c", lines_of_make_run(folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=printed, stderr=log)
    try:
        yield eventually(lambda: re.findall(r"^  (curl .*)$", (folder / "printed").read_text(), re.MULTILINE))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0, (folder / "log").read_text()


def curl(line):
    command = line.replace("curl", "curl -sf --max-time 60", 1)
    ran = subprocess.run(["bash", "-c", command], capture_output=True)
    return json.loads(ran.stdout) if ran.returncode == 0 else None


def test_its_lines_launch_the_document_agent_and_the_lines_that_it_prints_try_it():
    if not os.path.exists(DOCUMENT_AGENT):
        lacks(f"there is no {DOCUMENT_AGENT}: cargo build -p document-agent")
    # A short path: sockets live below it.
    with tempfile.TemporaryDirectory(prefix="ac", dir="/tmp") as folder:
        folder = pathlib.Path(folder)
        write_documents(folder / "cargo")
        with made(folder) as (index, ping, progress, search):
            started = eventually(lambda: curl(index))
            assert started["status"] == "started"
            assert curl(ping)["status"] == "HealthyBusy"
            assert curl(progress)["running"][0]["task_id"] == started["task_id"]
            eventually(lambda: curl(ping)["status"] == "Healthy")
            found = curl(search)
            assert found["index"]["files"] == DOCUMENTS + 1
            assert found["hits"][0]["snippet"] == "A graceful shutdown waits for what is under way."
