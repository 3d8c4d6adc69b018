"""Takes all that is to be had of one thing, from inside a session with limits. Each ends by itself
at a bound that is far beyond the limit. The second argument is how long to wait there for being ended."""

import ctypes
import errno
import json
import os
import signal
import sys
import tempfile
import threading
import time

MIB = 1 << 20


def tell(attempt, stopped, by):
    outcome = {"attempt": attempt, "wall": "limits", "result": "stopped" if stopped else "escaped", "by": by}
    print("\n" + json.dumps(outcome), flush=True)


def forks():
    children = []
    stopped = None
    for _ in range(2000):
        try:
            child = os.fork()
        except OSError as error:
            stopped = error
            break
        if child == 0:
            signal.pause()
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
    by = f"{errno.errorcode[stopped.errno]}" if stopped else f"{len(children)} processes"
    tell("fork without end", stopped, by)


def memory():
    child = os.fork()
    if child == 0:
        hoard = []
        for _ in range(512):
            hoard.append(bytearray(os.urandom(1 << 12) * (1 << 8)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    tell("take all memory", killed or os.WEXITSTATUS(status), signal.Signals(os.WTERMSIG(status)).name if killed else "MemoryError")


def descriptors():
    held = []
    stopped = None
    try:
        for _ in range(2_000_000):
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        stopped = error
    for descriptor in held:
        os.close(descriptor)
    tell("open files without end", stopped, errno.errorcode[stopped.errno] if stopped else f"{len(held)} files")


def log():
    line = b"x" * 1023 + b"\n"
    for _ in range(16 * 1024):
        os.write(1, line)
    # How much of it is kept shows outside alone.
    outcome = {"attempt": "write log without end", "wall": "limits", "result": "tried", "by": ""}
    print("\n" + json.dumps(outcome), flush=True)


def survive(attempt):
    time.sleep(float(sys.argv[2]))
    tell(attempt, False, "nobody minds")


def disk():
    for number in range(256):
        with open(f"{os.environ['HOME']}/{number}", "wb") as file:
            file.write(bytes(MIB))
    survive("fill the disk with many files")


def one_file():
    written, stopped = 0, None
    with open("file", "wb") as file:
        try:
            while written < 256:
                written += file.write(bytes(MIB)) // MIB
        except OSError as error:
            stopped = error
    tell("fill the disk with one file", stopped, errno.errorcode[stopped.errno] if stopped else f"{written} MiB")


def deleted():
    held = []
    for _ in range(64):
        # It has no name from the beginning.
        held.append(tempfile.TemporaryFile())
        held[-1].write(bytes(4 * MIB))
        held[-1].flush()
    survive("fill the disk with deleted files")


def of_a_thread():
    CLONE_FILES = 0x400
    libc, filled, held = ctypes.CDLL(None, use_errno=True), threading.Event(), []

    def fill():
        # Descriptors that no other thread has.
        assert libc.unshare(CLONE_FILES) == 0
        for _ in range(64):
            held.append(tempfile.TemporaryFile())
            held[-1].write(bytes(4 * MIB))
            held[-1].flush()
        filled.set()
        time.sleep(1000)

    threading.Thread(target=fill, daemon=True).start()
    filled.wait()
    survive("fill the disk with deleted files of a thread")


def hidden():
    os.mkdir("hidden")
    held = []
    for number in range(64):
        held.append(open(f"hidden/{number}", "wb"))
    os.chmod("hidden", 0)
    for file in held:
        file.write(bytes(4 * MIB))
        file.flush()
    survive("fill the disk where its own user may not look")


def empty():
    for number in range(20_000):
        os.close(os.open(f"{os.environ['TMPDIR']}/{number}", os.O_CREAT | os.O_WRONLY))
    survive("make empty files without end")


def memory_files():
    made, stopped = 0, None
    try:
        while made < 200_000:
            os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as error:
        stopped = error
    tell("make files in memory without end", stopped, errno.errorcode[stopped.errno] if stopped else f"{made} files")


def stay():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            print("hidden", flush=True)
            for descriptor in range(3):
                os.close(descriptor)
            time.sleep(1000)
        os._exit(0)
    time.sleep(1000)


globals()[sys.argv[1]]()
