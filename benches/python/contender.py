"""The agent that both packages serve: contender.py PORT SERVER HANDLER BUSY."""

import sys

from bedrock_agentcore import BedrockAgentCoreApp

port, server, kind, busy = sys.argv[1:]
# Without a choice uvicorn takes what is installed; our own server has nothing to choose.
SETTINGS = {
    "own": {},
    "uvicorn": {"loop": "asyncio", "http": "h11"},
    "uvloop": {"loop": "uvloop", "http": "httptools"},
}
ITEMS = 1000

app = BedrockAgentCoreApp()


def answer(event):
    return {"message": event["prompt"]}


async def answer_async(event):
    return {"message": event["prompt"]}


def stream(event):
    for n in range(ITEMS):
        yield {"token": "and then it says ", "index": n}


async def stream_async(event):
    for n in range(ITEMS):
        yield {"token": "and then it says ", "index": n}


def compute():
    n = 1
    while True:
        n = (n * 31 + 7) % 1_000_003


app.entrypoint({"sync": answer, "async": answer_async, "stream": stream, "async-stream": stream_async}[kind])
if busy == "busy":
    import threading

    threading.Thread(target=compute, daemon=True).start()
app.run(port=int(port), **SETTINGS[server])
