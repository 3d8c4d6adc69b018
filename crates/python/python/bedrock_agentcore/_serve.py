"""Serving from Rust, and the life of the process around it."""

from __future__ import annotations

import contextvars
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from ._native import Server

if TYPE_CHECKING:
    from ._native import Core
    from ._runtime import Runtime
    from .runtime.app import BedrockAgentCoreApp

# Settings of uvicorn that mean nothing here: there is nothing to choose, or to hide.
_WITHOUT_MEANING = frozenset(
    {
        "access_log",
        "backlog",
        "date_header",
        "h11_max_incomplete_event_size",
        "http",
        "interface",
        "lifespan",
        "log_config",
        "log_level",
        "loop",
        "server_header",
        "timeout_keep_alive",
        "use_colors",
        "ws",
    }
)
_GRACE = 30.0
# How often Python threads take turns. Python's own default makes every request wait 5 ms for each
# thread that computes.
_SWITCH_INTERVAL, _DEFAULT_SWITCH_INTERVAL = 0.0005, 0.005


def run(
    app: BedrockAgentCoreApp,
    core: Core,
    runtime: Runtime,
    port: int | None,
    host: str | None,
    settings: dict[str, Any],
) -> None:
    """Serves until SIGTERM or Ctrl-C."""
    settings = {name: value for name, value in settings.items() if value is not None}
    grace = float(settings.pop("timeout_graceful_shutdown", _GRACE))
    if settings.keys() - _WITHOUT_MEANING:
        return _run_uvicorn(app, port, host, settings)
    if app._websocket_handler is not None:
        app._starlette()  # its WebSockets are Starlette's
    runtime.open()
    server = Server(host, port, app.debug)
    share = _share(app)
    core.share_with_asgi(share)
    runtime.context = contextvars.copy_context()
    with_lifespan = app._is_starlette
    if share or with_lifespan:
        runtime.ensure_loop()
    lifespan = None
    if with_lifespan:
        from ._lifespan import Lifespan

        lifespan = Lifespan(app, runtime)
        lifespan.start()
    with _process():
        try:
            server.serve(core, _on_main_thread(), grace)
        except KeyboardInterrupt:
            pass  # it has done its work: the server has stopped
        finally:
            if lifespan is not None:
                lifespan.stop()
            runtime.stop_loop()


def _share(app: BedrockAgentCoreApp) -> int:
    """What goes through the ASGI application: 0 nothing, 1 all but invocations, 2 everything."""
    from ._lazy import LazyStarlette

    if type(app).__call__ is not LazyStarlette.__call__:
        return 2  # the author's own way in
    if not app._is_starlette:
        return 0
    if app.user_middleware or "build_middleware_stack" in vars(app):
        return 2
    return 1 if app._websocket_handler is not None or len(app.router.routes) > 3 or app.exception_handlers else 0


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _process:
    """The process's own settings while it serves, put back afterwards."""

    def __enter__(self) -> None:
        self._interval = sys.getswitchinterval()
        if abs(self._interval - _DEFAULT_SWITCH_INTERVAL) < 1e-9:  # else the author has chosen one
            sys.setswitchinterval(_SWITCH_INTERVAL)
        signals = (signal.SIGTERM, signal.SIGINT) if _on_main_thread() else ()
        self._handlers = [(number, signal.getsignal(number)) for number in signals]

    def __exit__(self, *_: object) -> None:
        sys.setswitchinterval(self._interval)
        for number, handler in self._handlers:
            if handler is not None:
                signal.signal(number, handler)


def _run_uvicorn(app: Any, port: int | None, host: str | None, settings: dict[str, Any]) -> None:
    try:
        import uvicorn
    except ImportError:
        names = ", ".join(sorted(settings.keys() - _WITHOUT_MEANING))
        raise TypeError(f"run() does not know {names}, and uvicorn, which may, is not installed") from None
    import os

    if host is None:
        inside = os.path.exists("/.dockerenv") or os.environ.get("DOCKER_CONTAINER")
        host = "0.0.0.0" if inside else "127.0.0.1"
    uvicorn.run(app, host=host, port=port or int(os.environ.get("PORT") or 8080), **settings)
