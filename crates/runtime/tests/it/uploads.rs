//! Code that was uploaded: how long it stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentcore_auth::Rights;
use agentcore_auth::keys::{AccessKey, KeyStore};
use axum::http::StatusCode;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::callers::{INVOKE, call, key};
use crate::support::{TestHost, eventually, session_id};

const HOUR: Duration = Duration::from_secs(3_600);
const A_WHILE: Duration = Duration::from_secs(5 * 60);

/// A host with a code root, and somebody who may upload.
struct Uploading {
    host: TestHost,
    key: Arc<AccessKey>,
}

impl Uploading {
    async fn start() -> Self {
        let host = TestHost::start_with(|options| {
            let root = options.state.join("code");
            std::fs::create_dir_all(&root).unwrap();
            options.code_root = Some(root);
            options.auth.required = true;
            options.timeouts.stop_grace = 2 * A_WHILE;
        })
        .await;
        let keys = KeyStore::open(host.folder.path(), None).unwrap();
        let key = key(&host, &keys, Rights::operator());
        Self { host, key }
    }

    /// Uploads a program, and returns its folder.
    async fn upload(&self, content: &str) -> PathBuf {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, "agent", content.as_bytes()).unwrap();
        let archive = tar.into_inner().unwrap().finish().unwrap();
        let hash: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = format!("PUT /_agentcore/v1/code/writer/{hash}");
        let answer = call(&self.host, &self.key, &path, "", &archive).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.json()["folder"].as_str().unwrap().into()
    }

    /// Registers what was uploaded.
    async fn register(&self, what: &str, folder: &std::path::Path) {
        let uri = format!("file://{}/agent", folder.display());
        let request = json!({
            "agentRuntimeName": "writer",
            "agentRuntimeArtifact": {"containerConfiguration": {"containerUri": uri}},
            "roleArn": "arn:aws:iam::123456789012:role/agent",
        });
        let answer = call(&self.host, &self.key, what, "", request.to_string()).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }

    async fn invoke(&self, session: &str) -> StatusCode {
        let invoke = INVOKE.replace("tester", "writer");
        call(&self.host, &self.key, &invoke, session, "{}").await.status
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_stays_while_a_version_has_it_and_goes_after_a_while_when_none_does() {
    let at = Uploading::start().await;
    let first = at.upload("1").await;
    at.register("PUT /runtimes/", &first).await;
    let second = at.upload("2").await;
    at.register("PUT /runtimes/writer/", &second).await;
    let unused = at.upload("3").await;
    tokio::time::sleep(HOUR / 2).await;
    assert!(unused.exists(), "its time is not over");
    assert_eq!(at.upload("3").await, unused);
    tokio::time::sleep(HOUR * 3 / 4).await;
    assert!(unused.exists(), "it began anew");
    eventually("it goes", async || {
        tokio::time::sleep(A_WHILE).await;
        !unused.exists()
    })
    .await;
    tokio::time::sleep(HOUR).await;
    assert!(first.exists() && second.exists(), "both versions can be run");
    assert_eq!(std::fs::read_dir(first.parent().unwrap()).unwrap().count(), 4, "two, with their marks");
    let host = at.host.restart().await;
    tokio::time::sleep(2 * HOUR).await;
    assert!(first.exists() && second.exists());
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_of_a_deleted_agent_goes_once_no_session_has_it() {
    let at = Uploading::start().await;
    let upload = at.upload("1").await;
    at.register("PUT /runtimes/", &upload).await;
    assert_eq!(at.invoke(&session_id("stubborn")).await, StatusCode::OK);
    at.host.kind.agents()[0].ignore_terminate();
    let deleted = call(&at.host, &at.key, "DELETE /runtimes/writer/", "", "").await;
    assert!(deleted.status.is_success(), "{deleted:?}");
    tokio::time::sleep(A_WHILE).await;
    assert!(upload.exists(), "its session still ends");
    tokio::time::sleep(2 * A_WHILE).await;
    assert_eq!(at.host.kind.running(), 0);
    eventually("it goes", async || {
        tokio::time::sleep(A_WHILE).await;
        !upload.exists()
    })
    .await;
    at.host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_of_another_host_is_let_be() {
    let at = Uploading::start().await;
    let (ours, theirs) = (at.upload("1").await, at.upload("2").await);
    std::fs::write(theirs.with_extension("host"), "/var/lib/another").unwrap();
    eventually("ours goes", async || {
        tokio::time::sleep(A_WHILE).await;
        !ours.exists()
    })
    .await;
    tokio::time::sleep(HOUR).await;
    assert!(theirs.exists());
    at.host.end().await;
}
