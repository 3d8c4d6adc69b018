//! Where `agentcore` has credentials from, as AWS's tools have them.

mod setups;
mod vendor;

use std::collections::HashMap;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::Instant;

use crate::support::{Done, PATIENCE, Project, eventually, python};
use setups::{Setup, Variables};
use vendor::{Key, Vendor};

/// Prints the id of the key that boto3 finds in each of the environments.
const BOTO3: &str = r#"
import json, os, sys
import boto3
ids = []
for variables in json.loads(sys.argv[1]):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(variables)
    ids.append(boto3.Session(region_name="us-east-1").get_credentials().get_frozen_credentials().access_key)
print(json.dumps(ids))
"#;

/// A project whose agent is deployed on the host at `url`.
fn deployed(url: &str) -> Project {
    let project = Project::new();
    let place =
        format!("{{agent_arn: 'arn:aws:bedrock-agentcore:us-east-1:0:runtime/agent', endpoint: '{url}'}}");
    let agent = format!("{{entrypoint: agent.sh, bedrock_agentcore: {place}}}");
    project.file(".bedrock_agentcore.yaml", &format!("default_agent: agent\nagents: {{agent: {agent}}}\n"));
    project
}

async fn invoke(project: &Project, variables: &Variables) -> Done {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.clone())).collect();
    project.run_with(&variables, &["invoke", "{}"]).await
}

/// A key of the host for each way to hand one out.
async fn keys(host: &Project) -> HashMap<&'static str, Key> {
    let mut keys = HashMap::new();
    for way in ["own", "role", "single-sign-on", "web-identity", "container", "machine"] {
        let create =
            ["keys", "create", "--state", ".agentcore", "--json", "--invoke", "agent", "--owner", way];
        let made = host.json(&create).await;
        let part = |name: &str| made[name].as_str().unwrap().to_owned();
        keys.insert(way, Key { id: part("access_key_id"), secret: part("secret_access_key") });
    }
    keys
}

