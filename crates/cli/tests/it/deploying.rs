//! A project's agent on another host, and what its configuration does there.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::secured::Secured;
use crate::support::{Done, Project, http, python, script, session_id};

/// Makes the wheel of a module `greeting` in the current folder, as pip takes it.
const WHEEL: &str = r#"
import zipfile
name = "greeting-1.0"
with zipfile.ZipFile(f"{name}-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeting.py", "WORD = 'servus'\n")
    wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{name}.dist-info/RECORD", "")
"#;
/// Rules that no caller of these tests fulfils.
const RULES: &str = "authorizer_configuration: {customJWTAuthorizer: {discoveryUrl: \
                     'http://127.0.0.1:1/.well-known/openid-configuration', allowedClients: [web]}}";
const HEADERS: &str = "request_header_configuration: {requestHeaderAllowlist: [X-Team]}";

/// A project elsewhere, with an agent in one file.
async fn elsewhere() -> Project {
    let project = Project::new();
    project.file("agent.py", script::AGENT);
    project.configure("agent.py", &["-n", "remote"]).await;
    project
}

async fn deployed(project: &Project, caller: &[(&str, String)]) -> Done {
    let done = project.run_with(caller, &["deploy"]).await;
    assert!(done.success() && done.stdout.starts_with("arn:aws:bedrock-agentcore:"), "{done:?}");
    done
}

#[tokio::test]
async fn a_project_is_deployed_to_a_host_updated_and_invoked_there() {
    let secured = Secured::serve().await;
    let caller = secured.caller(&["--administer", "remote", "--invoke", "remote"]).await;
    let elsewhere = elsewhere().await;

    let refused = elsewhere.run_with(&secured.caller(&["--invoke", "remote"]).await, &["deploy"]).await;
    assert!(refused.stderr.contains("does not allow you to administer"), "{refused:?}");
    let first = deployed(&elsewhere, &caller).await;
    assert!(first.stderr.contains("as version 1"), "{first:?}");
    let again = elsewhere.run_with(&caller, &["launch", "--env", "MODE=second"]).await;
    assert!(again.stderr.contains("as version 2") && again.stdout == first.stdout, "{again:?}");
    let configured = std::fs::read_to_string(elsewhere.path().join(".bedrock_agentcore.yaml")).unwrap();
    assert!(configured.contains(first.stdout.trim()) && configured.contains(&secured.url), "{configured}");

    let session = session_id("deployed");
    let answered = elsewhere.json_with(&caller, &["invoke", "you", "-s", &session]).await;
    assert_eq!((&answered["said"], &answered["mode"]), (&json!("hello you"), &json!("second")));
    assert!(secured.project.expect(&["audit", "--state", ".agentcore"]).await.contains("UploadCode"));
    let nobody: Vec<_> =
        caller.iter().filter(|(name, _)| !name.ends_with("KEY") && !name.ends_with("ID")).cloned().collect();
    let unsigned = elsewhere.run_with(&nobody, &["invoke", "{}"]).await;
    assert!(
        unsigned.stderr.contains("no credentials") && unsigned.stderr.contains("AWS_ACCESS_KEY_ID"),
        "{unsigned:?}"
    );
    secured.end().await;
}

#[tokio::test]
async fn the_network_and_the_limits_of_the_file_go_along() {
    let secured = Secured::serve().await;
    let caller = secured.caller(&["--administer", "remote", "--invoke", "remote"]).await;
    let elsewhere = Project::new();
    elsewhere.file("agent.py", script::AGENT);
    let agent = |own: &str| format!("agents: {{remote: {{entrypoint: agent.py, {own}}}}}\n");
    elsewhere.file(".bedrock_agentcore.yaml", &agent("network: none, limits: {log_bytes: 4096}"));
    deployed(&elsewhere, &caller).await;
    let shown = elsewhere.json_with(&caller, &["status", "--json"]).await;
    let own = json!({"network": "none", "limits": {"log_bytes": 4096}});
    assert_eq!(shown["deployed"]["runtime"]["x-agentcore"], own, "{shown}");
    elsewhere.file(".bedrock_agentcore.yaml", &agent("network: host"));
    let refused = elsewhere.run_with(&caller, &["deploy"]).await;
    assert!(!refused.success() && refused.stderr.contains("--network host"), "{refused:?}");
    secured.end().await;
}

#[tokio::test]
async fn what_requirements_txt_names_goes_along() {
    let Some(python) = python() else { return };
    let secured = Secured::serve().await;
    let caller = secured.caller(&["--administer", "remote", "--invoke", "remote"]).await;
    let elsewhere = elsewhere().await;
    elsewhere.interpreter(&python);
    elsewhere.file("agent.py", &script::with_word_of("greeting"));
    elsewhere.file("requirements.txt", "--no-index\nabsent-from-every-index==1.0\n");
    let refused = elsewhere.run_with(&caller, &["deploy"]).await;
    assert!(
        refused.stderr.contains("pip cannot install") && refused.stderr.contains("absent-from-every-index"),
        "{refused:?}"
    );

    make_wheel(&python, elsewhere.path());
    elsewhere.file("requirements.txt", "--no-index\n./greeting-1.0-py3-none-any.whl\n");
    deployed(&elsewhere, &caller).await;
    let answered = elsewhere.json_with(&caller, &["invoke", "you"]).await;
    assert_eq!(answered["said"], "servus you");
    secured.end().await;
}

