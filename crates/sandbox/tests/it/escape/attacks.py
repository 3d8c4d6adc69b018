"""Attacks from inside a session, one after the other.

Runs as an agent. Its only argument is JSON: what the driver put beside the session to be attacked.
For each attempt it writes one line of JSON to the file `outcomes`: the attempt, the wall that should stop it, whether it
was `stopped` or has `escaped`, and by which error or with what. `tried` is for the driver to judge.
"""

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import struct
import sys

TARGET = json.loads(sys.argv[1])
LIBC = ctypes.CDLL(None, use_errno=True)
ATTEMPTS = []

# System calls that libc has no function for, by number: x86-64, then the others.
CALLS = {
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "pidfd_open": (434, 434),
    "open_by_handle_at": (304, 265),
    "reboot": (169, 142),
    "clone3": (435, 435),
}


class Stopped(Exception):
    """Stopped by something that is no error number."""


class Tried(Exception):
    """Done, as far as can be seen from inside."""


def attempt(wall, name, reached=()):
    """Registers an attempt. `reached` are errors that only those see who got past the walls: what
    they wanted was refused for another reason, as was meant, for it would have done harm."""

    def register(function):
        ATTEMPTS.append((wall, name, function, reached))
        return function

    return register


def check(result):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(name, *arguments):
    number = CALLS[name][0 if platform.machine() == "x86_64" else 1]
    return check(LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)))


