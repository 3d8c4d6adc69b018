"""What an agent's code may know of the request that it answers."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._native import Exchange

__all__ = ["BedrockAgentCoreContext", "RequestContext"]

# The request that this code answers. What is asked of it is looked up only then.
_exchange: ContextVar[Exchange | None] = ContextVar("bedrock_agentcore_exchange", default=None)

# Values that were set by hand; they come before the request's.
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_session_id: ContextVar[str | None] = ContextVar("session_id", default=None)
_request_headers: ContextVar[dict[str, str] | None] = ContextVar("request_headers", default=None)
_workload_access_token: ContextVar[str | None] = ContextVar("workload_access_token", default=None)
_oauth2_callback_url: ContextVar[str | None] = ContextVar("oauth2_callback_url", default=None)


class RequestContext:
    """The request that a handler answers."""

    __slots__ = ("_exchange", "_headers", "_request", "session_id")

    #: The session that the request belongs to, if it names one.
    session_id: str | None

    def __init__(
        self,
        session_id: str | None = None,
        request_headers: dict[str, str] | None = None,
        request: Any = None,
    ) -> None:
        self.session_id = session_id
        self._headers = request_headers
        self._request = request
        self._exchange: Exchange | None = None

    @classmethod
    def _of(cls, exchange: Exchange) -> RequestContext:
        context = cls(exchange.session_id)
        context._exchange = exchange
        return context

    @property
    def request_headers(self) -> dict[str, str] | None:
        """The headers that are meant for an agent's code: lower-case, but for `Authorization`."""
        if self._headers is None and self._exchange is not None:
            self._headers = self._exchange.visible_headers() or None
        return self._headers

    @property
    def request(self) -> Any:
        """The Starlette request."""
        if self._request is None and self._exchange is not None:
            from .._asgi import request_of

            self._request = request_of(self._exchange)
        return self._request

    def __repr__(self) -> str:
        # Headers hold credentials, so they are left out.
        return f"RequestContext(session_id={self.session_id!r})"


class BedrockAgentCoreContext:
    """The same, and more, for code that is far from the handler: held in context variables, so it
    follows the request into tasks and, with `contextvars.copy_context()`, into threads."""

    @classmethod
    def set_request_context(cls, request_id: str, session_id: str | None = None) -> None:
        """Sets the ids of request and session."""
        _request_id.set(request_id)
        _session_id.set(session_id)

    @classmethod
    def get_request_id(cls) -> str | None:
        """The id of the request: the caller's, or else a new one."""
        exchange = _exchange.get()
        return _request_id.get() or (exchange.request_id if exchange else None)

    @classmethod
    def get_session_id(cls) -> str | None:
        """The session that the request belongs to."""
        exchange = _exchange.get()
        return _session_id.get() or (exchange.session_id if exchange else None)

    @classmethod
    def set_request_headers(cls, headers: dict[str, str]) -> None:
        """Sets the headers."""
        _request_headers.set(headers)

    @classmethod
    def get_request_headers(cls) -> dict[str, str] | None:
        """The headers that are meant for an agent's code."""
        headers = _request_headers.get()
        exchange = _exchange.get()
        return headers if headers is not None or exchange is None else exchange.visible_headers() or None

    @classmethod
    def set_workload_access_token(cls, token: str) -> None:
        """Sets the workload access token."""
        _workload_access_token.set(token)

    @classmethod
    def get_workload_access_token(cls) -> str | None:
        """The workload access token."""
        exchange = _exchange.get()
        return _workload_access_token.get() or (exchange.workload_access_token if exchange else None)

    @classmethod
    def set_oauth2_callback_url(cls, workload_callback_url: str) -> None:
        """Sets where OAuth 2 sends a user back to."""
        _oauth2_callback_url.set(workload_callback_url)

    @classmethod
    def get_oauth2_callback_url(cls) -> str | None:
        """Where OAuth 2 sends a user back to."""
        exchange = _exchange.get()
        return _oauth2_callback_url.get() or (exchange.oauth2_callback_url if exchange else None)
