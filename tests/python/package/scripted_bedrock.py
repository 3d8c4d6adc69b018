"""A local server that speaks Bedrock's ConverseStream: it calls the tool, and then says that it did."""

import json
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOL = "start_background_task"


def event(kind, payload):
    """One message of AWS's event stream encoding."""
    fields = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in fields.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack("!I", zlib.crc32(message))


def answer(content_start, delta, stop_reason):
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    return b"".join(
        [
            event("messageStart", {"role": "assistant"}),
            # A text has no start.
            event("contentBlockStart", {"contentBlockIndex": 0, "start": content_start}) if content_start else b"",
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": stop_reason}),
            event("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
        ]
    )


class Server:
    def __init__(self):
        #: What the tool answered.
        self.tool_results = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                body = server.reply(self.path, request)
                self.send_response(200)
                self.send_header("content-type", "application/vnd.amazon.eventstream")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def reply(self, path, request):
        assert path.endswith("/converse-stream"), path
        results = [part["toolResult"] for part in request["messages"][-1]["content"] if "toolResult" in part]
        if results:
            self.tool_results += [part["text"] for result in results for part in result["content"]]
            return answer({}, {"text": "It has been started."}, "end_turn")
        assert TOOL in [tool["toolSpec"]["name"] for tool in request["toolConfig"]["tools"]]
        use = {"toolUse": {"toolUseId": "use-1", "name": TOOL}}
        return answer(use, {"toolUse": {"input": json.dumps({"duration": 3})}}, "tool_use")

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