/// Which key a request came with that the host let in, the latest of them.
async fn key_of_the_latest(host: &Project) -> String {
    let audit = host.expect(&["audit", "--state", ".agentcore", "--json"]).await;
    let mut records = audit.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let invoked = records.find(|record| record["action"] == "InvokeAgentRuntime");
    invoked.map(|record| record["key"].as_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn an_agent_is_invoked_with_every_kind_of_credentials_that_aws_knows() {
    let project = Project::with_test_agent(&["-n", "agent"]).await;
    let keys = keys(&project).await;
    let host = project.serve(&["--require-auth", "--on-shutdown", "stop"]).await;
    let vendor = Vendor::of(keys.clone()).await;
    let elsewhere = deployed(&host.url);
    let setups = setups::all(elsewhere.path(), &vendor, &keys["own"]);
    for Setup { name, key, variables } in &setups {
        let done = invoke(&elsewhere, variables).await;
        assert!(done.success() && done.stdout.contains("count"), "{name}: {done:?}");
        eventually(&format!("the key of {name} is on record"), || async {
            (key_of_the_latest(&project).await == keys[key].id).then_some(())
        })
        .await;
    }
    if let Some(python) = python() {
        let theirs: Vec<_> = setups.iter().map(|setup| keys[setup.key].id.clone()).collect();
        assert_eq!(boto3(&python, elsewhere.path(), &setups).await, json!(theirs));
    }
    host.end(Signal::SIGTERM).await;
    let told = project.host_log();
    assert!(keys.values().all(|key| !told.contains(&key.secret)), "{told}");
    project.expect_no_processes().await;
}

async fn boto3(python: &Path, home: &Path, setups: &[Setup]) -> Value {
    let environments: Vec<_> = setups.iter().map(|setup| &setup.variables).collect();
    let mut command = Command::new(python);
    command.args(["-c", BOTO3, &json!(environments).to_string()]).env("HOME", home).current_dir(home);
    let found = tokio::time::timeout(PATIENCE, command.output()).await.expect("boto3 does not end").unwrap();
    let found = String::from_utf8(if found.status.success() { found.stdout } else { found.stderr }).unwrap();
    serde_json::from_str(&found).unwrap_or_else(|_| panic!("{found}"))
}

#[tokio::test]
async fn who_has_no_credentials_is_told_why_and_what_to_do() {
    let nowhere = deployed("http://127.0.0.1:1");
    let own = Key { id: "AKIAEXAMPLE".to_owned(), secret: "the-secret".to_owned() };
    let vendor = Vendor::of(HashMap::new()).await;
    setups::all(nowhere.path(), &vendor, &own);
    setups::sign_off(nowhere.path());
    for (profile, why, what) in [
        ("none", "there is no profile \"none\"", "AWS_PROFILE"),
        ("sso", "the credentials of the profile \"sso\" cannot be fetched", "aws sso login --profile sso"),
        ("older-sso", "the credentials of the profile \"older-sso\"", "aws sso login --profile older-sso"),
        ("console", "aws login", "aws configure export-credentials --profile console"),
        ("failing", "exit status: 3. Stderr: why", "run its program by itself"),
        ("garbled", "cannot be fetched", "run its program by itself"),
        ("late", "have expired", "run its program by itself"),
        ("stranger", "(AccessDenied): you may not", "aws sts get-caller-identity --profile stranger"),
    ] {
        let service = |name| (name, vendor.url.clone());
        let services = [service("AWS_ENDPOINT_URL_STS"), service("AWS_ENDPOINT_URL_SSO")];
        let variables =
            Variables::from_iter([("AWS_PROFILE", profile.to_owned())].into_iter().chain(services));
        let done = invoke(&nowhere, &variables).await;
        assert!(!done.success() && done.stderr.contains(why), "{profile}: {done:?}");
        assert!(done.stderr.contains(what), "{profile}: {done:?}");
        assert!(!done.stderr.contains("hidden") && !done.stderr.contains(&own.secret), "{profile}: {done:?}");
    }
    let half = Variables::from([("AWS_ACCESS_KEY_ID", own.id)]);
    let done = invoke(&nowhere, &half).await;
    assert!(done.stderr.contains("AWS_SECRET_ACCESS_KEY is not"), "{done:?}");
    let done = invoke(&nowhere, &Variables::new()).await;
    assert!(done.stderr.contains("no credentials") && done.stderr.contains("keys create"), "{done:?}");
}

/// On another cloud somebody else answers at that address, whatever that is.
#[tokio::test]
async fn a_machine_is_asked_only_if_it_may_be_and_need_not_know_anything() {
    let nowhere = deployed("http://127.0.0.1:1");
    let vendor = Vendor::of(HashMap::new()).await;
    for disabled in [true, false] {
        let variables = Variables::from([
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", vendor.url.clone()),
            ("AWS_EC2_METADATA_DISABLED", disabled.to_string()),
        ]);
        let done = invoke(&nowhere, &variables).await;
        assert!(done.stderr.contains("no credentials") && done.stderr.contains("keys create"), "{done:?}");
        assert_eq!(vendor.asked().is_empty(), disabled, "{:?}", vendor.asked());
    }
}

/// On a laptop nobody answers who would on a machine of AWS.
#[tokio::test]
async fn a_machine_that_does_not_answer_is_asked_once_and_not_waited_for() {
    let nowhere = deployed("http://127.0.0.1:1");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let variables = Variables::from([
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint),
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
    ]);
    let began = Instant::now();
    let done = invoke(&nowhere, &variables).await;
    assert!(!done.success() && done.stderr.contains("no credentials"), "{done:?}");
    assert!(began.elapsed() < PATIENCE / 3, "{:?}", began.elapsed());
    silent.accept().await.unwrap();
    let again = tokio::time::timeout(std::time::Duration::ZERO, silent.accept()).await;
    assert!(again.is_err(), "it is asked again");
}

/// What a container or a machine hands out is nothing for whoever stands between here and the rest of the world.
#[tokio::test]
async fn services_are_reached_through_a_proxy_and_what_is_near_is_not() {
    let nowhere = deployed("http://127.0.0.1:1");
    let proxy = Vendor::of(HashMap::new()).await;
    let own = Key { id: "AKIAEXAMPLE".to_owned(), secret: "the-secret".to_owned() };
    setups::all(nowhere.path(), &proxy, &own);
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
    let without = ["NO_PROXY", "no_proxy"].map(|name| (name, String::new()));
    let proxies: Vec<_> = proxies.map(|name| (name, proxy.url.clone())).into_iter().chain(without).collect();
    let near = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/container".to_owned());
    let done = invoke(&nowhere, &Variables::from_iter(proxies.clone().into_iter().chain([near]))).await;
    assert!(done.stderr.contains("that the environment points to"), "{done:?}");
    assert_eq!(proxy.asked(), Vec::<String>::new());

    let far =
        [("AWS_PROFILE", "role".to_owned()), ("AWS_ENDPOINT_URL_STS", "https://sts.example.com".to_owned())];
    let done = invoke(&nowhere, &Variables::from_iter(proxies.into_iter().chain(far))).await;
    assert!(!done.success(), "{done:?}");
    assert_eq!(proxy.asked()[0], "CONNECT sts.example.com:443 HTTP/1.1");
}
