//! A host for others: with TLS, access keys, and a record of who did what.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::secured::Secured;
use crate::support::{PATIENCE, Project, python, session_id};

/// A call of boto3 as its users write it; the environment says where to and whom to trust.
const BOTO3: &str = r#"
import json, sys, boto3
agents = boto3.client("bedrock-agentcore", region_name="us-east-1")
answer = agents.invoke_agent_runtime(agentRuntimeArn="agent", runtimeSessionId=sys.argv[1], payload="{}")
print(json.dumps({"session": answer["runtimeSessionId"], "answer": answer["response"].read().decode()}))
"#;

#[tokio::test]
async fn the_command_line_reaches_a_host_with_a_private_certificate() {
    let secured = Secured::serve().await;
    let caller = secured.caller(&["--operator"]).await;
    let session = session_id("private");
    let done = secured.project.run_with(&caller, &["invoke", "{}", "-l", "-s", &session]).await;
    assert!(done.success(), "{done:?}");
    let listed = secured.project.run_with(&caller, &["sessions", "list"]).await;
    assert!(listed.stdout.contains(&session), "{listed:?}");

    let records =
        secured.project.expect(&["audit", "--state", ".agentcore", "--json", "--since", "1h"]).await;
    let actions = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].clone());
    assert_eq!(actions.collect::<Vec<_>>(), ["CreateAccessKey", "InvokeAgentRuntime"], "{records}");
    let table = secured.project.expect(&["audit", "--state", ".agentcore", "--principal", "key:"]).await;
    assert!(table.contains(&session) && !table.contains("CreateAccessKey"), "{table}");

    let distrusting = caller.iter().filter(|(name, _)| *name != "AWS_CA_BUNDLE").cloned().collect::<Vec<_>>();
    let refused = secured.project.run_with(&distrusting, &["sessions", "list"]).await;
    assert!(
        refused.stderr.contains("cannot be trusted") && refused.stderr.contains("--ca-bundle"),
        "{refused:?}"
    );
    secured.end().await;
}

#[tokio::test]
async fn boto3_reaches_a_host_with_a_private_certificate() {
    let Some(python) = python() else { return };
    let secured = Secured::serve().await;
    let session = session_id("boto3");
    let mut command = tokio::process::Command::new(python);
    command.args(["-c", BOTO3, &session]).envs(secured.caller(&["--invoke", "agent"]).await);
    let output =
        tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answered: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answered["session"], json!(session));
    secured.end().await;
}

#[tokio::test]
async fn a_host_says_what_it_lacks_to_be_reached_by_others() {
    let project = Project::with_test_agent(&[]).await;
    let serve = ["serve", "--state", ".agentcore", "--listen", "0.0.0.0:0"];
    let refused = project.run(&serve).await;
    assert!(refused.stderr.contains("--require-auth"), "{refused:?}");
    let refused = project.run(&[&serve[..], &["--require-auth"]].concat()).await;
    assert!(
        refused.stderr.contains("--tls-cert") && refused.stderr.contains("--behind-proxy"),
        "{refused:?}"
    );
    let files = ["--require-auth", "--tls-cert", "agent.sh", "--tls-key", "agent.sh"];
    let refused = project.run(&[&serve[..], &files].concat()).await;
    assert!(refused.stderr.contains("agent.sh holds no certificate in PEM"), "{refused:?}");
}
