"""Write agents that answer at once and keep working.

    from bedrock_agentcore import BedrockAgentCoreApp

    app = BedrockAgentCoreApp()

    @app.entrypoint
    async def handler(event):
        return {"hello": event}

    app.run()
"""

from . import _elsewhere

_elsewhere.refuse_two_packages(__path__[0])

from .runtime.app import BedrockAgentCoreApp  # noqa: E402
from .runtime.context import BedrockAgentCoreContext, RequestContext  # noqa: E402
from .runtime.models import PingStatus  # noqa: E402

__all__ = ["BedrockAgentCoreApp", "BedrockAgentCoreContext", "PingStatus", "RequestContext"]


def __getattr__(name: str) -> object:
    _elsewhere.explain(__name__, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
