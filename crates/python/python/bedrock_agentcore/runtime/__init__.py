"""The agent's app, its context and its models."""

from .. import _elsewhere
from .app import BedrockAgentCoreApp
from .context import BedrockAgentCoreContext, RequestContext
from .models import PingStatus

__all__ = ["BedrockAgentCoreApp", "BedrockAgentCoreContext", "PingStatus", "RequestContext"]


def __getattr__(name: str) -> object:
    _elsewhere.explain(__name__, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