def connected(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as client:
        client.settimeout(2)
        client.connect(address)
        return f"connected to {address}"


def read(path):
    with open(path, "rb") as file:
        return f"read {len(file.read(4096))} bytes"


# --- another session's things -----------------------------------------------------------------


@attempt("mount", "see that another session's folder is there")
def _():
    return f"it belongs to {os.stat(TARGET['folder']).st_uid}"


@attempt("mount", "read another session's files")
def _():
    return read(TARGET["folder"] + "/work/secret")


@attempt("mount", "read another session's task journal")
def _():
    return read(TARGET["folder"] + "/journal/tasks.jsonl")


@attempt("mount", "read another session's log")
def _():
    return read(TARGET["folder"] + "/log")


@attempt("mount", "call another session's agent by its socket")
def _():
    return connected(socket.AF_UNIX, TARGET["folder"] + "/agent.sock")


@attempt("mount", "have another session's init run a command")
def _():
    return connected(socket.AF_UNIX, TARGET["folder"] + "/control.sock")


@attempt("mount", "read a file of the machine that everybody may read")
def _():
    return read(TARGET["machine_file"])


@attempt("mount", "write to a folder of the machine that everybody may write")
def _():
    with open(TARGET["machine_folder"] + "/planted", "w") as file:
        return file.name


@attempt("mount", "replace a program of the machine")
def _():
    with open("/usr/bin/env", "r+b") as file:
        return file.name


@attempt("mount", "read the machine's disks")
def _():
    raise_last = None
    for name in ("vda", "sda", "nvme0n1", "mem", "kmsg"):
        try:
            return read("/dev/" + name)
        except OSError as error:
            raise_last = error
    raise raise_last


@attempt("mount", "make a device of the machine's disk")
def _():
    os.mknod("disk", 0o600 | 0o060000, os.makedev(254, 0))
    return read("disk")


@attempt("pid", "see another session's processes")
def _():
    try:
        os.kill(TARGET["pid"], 0)
    except PermissionError:
        return "it is there"
    return "it can be signalled"


@attempt("pid", "read another session's environment")
def _():
    return read(f"/proc/{TARGET['pid']}/environ")


@attempt("pid", "read another session's memory", reached=[errno.EIO])
def _():
    return read(f"/proc/{TARGET['pid']}/mem")


@attempt("pid", "reach another session's files by its process")
def _():
    return read(f"/proc/{TARGET['pid']}/root{TARGET['folder']}/work/secret")


@attempt("pid", "signal another session's processes")
def _():
    os.kill(TARGET["pid"], signal.SIGCONT)
    return "signalled"


@attempt("pid", "trace another session's processes")
def _():
    PTRACE_ATTACH = 16
    syscall("ptrace", PTRACE_ATTACH, TARGET["pid"], 0, 0)
    syscall("ptrace", 17, TARGET["pid"], 0, 0)
    return "attached"


@attempt("pid", "read another session's memory by process_vm_readv", reached=[errno.EFAULT])
def _():
    class Piece(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(8)
    piece = Piece(ctypes.addressof(buffer), 8)
    syscall("process_vm_readv", TARGET["pid"], ctypes.byref(piece), 1, ctypes.byref(piece), 1, 0)
    return "read"


@attempt("pid", "get hold of the host's process")
def _():
    syscall("pidfd_open", TARGET["host_pid"], 0)
    return "held"


@attempt("pid", "signal its own init")
def _():
    parent = os.getppid()
    if parent in (0, 1):
        raise ProcessLookupError(errno.ESRCH, "init is not to be seen")
    os.kill(parent, signal.SIGCONT)
    return f"signalled {parent}"


@attempt("pid", "trace its own init", reached=[errno.EBUSY])
def _():
    PTRACE_SEIZE = 0x4206
    parent = os.getppid()
    if parent in (0, 1):
        raise ProcessLookupError(errno.ESRCH, "init is not to be seen")
    return f"seized {syscall('ptrace', PTRACE_SEIZE, parent, 0, 0)}"


@attempt("mount", "have its own init run a command")
def _():
    return connected(socket.AF_UNIX, TARGET["own_folder"] + "/control.sock")


@attempt("user", "be root of the machine")
def _():
    return in_child(become_root)


def become_root():
    os.setresuid(0, 0, 0)
    with open("/proc/self/uid_map") as ids:
        if ids.read().split()[:2] != ["0", "0"]:
            raise PermissionError(errno.EPERM, "root of nothing")


@attempt("ipc", "use shared memory of the machine that everybody may use")
def _():
    check(LIBC.shmget(TARGET["shared_memory"], 0, 0))
    return "found"


@attempt("uts", "learn the machine's name")
def _():
    name = socket.gethostname()
    return name if name == TARGET["host_name"] else stopped("it has a name of its own")


@attempt("cgroup", "learn where it is among the machine's control groups")
def _():
    with open("/proc/self/cgroup") as groups:
        paths = {line.rstrip("\n").split(":", 2)[2] for line in groups}
    outside = sorted(path for path in paths if path != "/" and not path.startswith("/.."))
    if any("agentcore" in path for path in outside):
        return outside[0]
    raise Stopped("none is to be seen")


# --- the network ------------------------------------------------------------------------------


@attempt("network", "reach what the machine serves on its loopback")
def _():
    return connected(socket.AF_INET, ("127.0.0.1", TARGET["machine_port"]))


@attempt("network", "reach what the machine serves on its IPv6 loopback")
def _():
    return connected(socket.AF_INET6, ("::1", TARGET["machine_port"]))


@attempt("network", "reach the machine by its address")
def _():
    return connected(socket.AF_INET, (TARGET["machine_address"], TARGET["machine_port"]))


@attempt("network", "reach the machine as its gateway")
def _():
    return connected(socket.AF_INET, (gateway(), TARGET["machine_port"]))


@attempt("network", "reach another session's port")
def _():
    return connected(socket.AF_INET, (TARGET["session_address"], TARGET["session_port"]))


@attempt("network", "reach the metadata address")
def _():
    return connected(socket.AF_INET, ("169.254.169.254", 80))


@attempt("network", "reach the metadata address past the routes")
def _():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        links = [name for _, name in socket.if_nameindex() if name != "lo"]
        if not links:
            raise OSError(errno.ENODEV, "there is no link")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, links[0].encode() + b"\0")
        client.connect(("169.254.169.254", 80))
        return "connected"


@attempt("network", "reach an abstract socket of the machine")
def _():
    return connected(socket.AF_UNIX, "\0" + TARGET["abstract_socket"])


def gateway():
    """The gateway of the default route, or the neighbour that it would be."""
    with open("/proc/net/route") as routes:
        for line in list(routes)[1:]:
            fields = line.split()
            if fields[1] == "00000000" and fields[2] != "00000000":
                return socket.inet_ntoa(struct.pack("<L", int(fields[2], 16)))
    raise OSError(errno.ENETUNREACH, "there is no gateway")


@attempt("capabilities", "open a raw socket")
def _():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened"


@attempt("capabilities", "open a packet socket")
def _():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()
    return "opened"


@attempt("capabilities", "take away the filter of its network")
def _():
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    batch = lambda kind: struct.pack("=IHHIIBBH", 20, kind, 1, 0, 0, 0, 0, socket.htons(10))
    name = b"agentcore_session\0"
    padded = name + b"\0" * (-len(name) % 4)
    attribute = struct.pack("=HH", 4 + len(name), 1) + padded
    # Flags: a request that is answered.
    delete = struct.pack("=IHHIIBBH", 20 + len(attribute), (10 << 8) | 2, 5, 1, 0, 1, 0, 0) + attribute
    netlink.send(batch(16) + delete + batch(17))
    netlink.settimeout(2)
    answer = netlink.recv(4096)
    code = -struct.unpack_from("=i", answer, 16)[0]
    if code:
        raise OSError(code, os.strerror(code))
    return "taken away"


@attempt("capabilities", "change the name of its machine")
def _():
    name = socket.gethostname().encode()
    check(LIBC.sethostname(name, len(name)))
    return "changed"


# --- the kernel -------------------------------------------------------------------------------


@attempt("capabilities", "mount a file system", reached=[errno.ENODEV])
def _():
    check(LIBC.mount(b"none", b"/tmp", b"no such file system", 0, None))
    return "mounted"


@attempt("seccomp", "make namespaces of its own by unshare")
def _():
    CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000
    return in_child(lambda: check(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS)))


