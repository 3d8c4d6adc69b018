//! A host for others: with TLS, access keys, and a record of who did what.

use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::support::{Host, PATIENCE, Project, python, session_id};

/// A call of boto3 as its users write it; the environment says where to and whom to trust.
const BOTO3: &str = r#"
import json, sys, boto3
agents = boto3.client("bedrock-agentcore", region_name="us-east-1")
answer = agents.invoke_agent_runtime(agentRuntimeArn="agent", runtimeSessionId=sys.argv[1], payload="{}")
print(json.dumps({"session": answer["runtimeSessionId"], "answer": answer["response"].read().decode()}))
"#;

/// A project whose host has a certificate for `localhost` and asks everybody.
struct Secured {
    project: Project,
    host: Host,
    /// The host, by the name in its certificate.
    url: String,
    authority: PathBuf,
}

impl Secured {
    async fn serve() -> Self {
        let project = Project::with_test_agent(&["-n", "agent"]).await;
        let authority = certificate(&project);
        std::fs::create_dir(project.path().join("code")).unwrap();
        let files = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--code-root", "code"];
        let host = project.serve(&[&files[..], &["--require-auth", "--on-shutdown", "stop"]].concat()).await;
        let url = host.url.replace("127.0.0.1", "localhost");
        assert!(url.starts_with("https://"), "{url}");
        Self { project, host, url, authority }
    }

    /// The environment of a caller with a new key.
    async fn caller(&self, rights: &[&str]) -> Vec<(&'static str, String)> {
        let create = [&["keys", "create", "--json", "--state", ".agentcore"], rights].concat();
        let key = self.project.json(&create).await;
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        vec![
            ("AWS_ACCESS_KEY_ID", text("access_key_id")),
            ("AWS_SECRET_ACCESS_KEY", text("secret_access_key")),
            ("AWS_CA_BUNDLE", self.authority.to_str().unwrap().to_owned()),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", self.url.clone()),
            ("AGENTCORE_ENDPOINT", self.url.clone()),
        ]
    }

    async fn end(self) {
        self.host.end(Signal::SIGTERM).await;
        self.project.expect_no_processes().await;
    }
}

/// Writes a certificate for `localhost` and its key, and returns the file with the root.
fn certificate(project: &Project) -> PathBuf {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate that is named like its issuer for a self-signed one.
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Private authority");
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate().unwrap();
    project.file("ca.pem", &authority.self_signed(&authority_key).unwrap().pem());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    let signed = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    project.file("cert.pem", &signed.pem());
    project.file("key.pem", &key.serialize_pem());
    project.path().join("ca.pem")
}

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

#[tokio::test]
async fn a_project_is_deployed_to_a_host_updated_and_invoked_there() {
    let secured = Secured::serve().await;
    let caller = secured.caller(&["--administer", "remote", "--invoke", "remote"]).await;
    let elsewhere = Project::with_test_agent(&["-n", "remote"]).await;

    let refused = elsewhere.run_with(&secured.caller(&["--invoke", "remote"]).await, &["deploy"]).await;
    assert!(refused.stderr.contains("does not allow you to administer"), "{refused:?}");
    let first = elsewhere.run_with(&caller, &["deploy"]).await;
    assert!(first.success() && first.stdout.starts_with("arn:aws:bedrock-agentcore:"), "{first:?}");
    assert!(first.stderr.contains("as version 1"), "{first:?}");
    let again = elsewhere.run_with(&caller, &["launch", "--env", "A=B"]).await;
    assert!(again.stderr.contains("as version 2") && again.stdout == first.stdout, "{again:?}");
    let configured = std::fs::read_to_string(elsewhere.path().join(".bedrock_agentcore.yaml")).unwrap();
    assert!(configured.contains(first.stdout.trim()) && configured.contains(&secured.url), "{configured}");

    let session = session_id("deployed");
    let answered = elsewhere.run_with(&caller, &["invoke", "{}", "-s", &session]).await;
    // The script becomes this test's binary, which walls hide from what was uploaded: that it was
    // started is all that can be told then.
    let was_started = answered.success() || answered.stderr.contains("The end of its log");
    assert!(was_started, "{answered:?}");
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
