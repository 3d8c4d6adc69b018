"""The agent that is measured, with the official SDK: served as its package serves it."""

import sys

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
async def handler(event):
    return {"message": event["prompt"]}


app.run(port=int(sys.argv[1]))
