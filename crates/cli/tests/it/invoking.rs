//! What `invoke` sends, and what it prints when.

use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{PATIENCE, Project, agent, eventually, http, session_id};

#[tokio::test]
async fn a_stream_is_printed_item_by_item() {
    let project = Project::new();
    let stream =
        "HTTP/1.1 200 OK\\ncontent-type: text/event-stream\\n\\ndata: {\"n\": 1}\\n\\ndata: \"two\"\\n\\n";
    project.executable("stream.sh", &agent::raw_script(stream));
    project.configure("stream.sh", &[]).await;
    let host = project.launch(&[]).await;
    assert_eq!(project.expect(&["invoke", "{}", "-l"]).await, "{\"n\": 1}\n\"two\"\n");
    host.interrupt().await;
}

/// The second item comes only when the first one has been printed.
#[tokio::test]
async fn an_item_of_a_stream_is_printed_when_it_comes() {
    let project = Project::new();
    project.executable("drip.sh", &agent::drip_script(&project.done()));
    project.configure("drip.sh", &[]).await;
    let host = project.launch(&["--network", "host", "--read-only", project.path().to_str().unwrap()]).await;
    let mut invoking = project.start(&["invoke", "{}", "-l"]);
    let mut lines = BufReader::new(invoking.stdout.take().unwrap()).lines();
    let mut next = async || timeout(PATIENCE, lines.next_line()).await.expect("nothing is printed").unwrap();
    assert_eq!(next().await.as_deref(), Some("1"));
    project.work_is_done();
    assert_eq!(next().await.as_deref(), Some("2"));
    assert_eq!(next().await, None);
    assert!(invoking.wait().await.unwrap().success());
    host.interrupt().await;
}

#[tokio::test]
async fn what_is_said_of_the_caller_reaches_the_agent() {
    let project = Project::new();
    project.executable("heads.sh", &agent::heads_script());
    project.configure("heads.sh", &[]).await;
    let host = project.launch(&[]).await;
    let session = session_id("said");
    let heads = project
        .json(&["invoke", "{}", "-l", "-s", &session, "-u", "alice", "--headers", "Tenant:blue,Trace: 7"])
        .await;
    let lines = heads.as_array().unwrap();
    for header in [
        format!("x-amzn-bedrock-agentcore-runtime-session-id: {session}"),
        "x-amzn-bedrock-agentcore-runtime-user-id: alice".to_owned(),
        "x-amzn-bedrock-agentcore-runtime-custom-tenant: blue".to_owned(),
        "x-amzn-bedrock-agentcore-runtime-custom-trace: 7".to_owned(),
    ] {
        assert!(lines.contains(&json!(header)), "{header}: {heads}");
    }
    let broken = project.run(&["invoke", "{prompt: 1}", "-l"]).await;
    assert!(broken.stderr.contains("note: sent as a text, for it is no JSON"), "{broken:?}");
    let wrong = project.run(&["invoke", "{}", "-l", "-u", "two\nlines"]).await;
    assert!(!wrong.success() && wrong.stderr.contains("the user id cannot be sent"), "{wrong:?}");
    host.interrupt().await;
}

#[tokio::test]
async fn an_agent_that_serves_by_itself_is_invoked_without_a_host() {
    let project = Project::new();
    project.executable("agent.sh", &agent::script());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut agent = Command::new(project.path().join("agent.sh"))
        .env("PORT", port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("the agent serves", || async {
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        connected.is_ok().then_some(())
    })
    .await;
    assert_eq!(http::get(&format!("http://127.0.0.1:{port}/ping")).await.json()["status"], "Healthy");
    let port = port.to_string();
    let dev = |payload: &'static str| ["invoke", payload, "--dev", "--port", &port].map(str::to_owned);
    let invoke = async |payload| {
        let arguments = dev(payload);
        project.run(&arguments.each_ref().map(String::as_str)).await
    };
    let done = invoke("hello").await;
    let answer: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&answer["count"], &answer["payload"]), (&json!(1), &json!({"prompt": "hello"})));
    assert!(!project.path().join(".bedrock_agentcore.yaml").exists(), "nothing is remembered of it");
    let failed = invoke(r#"{"fail": "out of tokens"}"#).await;
    assert!(failed.stderr.contains("out of tokens"), "{failed:?}");
    assert!(failed.stderr.contains("what the agent wrote is where it was started"), "{failed:?}");
    agent.kill().await.unwrap();
    let gone = invoke("hello").await;
    assert!(!gone.success() && gone.stderr.contains("hint: start it by itself"), "{gone:?}");
}
