"""Async functions whose calls are tasks."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ._json import to_record
from ._stream import text_of

if TYPE_CHECKING:
    import asyncio
    import logging
    from typing import TypeVar

    from ._native import Core

    _F = TypeVar("_F", bound=Callable[..., Any])

# The asyncio task that runs each of our tasks, so that it can be cancelled.
_running: weakref.WeakValueDictionary[int, asyncio.Task[Any]] = weakref.WeakValueDictionary()


def track(core: Core, logger: logging.Logger, func: _F) -> _F:
    """Wraps an async function: each call is a task of the app from its start to its end."""
    name = getattr(func, "__name__", type(func).__name__)

    async def tracked(*args: Any, **kwargs: Any) -> Any:
        import asyncio

        task = core.start_task(name)
        if (current := asyncio.current_task()) is not None:
            _running[task.id] = current
        try:
            result = await func(*args, **kwargs)
        except asyncio.CancelledError:
            task.cancelled()
            raise
        except BaseException as error:
            task.fail(type(error).__name__, text_of(error))
            logger.exception("Async task failed: %s (ID: %s)", name, task.id)
            raise
        finally:
            _running.pop(task.id, None)
        task.complete(to_record(result))
        logger.info("Async task completed: %s (ID: %s)", name, task.id)
        return result

    functools.update_wrapper(tracked, func)
    return cast("_F", tracked)


def cancel(core: Core, task_id: object) -> bool:
    """Asks a task to end: one that we run is cancelled at its next `await`."""
    if not core.cancel_task(task_id):
        return False
    interrupt(cast("int", task_id))
    return True


def interrupt(task_id: int) -> None:
    """Cancels the code of a task, if it is ours. Called on any thread."""
    running = _running.get(task_id)
    if running is not None:
        running.get_loop().call_soon_threadsafe(running.cancel)
