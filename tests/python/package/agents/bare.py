"""An agent that needs nothing."""

import sys

from bedrock_agentcore import BedrockAgentCoreApp


def make():
    app = BedrockAgentCoreApp()

    @app.entrypoint
    def handler(payload):
        return {"starlette": "starlette.applications" in sys.modules, "asyncio": "asyncio" in sys.modules}

    return app
