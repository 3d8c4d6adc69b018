//! An agent in one file, for whoever has Python and nothing else.

/// Answers with what it was asked, with `WORD`, and with the headers and variables that it got.
pub(crate) const AGENT: &str = r#"
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORD = "hello"


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.answer({"said": f"{WORD} {payload.get('prompt')}", "mode": os.environ.get("MODE"), "headers": headers})


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
"#;

/// The same agent, with its word from a module.
pub(crate) fn with_word_of(module: &str) -> String {
    AGENT.replace("WORD = \"hello\"", &format!("from {module} import WORD"))
}
