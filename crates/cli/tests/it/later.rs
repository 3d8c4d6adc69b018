//! Checking back later: answers and tasks that outlive their callers, their sessions and the host.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Project, eventually, package_python, python, session_id};

/// Streams a few items on AWS's own SDK, each once a file says that it may.
const STREAMER: &str = r#"import asyncio, os
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
async def handler(event):
    for number in range(event["items"]):
        while not os.path.exists(event["until"]) and number > 1:
            await asyncio.sleep(0.02)
        yield {"number": number}

if __name__ == "__main__":
    app.run()
"#;

/// Works in the background, and tells how far it is.
const WORKER: &str = r#"import asyncio, os
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
background = set()

@app.async_task
async def dig(until):
    while not os.path.exists(until):
        await asyncio.sleep(0.02)
    return {"depth": 7}

@app.entrypoint
async def handler(event):
    if event.get("die"):
        os._exit(3)
    if event.get("count"):
        counted = app.add_async_task("count", {"rows": 4})
        app.report_progress(counted, {"done": 1, "total": 4})
        return {"task_id": counted}
    background.add(asyncio.create_task(dig(event["until"])))
    while not (running := app.get_async_task_info()["running_jobs"]):
        await asyncio.sleep(0.02)
    return {"task_id": running[0]["task_id"]}

if __name__ == "__main__":
    app.run()
"#;

async fn project(python: &Path, agent: &str) -> Project {
    let project = Project::new();
    project.interpreter(python);
    project.file("later.py", agent);
    project.configure("later.py", &[]).await;
    project
}

