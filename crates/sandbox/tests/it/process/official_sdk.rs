//! Agents on the official Python SDK, as they are.
//!
//! AGENTCORE_TEST_PYTHON names the interpreter of a virtual environment with `bedrock-agentcore`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use agentcore_sandbox::python::python_command;
use agentcore_sandbox::{ExitStatus, Sandbox, SandboxSpec, StopSignal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench::{Bench, LIMIT, Processes, end_of, kill, log};

fn interpreter() -> Option<PathBuf> {
    let python = std::env::var_os("AGENTCORE_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "set AGENTCORE_TEST_PYTHON");
        println!("skipped: AGENTCORE_TEST_PYTHON names no Python with bedrock-agentcore");
    }
    python
}

fn agent(bench: &Processes, python: &PathBuf, script: &str) -> SandboxSpec {
    let path = bench.code().join("agent.py");
    fs::write(&path, script).unwrap();
    let (program, args) = python_command(python, &path);
    SandboxSpec { program, args, ..bench.shell("") }
}

async fn http(sandbox: &dyn Sandbox, request: &str) -> String {
    let talk = async {
        let mut io = sandbox.connect().await.unwrap();
        io.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(LIMIT, talk).await.unwrap()
}

async fn invoke(sandbox: &dyn Sandbox, payload: &str) -> String {
    let length = payload.len();
    let head =
        format!("POST /invocations HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}");
    http(sandbox, &format!("{head}\r\n\r\n{payload}")).await
}

const AGENT: &str = r#"
import asyncio
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.async_task
async def background_work():
    await asyncio.sleep(1000)

@app.entrypoint
async def handler(event):
    asyncio.create_task(background_work())
    return {"status": "started", "name": __name__}

@app.websocket
async def talk(websocket, context):
    await websocket.accept()
    await websocket.send_text("echo " + await websocket.receive_text())
    await websocket.close()

if __name__ == "__main__":
    app.run()
"#;

#[tokio::test]
async fn an_unmodified_agent_serves_the_handed_over_socket() {
    let Some(python) = interpreter() else { return };
    let bench = Processes::new();
    let sandbox = bench.run(&agent(&bench, &python, AGENT)).await;
    let ping = "GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(http(&*sandbox, ping).await.contains(r#""status":"Healthy""#));
    let answer = invoke(&*sandbox, "{}").await;
    assert!(answer.contains(r#"{"status": "started", "name": "__main__"}"#), "{answer}");
    assert!(http(&*sandbox, ping).await.contains(r#""status":"HealthyBusy""#));
    sandbox.stop(StopSignal::Terminate).unwrap();
    // uvicorn shuts down in order, then lets the signal have its way.
    assert_eq!(end_of(&*sandbox).await.status, ExitStatus::Signal(15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_websocket_is_served_too() {
    let Some(python) = interpreter() else { return };
    let bench = Processes::new();
    let sandbox = bench.run(&agent(&bench, &python, AGENT)).await;
    let client = "
import sys
from websockets.sync.client import unix_connect
with unix_connect(sys.argv[1], uri='ws://localhost/ws') as socket:
    socket.send('hello')
    print(socket.recv())
";
    let path = sandbox.folder().join("agent.sock");
    let talk = move || Command::new(python).args(["-c", client]).arg(path).output();
    let output = tokio::task::spawn_blocking(talk).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "echo hello\n");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn several_workers_share_the_socket() {
    let Some(python) = interpreter() else { return };
    let bench = Processes::new();
    let script = "
import os, uvicorn
async def app(scope, receive, send):
    if scope['type'] != 'http': return
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'served by a worker'})
if __name__ == '__main__':
    uvicorn.run('agent:app', workers=2, log_level='warning')
";
    let sandbox = bench.run(&agent(&bench, &python, script)).await;
    let answer = invoke(&*sandbox, "{}").await;
    assert!(answer.contains("served by a worker"), "{answer}");
    kill(&*sandbox).await;
}

#[tokio::test]
async fn a_failed_import_reads_as_without_a_launcher() {
    let bench = Processes::new();
    let python = PathBuf::from("/usr/bin/env");
    let mut spec = agent(&bench, &python, "import no_such_module\n");
    spec.args.insert(0, "python3".into());
    let sandbox = bench.run(&spec).await;
    assert_eq!(end_of(&*sandbox).await.status, ExitStatus::Code(1));
    let script = bench.code().join("agent.py");
    let expected = format!(
        "Traceback (most recent call last):\n  File \"{}\", line 1, in <module>\n    \
         import no_such_module\nModuleNotFoundError: No module named 'no_such_module'\n",
        script.display()
    );
    assert_eq!(log(&*sandbox), expected);
}

#[tokio::test]
async fn a_script_runs_as_if_it_were_started_directly() {
    let bench = Processes::new();
    fs::write(bench.code().join("helper.py"), "word = 'helped'\n").unwrap();
    let script = "
import helper, multiprocessing, os, sys
def work(number): return number * 2
if __name__ == '__main__':
    print(sys.argv, __file__ == sys.argv[0], sys.modules['__main__'].__dict__ is globals())
    print(helper.word, sys.path[0] == os.path.dirname(__file__))
    with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(work, [1, 2]))
    sys.exit(4)
";
    let mut spec = agent(&bench, &"/usr/bin/env".into(), script);
    spec.args.insert(0, "python3".into());
    spec.args.push("extra".into());
    let sandbox = bench.run(&spec).await;
    assert_eq!(end_of(&*sandbox).await.status, ExitStatus::Code(4));
    let path = bench.code().join("agent.py");
    assert_eq!(log(&*sandbox), format!("['{}', 'extra'] True True\nhelped True\n[2, 4]\n", path.display()));
}

#[tokio::test]
async fn a_python_agent_without_uvicorn_is_bridged() {
    let bench = Processes::new();
    let script = "
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'plain')
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";
    let mut spec = agent(&bench, &"/usr/bin/env".into(), script);
    spec.args.insert(0, "python3".into());
    let sandbox = bench.run(&spec).await;
    assert!(http(&*sandbox, "GET / HTTP/1.0\r\n\r\n").await.ends_with("plain"));
    kill(&*sandbox).await;
}
