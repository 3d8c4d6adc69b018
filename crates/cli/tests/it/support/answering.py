"""What agents that need only Python have in common."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering(BaseHTTPRequestHandler):
    """Takes JSON, and answers with it."""

    def payload(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @classmethod
    def serve(cls, host):
        ThreadingHTTPServer((host, int(os.environ["PORT"])), cls).serve_forever()
