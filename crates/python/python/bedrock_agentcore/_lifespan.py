"""The lifespan of an app that is served from Rust."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._runtime import Runtime


class Lifespan:
    """Speaks ASGI's lifespan protocol with the app, on the event loop."""

    def __init__(self, app: Any, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime
        self._loop = runtime.ensure_loop().loop

    def start(self) -> None:
        """Runs the start, and waits for it.

        Raises:
            RuntimeError: The app says that it failed.
        """
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        state: dict[str, Any] = {}
        self._task = self._wait(self._begin(state))
        answer = self._wait(self._exchange("lifespan.startup"))
        if answer["type"] == "lifespan.startup.failed":
            raise RuntimeError(f"the app's lifespan failed to start:\n{answer.get('message', '')}")
        self._runtime.state = state

    def stop(self) -> None:
        """Runs the end, and waits for it."""
        self._wait(self._exchange("lifespan.shutdown"))

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self, state: dict[str, Any]) -> asyncio.Task[None]:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        return asyncio.create_task(self._app(scope, self._to_app.get, self._from_app.put))

    async def _exchange(self, kind: str) -> dict[str, Any]:
        """Tells the app, and waits for its answer, or for its end."""
        await self._to_app.put({"type": kind})
        answer = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return {"type": f"{kind}.complete"}
