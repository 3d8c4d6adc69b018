use std::os::unix::fs::PermissionsExt;

use agentcore_protocol::{Clock, Timestamp};

use super::*;

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_123)
    }
}

fn record(status: u16) -> AuditRecord {
    AuditRecord {
        time: Still.now(),
        principal: Some("key:ci".to_owned()),
        action: "InvokeAgentRuntime".into(),
        status: Some(status),
        ..AuditRecord::default()
    }
}

fn log(state: &Path, options: AuditOptions) -> AuditLog {
    AuditLog::open(state, options, HostClock::start(Arc::new(Still))).unwrap()
}

fn lines(state: &Path) -> Vec<AuditRecord> {
    let text: String = files(state).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_line_is_json_with_what_is_known_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), AuditOptions::default());
    log.record(record(200));
    log.flush().await;
    let text = std::fs::read_to_string(path(folder.path())).unwrap();
    let line = r#"{"time":"2023-11-14T22:13:20.123Z","principal":"key:ci","action":"InvokeAgentRuntime","status":200}"#;
    assert_eq!(text, format!("{line}\n"));
    assert_eq!(lines(folder.path()), [record(200)]);
    let mode = std::fs::metadata(path(folder.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn full_files_make_way_and_no_more_than_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), AuditOptions { file_bytes: 250, files: 3 });
    for number in 200..210 {
        log.record(record(number));
        log.flush().await;
    }
    assert_eq!(files(folder.path()).len(), 3);
    let kept = lines(folder.path());
    assert_eq!(kept, (204..210).map(record).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_begun_anew_and_others_may_append() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), AuditOptions::default());
    log.record(record(1));
    log.flush().await;
    std::fs::rename(path(folder.path()), folder.path().join("archived")).unwrap();
    log.record(record(2));
    log.flush().await;
    append(folder.path(), &record(3)).unwrap();
    assert_eq!(lines(folder.path()), [record(2), record(3)]);
}

#[tokio::test(start_paused = true)]
async fn refused_strangers_cannot_push_out_what_others_did_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), AuditOptions::default());
    let stranger = AuditRecord { principal: None, ..record(403) };
    for _ in 0..1_000 {
        log.record(stranger.clone());
    }
    log.record(record(1));
    log.flush().await;
    let written = lines(folder.path());
    let strangers = written.iter().filter(|line| line.principal.is_none() && line.lost.is_none()).count();
    assert_eq!(strangers, STRANGERS_PER_SECOND as usize);
    assert!(written.contains(&record(1)));
    let lost: u64 = written.iter().filter_map(|line| line.lost).sum();
    assert_eq!(lost, 1_000 - u64::from(STRANGERS_PER_SECOND));
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_once_it_can_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let log = log(&state, AuditOptions::default());
    std::fs::rename(&state, folder.path().join("elsewhere")).unwrap();
    for number in 0..3 {
        log.record(record(number));
        log.flush().await;
    }
    std::fs::create_dir(&state).unwrap();
    log.record(record(4));
    log.flush().await;
    let written = lines(&state);
    assert_eq!(written[0], record(4));
    assert_eq!(written[1].lost, Some(3));
}
