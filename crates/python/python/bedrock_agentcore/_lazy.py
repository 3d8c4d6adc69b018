"""An app that becomes a Starlette application when something needs it to be one.

Importing Starlette takes several times as long as all the rest of an agent's start. An agent that
is served from Rust, without routes, middleware or a lifespan of its own, never needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_set_class = object.__dict__["__class__"].__set__

# The Starlette counterpart of each class of apps.
_counterparts: dict[type, type] = {}


def _counterpart(cls: type) -> type:
    from starlette.applications import Starlette

    if issubclass(cls, Starlette):
        return cls
    if cls not in _counterparts:
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        make: Any = type(cls)
        _counterparts[cls] = make(cls.__name__, (cls, Starlette), names)
    return _counterparts[cls]


class LazyStarlette:
    """The part of an app that is a Starlette application."""

    def _become_starlette(self) -> None:
        """Called once the object's class is a Starlette class, to initialise that part."""
        raise NotImplementedError

    _is_starlette = False

    def _starlette(self) -> Any:
        """This object, as a Starlette application."""
        if not self._is_starlette:
            _set_class(self, _counterpart(type(self)))
            self._is_starlette = True
            self._become_starlette()
        return self

    def __getattr__(self, name: str) -> Any:
        # Asked only for what the object does not have: Starlette may.
        if name.startswith("_") or self._is_starlette:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return getattr(self._starlette(), name)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        from starlette.applications import Starlette

        await Starlette.__call__(self._starlette(), scope, receive, send)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # For `isinstance(app, Starlette)`: whoever can ask that has imported Starlette.
        if not self._is_starlette and "starlette.applications" in sys.modules:
            # What it is about to be. It must not become that here: Python would notice that its
            # type has changed in the middle of the question, and say no.
            return _counterpart(type(self))
        return type(self)
