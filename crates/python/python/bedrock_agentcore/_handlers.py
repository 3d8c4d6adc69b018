"""What can be known of a handler before it is called, and the author's ping handler."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from .runtime.models import PingStatus

if TYPE_CHECKING:
    from .runtime.app import BedrockAgentCoreApp

# Flags of a code object (see the documentation of `inspect`, which takes long to import).
_COROUTINE, _ASYNC_GENERATOR = 0x80, 0x200


def _flags(handler: Any) -> int:
    while isinstance(handler, functools.partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)  # of a method
    if not isinstance(function, FunctionType):
        function = getattr(type(function), "__call__", None)
    return function.__code__.co_flags if isinstance(function, FunctionType) else 0


def is_async(handler: Any) -> bool:
    """Whether it is an async function, or something that is called like one."""
    return bool(_flags(handler) & _COROUTINE)


def belongs_on_loop(handler: Any) -> bool:
    """Whether calling it only makes a coroutine or an async generator, which the loop then runs."""
    return bool(_flags(handler) & (_COROUTINE | _ASYNC_GENERATOR))


def takes_context(handler: Any) -> bool:
    """Whether its second parameter is called `context`."""
    if type(handler) is FunctionType and not hasattr(handler, "__wrapped__"):
        code = handler.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        return count >= 2 and code.co_varnames[1] == "context"
    import inspect

    try:
        names = list(inspect.signature(handler).parameters)
    except (TypeError, ValueError):
        return False
    return len(names) >= 2 and names[1] == "context"


def ask_ping(app: BedrockAgentCoreApp) -> Callable[[], str]:
    """A function that asks the app's ping handler. It does not keep the app alive."""
    reference = weakref.ref(app)

    def ask() -> str:
        app = reference()
        handler = None if app is None else app._ping_handler
        if handler is None:
            raise RuntimeError("there is no ping handler any more")
        answer = handler()
        if isinstance(answer, str):  # a PingStatus is one
            return PingStatus(answer).value
        if hasattr(answer, "close"):
            answer.close()  # a coroutine that nobody will await
        raise TypeError(f"it returned {type(answer).__name__}: expected a PingStatus or its string")

    return ask
