"""The agent that is measured, with the official SDK: served as its package serves it."""

import sys

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
async def echo(payload):
    return payload


app.run(port=int(sys.argv[1]))