fn make_wheel(python: &Path, folder: &Path) {
    let made = Command::new(python).args(["-c", WHEEL]).current_dir(folder).status().unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn headers_and_token_rules_of_the_file_hold_where_it_is_launched() {
    let project = Project::new();
    project.file("agent.py", script::AGENT);
    let agent = |name: &str, more: &str| format!("  {name}:\n    entrypoint: agent.py\n    {more}\n");
    let agents = [agent("open", HEADERS), agent("guarded", RULES)].concat();
    project.file(".bedrock_agentcore.yaml", &format!("default_agent: open\nagents:\n{agents}"));
    let host = project.serve(&["--on-shutdown", "stop"]).await;

    let sent = [("x-team", "red"), ("x-other", "blue")];
    let answer = http::post_with(&format!("{}/invocations", host.url), &sent, "{}").await;
    let headers = &answer.json()["headers"];
    assert_eq!((headers["x-team"].as_str(), headers.get("x-other")), (Some("red"), None), "{answer:?}");

    let answer = http::post(&format!("{}/invocations?agent=guarded", host.url), None, "{}").await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    let metadata = challenge.split('"').nth(1).unwrap();
    let document = http::get(metadata).await.json();
    assert_eq!(document["authorization_servers"], json!(["http://127.0.0.1:1"]));
    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn what_is_deployed_is_looked_after_from_its_project() {
    let secured = Secured::serve().await;
    let caller = secured.caller(&["--administer", "remote", "--invoke", "remote"]).await;
    let invoker = secured.caller(&["--invoke", "remote"]).await;
    let elsewhere = elsewhere().await;
    let arn = deployed(&elsewhere, &caller).await.stdout.trim().to_owned();

    let shown = elsewhere.json_with(&caller, &["status", "--json"]).await;
    assert_eq!((&shown["deployed"]["arn"], &shown["endpoint"]), (&json!(arn), &json!(secured.url)));
    assert_eq!(shown["deployed"]["runtime"]["status"], "READY", "{shown}");
    let shown = elsewhere.run_with(&invoker, &["status"]).await;
    assert!(shown.success() && shown.stdout.contains(&arn), "{shown:?}");
    assert!(shown.stdout.contains("does not allow you to administer"), "{shown:?}");

    elsewhere.json_with(&caller, &["invoke", "you"]).await;
    let others = elsewhere.run_with(&invoker, &["stop-session"]).await;
    assert!(others.stderr.contains("has ended already"), "another's session is not there: {others:?}");
    elsewhere.json_with(&caller, &["invoke", "you", "-s", &session_id("looked-after")]).await;
    let stopping = elsewhere.json_with(&caller, &["stop-session", "--json"]).await;
    assert_eq!(stopping["session_id"], session_id("looked-after"));
    let unknown = elsewhere.run_with(&caller, &["stop-session"]).await;
    assert!(unknown.stderr.contains("there is no session yet"), "it is forgotten: {unknown:?}");
    let named = ["stop-session", "-s", &session_id("looked-after")];
    let ended = elsewhere.run_with(&caller, &named).await;
    assert!(!ended.success() && ended.stderr.contains("it may have ended"), "{ended:?}");

    let away = [&caller[..], &[("AGENTCORE_ENDPOINT", "http://127.0.0.1:1".to_owned())]].concat();
    for command in [&["stop-session", "-s", "x"][..], &["destroy", "--force"], &["invoke", "you"]] {
        let unreached = elsewhere.run_with(&away, command).await;
        assert!(unreached.stderr.contains("name where it is now with --endpoint"), "{unreached:?}");
    }

    let planned = elsewhere.run_with(&caller, &["destroy", "--dry-run"]).await;
    assert!(planned.stdout.contains(&format!("its runtime {arn} at {}", secured.url)), "{planned:?}");
    let refused = elsewhere.run_with(&invoker, &["destroy", "--force"]).await;
    assert!(!refused.success() && refused.stderr.contains("Nothing was changed"), "{refused:?}");
    let destroyed = elsewhere.run_with(&caller, &["destroy", "--force"]).await;
    assert!(destroyed.success(), "{destroyed:?}");
    assert!(!elsewhere.path().join(".bedrock_agentcore.yaml").exists());
    let operator = secured.caller(&["--operator"]).await;
    let left = secured.project.run_with(&operator, &["invoke", "you", "-l", "-a", "remote"]).await;
    assert!(!left.success() && left.stderr.contains("remote"), "{left:?}");
    secured.end().await;
}
