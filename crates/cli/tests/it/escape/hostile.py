#!/usr/bin/python3
"""An agent that attacks its host, or is what another attacks.

It binds PORT, as those do that take no socket. Asked to `attack`, it tries everything, and answers with
a list of outcomes. Run with the target as its argument it tries the same from outside of any session.
"""

import errno
import json
import os
import secrets
import socket
import sys

from answering import Answering

WORD = secrets.token_hex(16)


class Stopped(Exception):
    """Stopped by something that is no error number."""


def talk(family, address, request, most=4096):
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)
        client.sendall(request.encode())
        answer = b""
        while len(answer) < most and (part := client.recv(most)):
            answer += part
    return answer.decode(errors="replace")


def asked_by_socket(target):
    answer = talk(socket.AF_UNIX, target["folder"] + "/agent.sock", PING)
    if target["word"] not in answer:
        raise Stopped("somebody else answers")


def asked_by_port(target):
    for address in ("127.0.0.1", target["address"]):
        try:
            if target["word"] in talk(socket.AF_INET, (address, target["port"]), PING):
                return
        except OSError as error:
            refused = error
        else:
            refused = Stopped("somebody else answers")
    raise refused


def requested(request):
    def attack(target):
        status = talk(socket.AF_INET, tuple(target["host"]), request)[9:12]
        if not status.startswith("2"):
            raise Stopped(f"status {status}")

    return attack


def read(*names):
    def attack(target):
        for name in names:
            with open(name.format(**target), "rb") as file:
                file.read(1)

    return attack


def listed(folder, name):
    # On the way to its own folder a session finds as much as leads there.
    def attack(target):
        if name.format(**target) not in os.listdir(folder.format(**target)):
            raise Stopped("it is not there")

    return attack


def state_written(target):
    planted = target["state"] + "/planted"
    with open(planted, "w"):
        pass
    os.unlink(planted)


PING = "GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
ATTACKS = [
    ("mount", "see what is in the host's state folder", listed("{state}", "agentcore.db")),
    ("mount", "see another session's folder", listed("{state}/i", "{name}")),
    ("mount", "read the host's database", read("{state}/agentcore.db", "{state}/agentcore.db-wal")),
    ("mount", "read the host's keys", read("{state}/keys.json", "{state}/master.key")),
    ("mount", "read the host's audit log", read("{state}/audit.jsonl")),
    ("mount", "read the host's token", read("{state}/token")),
    ("mount", "write to the host's state folder", state_written),
    ("mount", "read another session's files", read("{folder}/home/secret")),
    ("mount", "read another session's task journal", read("{folder}/journal/secret")),
    ("mount", "read another session's log file", read("{folder}/log")),
    ("mount", "call another session's agent by its socket", asked_by_socket),
    ("network", "call another session's agent by its port", asked_by_port),
    ("pid", "read the host's environment", read("/proc/{host_pid}/environ")),
    ("pid", "reach the host's files by its process", read("/proc/{host_pid}/root{state}/audit.jsonl")),
    ("pid", "signal the host", lambda target: os.kill(target["host_pid"], 0)),
    ("pid", "signal another session's agent", lambda target: os.kill(target["pid"], 0)),
]


def outcomes(target):
    # The last one ends the session that is attacked.
    api = [(one["wall"], one["what"], requested(one["request"])) for one in target["requests"]]
    for wall, name, attack in ATTACKS + api:
        try:
            attack(target)
            result, by = "gets through", ""
        except OSError as error:
            result, by = "stopped", errno.errorcode.get(error.errno, str(error))
        except Stopped as stopped:
            result, by = "stopped", str(stopped)
        yield {"attempt": name, "wall": wall, "result": result, "by": by}


def flood(size):
    line = b"x" * 1023 + b"\n"
    for _ in range(size // len(line)):
        os.write(1, line)


def stay(marker):
    """Leaves a process behind: of its own session and group, deaf to signals, with nothing that tells whose it is."""
    code = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(1000)"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            os.execve(sys.executable, [sys.executable, "-c", code, marker], {})
        os._exit(0)


def about():
    journal = os.environ["AGENTCORE_JOURNAL_DIR"]
    for folder in (os.environ["HOME"], journal):
        with open(folder + "/secret", "w") as file:
            file.write(WORD)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.2", 9))
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    return {"folder": os.path.dirname(journal), "word": WORD, "port": int(os.environ["PORT"]), "address": address}


class Agent(Answering):
    def do_GET(self):
        self.answer({"status": "Healthy", "word": WORD})

    def do_POST(self):
        payload = self.payload()
        if "attack" in payload:
            return self.answer(list(outcomes(payload["attack"])))
        if "flood" in payload:
            flood(payload["flood"])
        if "stay" in payload:
            stay(payload["stay"])
        self.answer(about())

    def log_message(self, *_):
        pass


if len(sys.argv) > 1:
    print(json.dumps(list(outcomes(json.loads(sys.argv[1])))))
else:
    Agent.serve("0.0.0.0")