#[tokio::test]
async fn an_answer_that_nobody_waited_for_is_read_after_its_session_and_its_host_are_gone() {
    let Some(python) = python() else { return };
    let project = project(&python, STREAMER).await;
    let host = project.launch(&[]).await;
    let session = session_id("later");
    let payload = json!({"items": 5, "until": project.done()}).to_string();

    let invoked = project.run(&["invoke", &payload, "--async", "-s", &session]).await;
    assert!(invoked.success(), "{invoked:?}");
    let id = invoked.stdout.trim_end().to_owned();
    assert!(!id.contains(char::is_whitespace), "the id alone: {id:?}");
    let early = project.run(&["results", &id]).await;
    assert_eq!((early.code, early.stdout.as_str()), (Some(4), ""), "{early:?}");

    project.work_is_done();
    let whole: String = (0..5).map(|number| format!("{{\"number\": {number}}}\n")).collect();
    let followed = project.run(&["results", &id, "--follow"]).await;
    assert_eq!((followed.code, &followed.stdout), (Some(0), &whole), "{followed:?}");

    project.expect(&["stop-session", "-s", &session]).await;
    host.interrupt().await;
    project.expect_no_processes().await;
    let host = project.launch(&[]).await;
    for arguments in [&["results", &id][..], &["results", &id, "--wait"], &["results", &id, "--follow"]] {
        assert_eq!(project.expect(arguments).await, whole, "{arguments:?}");
    }
    let listed = project.json(&["results", "--json"]).await;
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!(id), &json!("completed")));
    host.interrupt().await;
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_when_the_host_is_back() {
    let Some(python) = python() else { return };
    let project = project(&python, STREAMER).await;
    let host = project.launch(&[]).await;
    let payload = json!({"items": 3, "until": project.done()}).to_string();
    let id = project.expect(&["invoke", &payload, "--async"]).await;
    let id = id.trim_end();
    // The host is killed while the agent works, and says so in the end: nothing is run again.
    let follow = ["results", id, "--follow"];
    let (followed, host) = tokio::join!(project.run(&follow), async {
        eventually("two items are on disk", || async {
            let shown = project.json(&["results", "--json"]).await;
            shown[0]["answer"]["bytes"].as_u64().filter(|bytes| *bytes > 30)
        })
        .await;
        host.kill().await;
        project.launch(&[]).await
    });
    assert_eq!(followed.code, Some(3), "{followed:?}");
    assert!(followed.stdout.lines().count() <= 2, "no item twice: {followed:?}");
    assert!(followed.stderr.contains("interrupted"), "{followed:?}");
    let refused = project.run(&["results", "--cancel", id]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    project.work_is_done();
    host.interrupt().await;
    project.expect_no_processes().await;
}

/// A worker, its host, and the id of its task.
async fn working(payload: &Value) -> Option<(Project, crate::support::Host, String)> {
    let project = project(&package_python()?, WORKER).await;
    let host = project.launch(&[]).await;
    let mut payload = payload.clone();
    payload["until"] = json!(project.done());
    let answer = project.invoke(&session_id("worker"), &payload.to_string()).await;
    let task = answer["task_id"].to_string();
    eventually("the task is on record", || async {
        project.run(&["tasks", "show", &task]).await.success().then_some(())
    })
    .await;
    Some((project, host, task))
}

#[tokio::test]
async fn a_task_is_waited_for_and_its_result_is_there_when_session_and_host_are_gone() {
    let Some((project, host, task)) = working(&json!({})).await else { return };
    let early = project.run(&["tasks", "wait", &task, "--timeout", "0"]).await;
    assert_eq!((early.code, early.stdout.as_str()), (Some(4), ""), "{early:?}");
    let wait = ["tasks", "wait", &task];
    let (waited, ()) = tokio::join!(project.run(&wait), async { project.work_is_done() });
    assert_eq!((waited.code, waited.stdout.as_str()), (Some(0), "{\"depth\":7}\n"), "{waited:?}");

    host.interrupt().await;
    let host = project.launch(&[]).await;
    let shown = project.json(&["tasks", "show", &task, "--json"]).await;
    assert_eq!((&shown["status"], &shown["name"]), (&json!("completed"), &json!("dig")), "{shown}");
    let named = format!("{}/{task}", shown["incarnation"].as_str().unwrap());
    assert_eq!(project.expect(&["tasks", "wait", &named]).await, "{\"depth\":7}\n");
    host.interrupt().await;
}

#[tokio::test]
async fn one_task_of_a_python_agent_is_cancelled_and_its_session_goes_on() {
    let Some((project, host, task)) = working(&json!({})).await else { return };
    project.expect(&["tasks", "cancel", &task]).await;
    let waited = project.run(&["tasks", "wait", &task]).await;
    assert_eq!(waited.code, Some(1), "{waited:?}");
    assert!(waited.stderr.contains("dig was cancelled"), "{waited:?}");
    assert_ne!(project.session(&session_id("worker")).await["state"], "stopped");
    let again = project.run(&["tasks", "cancel", &task]).await;
    assert!(again.stderr.contains("The task is not running: it is cancelled"), "{again:?}");
    host.interrupt().await;
}

#[tokio::test]
async fn a_task_that_its_session_did_not_live_to_see_is_lost_and_says_why() {
    let Some((project, host, task)) = working(&json!({"count": true})).await else { return };
    let listed = project.expect(&["tasks", "list"]).await;
    assert!(listed.contains("count") && listed.contains("25% (1 of 4)"), "{listed}");
    project.run(&["invoke", r#"{"die": true}"#, "-s", &session_id("worker")]).await;
    let waited = project.run(&["tasks", "wait", &task, "--json"]).await;
    assert_eq!(waited.code, Some(3), "{waited:?}");
    assert!(waited.stderr.contains("ProcessExited: exited with code 3"), "{waited:?}");
    let shown: Value = serde_json::from_str(&waited.stdout).unwrap();
    assert_eq!((&shown["status"], &shown["metadata"]), (&json!("lost"), &json!({"rows": 4})));
    host.interrupt().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_to_do() {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&[]).await;
    for (arguments, hint) in [
        (&["results", "0190163d-8694-739b-aea5-966c26f8ad91"][..], "agentcore results"),
        (&["results", "nonsense", "--wait"], "agentcore results"),
        (&["results", "--cancel", "nonsense"], "agentcore results"),
        (&["tasks", "wait", "4711"], "agentcore tasks list"),
        (&["tasks", "show", "nonsense"], "a whole number"),
        (&["tasks", "cancel", "x/4711"], "agentcore tasks list"),
    ] {
        let done = project.run(arguments).await;
        assert_eq!(done.code, Some(1), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains("hint: ") && done.stderr.contains(hint), "{arguments:?}: {done:?}");
    }
    host.interrupt().await;
}