@attempt("seccomp", "make namespaces of its own by clone3")
def _():
    arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, signal.SIGCHLD)
    if syscall("clone3", ctypes.byref(arguments), ctypes.sizeof(arguments)) == 0:
        os._exit(0)
    os.wait()
    return "made"


@attempt("seccomp", "enter other namespaces")
def _():
    file = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    check(LIBC.setns(file, 0))
    return "entered"


@attempt("seccomp", "use the kernel's keyrings")
def _():
    KEYCTL_GET_KEYRING_ID, SESSION_KEYRING = 0, -3
    return f"keyring {syscall('keyctl', KEYCTL_GET_KEYRING_ID, SESSION_KEYRING, 1)}"


@attempt("seccomp", "load a BPF program")
def _():
    attributes = struct.pack("=IIII", 2, 4, 4, 1) + bytes(112)
    return f"map {syscall('bpf', 0, ctypes.c_char_p(attributes), len(attributes))}"


@attempt("seccomp", "watch the processor by perf_event_open")
def _():
    PERF_TYPE_SOFTWARE, SIZE, CPU_CLOCK, EXCLUDE_KERNEL = 1, 128, 0, 1 << 5
    event = struct.pack("=IIQQQQQ", PERF_TYPE_SOFTWARE, SIZE, CPU_CLOCK, 0, 0, 0, EXCLUDE_KERNEL)
    return f"event {syscall('perf_event_open', ctypes.c_char_p(event + bytes(SIZE - len(event))), 0, -1, -1, 0)}"


@attempt("seccomp", "set up io_uring")
def _():
    return f"ring {syscall('io_uring_setup', 2, ctypes.create_string_buffer(120))}"


