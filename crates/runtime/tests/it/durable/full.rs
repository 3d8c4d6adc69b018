//! A disk without room.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use super::{cancel, ended, invoke_async, location};
use crate::support::{TestHost, eventually, session_id};

/// A small file system of its own.
struct Disk(TempDir);

impl Disk {
    /// `None` where none can be mounted; never in CI.
    #[allow(clippy::print_stdout, reason = "whoever runs the tests is to know")]
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={size}");
        // No program is started for it: until its exec it would hold the locks of other tests' hosts.
        match mount(Some("none"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some(&*size)) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "cannot mount, and must in CI: {error}"
                );
                println!("skipped: no file system can be mounted here: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_clearly_and_what_was_acknowledged_is_kept() {
    let Some(disk) = Disk::mount("8m") else { return };
    let host = TestHost::start_with(|options| options.state = disk.path().join("state")).await;
    let session = session_id("a");
    let before = location(&invoke_async(&host, &session, "{}").await);
    ended(&host, &before).await;
    let running = location(&invoke_async(&host, &session, r#"{"do":"stream","items":20}"#).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    disk.fill();
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(500_000));
    let refused = invoke_async(&host, &session, &large).await;
    assert_eq!(refused.status, StatusCode::INSUFFICIENT_STORAGE, "{refused:?}");
    assert!(refused.text.contains("make room"), "{refused:?}");
    // The database may have a little room left in its own files.
    let mut acknowledged = Vec::new();
    let refused = loop {
        let answer = invoke_async(&host, &session, "{}").await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        acknowledged.push(location(&answer));
    };
    assert_eq!(refused.status, StatusCode::INSUFFICIENT_STORAGE, "{refused:?}");
    let running_still = host.get(&running).await.json();
    assert_eq!(running_still["state"], "running", "{running_still}");
    tokio::time::sleep(Duration::from_secs(30)).await;
    disk.make_room();
    let record = ended(&host, &running).await;
    assert_eq!((&record["state"], &record["answer"]["complete"]), (&"completed".into(), &true.into()));
    let text = host.get(&format!("{running}/answer")).await.text;
    assert!(text.ends_with("data: 19\n\n"), "{text}");
    for location in &acknowledged {
        assert_eq!(ended(&host, location).await["state"], "completed");
    }
    let host = host.restart().await;
    for location in [&before, &running] {
        assert_eq!(host.get(location).await.json()["state"], "completed");
    }
    let again = location(&invoke_async(&host, &session, "{}").await);
    assert_eq!(ended(&host, &again).await["state"], "completed");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_on_a_full_disk_is_done_and_on_record_once_there_is_room() {
    let Some(disk) = Disk::mount("8m") else { return };
    let host = TestHost::start_with(|options| options.state = disk.path().join("state")).await;
    let (session, other) = (session_id("a"), session_id("b"));
    host.invoke(&other, "{}").await;
    let running = location(&invoke_async(&host, &session, r#"{"do":"stream","items":1000}"#).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    disk.fill();
    while invoke_async(&host, &session, "{}").await.status == StatusCode::ACCEPTED {}
    let cancelled = cancel(&host, &running).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::ACCEPTED, &"running".into()));
    let stop = format!("/_agentcore/v1/sessions/{other}/stop");
    assert_eq!(host.request(Method::POST, &stop).await.status, StatusCode::ACCEPTED);
    tokio::time::sleep(Duration::from_secs(60)).await;
    disk.make_room();
    assert_eq!(ended(&host, &running).await["state"], "cancelled");
    let reason = async || host.show(&other).await["reason"]["kind"].clone();
    eventually("the stop is on record", async || reason().await == "StopRequested").await;
    let host = host.restart().await;
    assert_eq!(host.show(&other).await["reason"]["kind"], "StopRequested");
    host.end().await;
}
