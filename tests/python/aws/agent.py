"""An agent on AWS's own SDK. What it does, the payload says."""

import asyncio
import os
import uuid

from bedrock_agentcore import BedrockAgentCoreApp

# Process numbers are the same in every session.
LIFE = uuid.uuid4().hex

app = BedrockAgentCoreApp()
runs = []


async def count_to(number):
    for item in range(number):
        yield {"item": item}
        await asyncio.sleep(0)


@app.entrypoint
async def handler(payload, context):
    print("invoked", flush=True)
    runs.append(payload.get("run"))
    match payload.get("do"):
        case "sleep":
            await asyncio.sleep(payload["seconds"])
        case "fail":
            raise ValueError("no good")
        case "stream":
            return count_to(payload["items"])
        case "big":
            return "x" * payload["bytes"]
        case "length":
            return {"length": len(payload["text"])}
        case "runs":
            return {"runs": runs.count(payload["of"])}
        case "headers":
            return dict(context.request_headers or {})
        case "exit":
            os._exit(3)
    return {"session": context.session_id, "mode": os.environ.get("MODE"), "life": LIFE}


@app.websocket
async def echo(websocket, context):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


if __name__ == "__main__":
    app.run()