@attempt("seccomp", "handle page faults by userfaultfd")
def _():
    USER_MODE_ONLY = 1
    return f"descriptor {syscall('userfaultfd', USER_MODE_ONLY)}"


@attempt("seccomp", "open a socket of a protocol that is not decided by port")
def _():
    IPPROTO_MPTCP = 262
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP):
        return "a socket of MPTCP"


@attempt("capabilities", "load another kernel")
def _():
    syscall("kexec_load", 0, 0, 0, 0)
    return "loaded"


@attempt("capabilities", "load a kernel module", reached=[errno.ENOEXEC, errno.EFAULT])
def _():
    syscall("init_module", ctypes.c_char_p(b""), 0, ctypes.c_char_p(b""))
    return "loaded"


@attempt("capabilities", "open files by their inode", reached=[errno.ESTALE, errno.EOPNOTSUPP])
def _():
    handle = struct.pack("=Ii", 8, 1) + struct.pack("=II", 2, 0)
    return f"descriptor {syscall('open_by_handle_at', -100, ctypes.c_char_p(handle), 0)}"


@attempt("capabilities", "restart the machine", reached=[errno.EINVAL])
def _():
    # With a wrong magic number: not even root restarts anything by it.
    syscall("reboot", 1, 2, 3, 0)
    return "restarted"


@attempt("capabilities", "become more by a set-uid program")
def _():
    PR_GET_NO_NEW_PRIVS = 39
    if check(LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)):
        raise Stopped("no program gives it privileges")
    return "programs may give it privileges"


# --- its own place ----------------------------------------------------------------------------


@attempt("capabilities", "keep a capability within reach")
def _():
    PR_CAPBSET_READ, CAP_SYS_ADMIN = 23, 21
    if check(LIBC.prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0)):
        return "CAP_SYS_ADMIN"
    raise Stopped("there is none")


@attempt("seccomp", "take space on the disk without writing to it")
def _():
    with open("space", "wb") as file:
        # FALLOC_FL_KEEP_SIZE
        check(LIBC.fallocate(file.fileno(), 1, ctypes.c_long(0), ctypes.c_long(1 << 20)))


@attempt("mount", "write where its code is")
def _():
    with open(TARGET["code"] + "/planted", "w") as file:
        return file.name


@attempt("mount", "write its own exit record")
def _():
    with open(TARGET["own_folder"] + "/exit", "w") as file:
        file.write("{}")
    raise Tried("exit")


@attempt("mount", "replace its own log by a link to a file of the machine")
def _():
    folder = TARGET["own_folder"]
    os.symlink(TARGET["machine_file"], folder + "/log.planted")
    os.rename(folder + "/log.planted", folder + "/log")
    raise Tried("log")


@attempt("mount", "link to a file of the machine")
def _():
    os.link(TARGET["machine_file"], "hard")
    return "linked"


def stopped(reason):
    raise Stopped(reason)


def in_child(act):
    """Does something that cannot be undone in a process of its own."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os.write(write_end, b"0")
        except OSError as error:
            os.write(write_end, str(error.errno).encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(pid, 0)
    number = int(os.read(read_end, 16) or b"0")
    os.close(read_end)
    if number:
        raise OSError(number, os.strerror(number))
    return "done"


def outcome(function, reached):
    try:
        return "escaped", function() or "done"
    except OSError as error:
        return "escaped" if error.errno in reached else "stopped", errno.errorcode.get(error.errno, "TIMEOUT" if isinstance(error, TimeoutError) else str(error))
    except Stopped as reason:
        return "stopped", str(reason)
    except Tried as what:
        return "tried", str(what)


# Not to the log: that is attacked too.
with open("outcomes", "w") as outcomes:
    for wall, name, function, reached in ATTEMPTS:
        result, by = outcome(function, reached)
        print(json.dumps({"attempt": name, "wall": wall, "result": result, "by": by}), file=outcomes, flush=True)
    print(json.dumps({"attempts": len(ATTEMPTS)}), file=outcomes)
