"""Runs a script as `python script.py` would, and lends it the socket that was handed over.

Agents name a TCP port in their code. When one of them starts uvicorn, this has the server take
descriptor 3 (systemd's LISTEN_FDS protocol) instead. Nothing else of the agent is touched, and an
agent that never imports uvicorn is run as it is.
"""

import os
import sys

SOCKET = 3


def socket_was_handed_to_us():
    # Asked again at the time of use: a forked child has the same environment and another number.
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1"


class Hook:
    """Waits in sys.meta_path for `uvicorn.server`, so that nothing is imported before its time."""

    def find_spec(self, name, path=None, target=None):
        if name != "uvicorn.server":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                patch_when_loaded(spec.loader)
                return spec
        return None


def patch_when_loaded(loader):
    load = loader.exec_module

    def exec_module(module):
        load(module)
        if module.__name__ == "uvicorn.server":
            loader.exec_module = load
            serve_the_socket(module)

    loader.exec_module = exec_module


def serve_the_socket(uvicorn_server):
    config_class, server_class = uvicorn_server.Config, uvicorn_server.Server
    bind, start = config_class.bind_socket, server_class.startup
    lent = []

    def lend(config):
        # Once: a second server of the same process is for something else.
        if not lent and config.fd is None and config.uds is None and socket_was_handed_to_us():
            lent.append(config)
            config.fd = SOCKET

    # With several workers, or reloading, the parent binds.
    def bind_socket(self):
        lend(self)
        return bind(self)

    async def startup(self, sockets=None):
        if sockets is None:
            lend(self.config)
        await start(self, sockets=sockets)

    config_class.bind_socket, server_class.startup = bind_socket, startup


def read(script):
    try:
        with open(script, "rb") as file:
            return file.read()
    except OSError as error:
        print(f"{sys.executable}: can't open file {script!r}: {error}", file=sys.stderr)
        sys.exit(2)


def run(script):
    """Runs the script as the module `__main__`, with its own folder first on the path."""
    main = type(sys)("__main__")
    main.__file__ = script
    main.__builtins__ = __builtins__
    main.__loader__ = type(__loader__)("__main__", script)
    sys.modules["__main__"] = main
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    source = read(script)
    try:
        exec(compile(source, script, "exec", dont_inherit=True), main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        # The traceback begins at the script's own frame, as if this one were not there.
        error = error.with_traceback(error.__traceback__.tb_next)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)


if socket_was_handed_to_us():
    # Commands that the agent runs are not to get it.
    os.set_inheritable(SOCKET, False)
    sys.meta_path.insert(0, Hook())
if len(sys.argv) < 2:
    sys.exit("usage: launcher.py SCRIPT [ARGUMENT...]")
del sys.argv[0]
run(sys.argv[0])
