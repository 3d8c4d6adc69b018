//! What is wrong below HTTP or beside it: requests that are signed rightly, and sent wrongly.

mod forger;
mod many;
mod signatures;
mod tokens;

use std::time::Duration;

use agentcore_auth::Rights;
use agentcore_auth::keys::KeyStore;
use agentcore_runtime::OnShutdown;
use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::callers::{INVOKE, asking_host, call, key, signed};
use crate::support::{Answer, Serving, TestHost, session_id};

const PATIENCE: Duration = Duration::from_secs(30);
const BODY: &str = r#"{"echo": 1}"#;
/// What a smuggler wants to have run.
const SMUGGLED: &str = "POST /invocations HTTP/1.1\r\nhost: agents.example\r\ncontent-length: 2\r\n\r\n{}";

/// A host that asks everybody, on its socket; and the head of a good request, line by line.
async fn serving(session: &str) -> (Serving, Vec<String>) {
    let host = TestHost::start_with(|options| {
        options.auth.required = true;
        options.on_shutdown = OnShutdown::Stop;
    })
    .await;
    let keys = KeyStore::open(host.folder.path(), None).unwrap();
    let key = key(&host, &keys, Rights::invoke(["tester"]));
    let (head, _) = signed(&host, &key, INVOKE, session, BODY).into_parts();
    let mut lines = vec![format!("POST {} HTTP/1.1", head.uri), "connection: close".to_owned()];
    lines.extend(head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    (host.serve(), lines)
}

/// All that the host answers to these bytes until it closes the connection.
async fn answer(host: &Serving, bytes: &[u8]) -> String {
    let mut stream = host.connect().await;
    // The host may close before it has read all of it.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the host waits for more");
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(head: &[String], more: &[&str], body: &str) -> Vec<u8> {
    let lines: Vec<&str> = head.iter().map(String::as_str).chain(more.iter().copied()).collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}

#[tokio::test]
async fn a_good_signature_does_not_help_a_request_that_can_be_read_in_two_ways() {
    let (host, head) = serving(&session_id("hostile")).await;
    let length = format!("content-length: {}", BODY.len());
    let other = "b\r\n{\"echo\": 2}\r\n0\r\n\r\n";
    let long = format!("x-long: {}", "x".repeat(1_000_000));
    let many = "x-many: 1\r\n".repeat(10_000) + "x-last: 1";
    let hostile: [(&[&str], &str); 16] = [
        (&["transfer-encoding: chunked, identity"], other),
        (&["transfer-encoding: gzip"], BODY),
        (&["transfer-encoding: chunked"], other),
        (&["transfer-encoding: chunked"], "fffffffffffffffff\r\n{}"),
        (&["transfer-encoding: chunked"], "-1\r\n{}\r\n0\r\n\r\n"),
        (&[&length, "content-length: 2"], BODY),
        (&["content-length: 11, 12"], BODY),
        (&["content-length: -11"], BODY),
        (&["content-length: 99999999999999999999999"], BODY),
        (&[&length, "host: elsewhere.example"], BODY),
        (&[&length, "x-amz-date : 20200101T000000Z"], BODY),
        (&[&length, "x-a: 1\r\n folded: 2\0"], BODY),
        (&[&length, "x-a: \0"], BODY),
        (&[&length, "no colon"], BODY),
        (&[&length, &long], BODY),
        (&[&length, &many], BODY),
    ];
    for (more, body) in hostile {
        let answered = answer(&host, &request(&head, more, body)).await;
        let shown = more.join("|").chars().take(80).collect::<String>();
        assert!(!answered.contains("HTTP/1.1 2"), "{shown}: {answered}");
    }
    let mut line = head.clone();
    for target in
        ["POST /runtimes/tester/invocations", "POST  / HTTP/1.1", "POST / HTTP/9.9", "\0", "GET / HTTP/1.1 x"]
    {
        line[0] = target.to_owned();
        let answered = answer(&host, &request(&line, &[&length], BODY)).await;
        assert!(!answered.contains("HTTP/1.1 2"), "{target}: {answered}");
    }
    let good = answer(&host, &request(&head, &[&length], BODY)).await;
    assert!(
        good.starts_with("HTTP/1.1 200") && good.contains(r#""count":1"#),
        "nothing has run before: {good}"
    );
    host.end().await;
}

/// A system throws an answer away that comes while its client still sends, and the connection ends.
#[tokio::test]
async fn who_is_refused_at_the_gate_is_told_so_after_a_long_body() {
    let (host, head) = serving(&session_id("long")).await;
    let body = "x".repeat(8_000_000);
    let length = format!("content-length: {}", body.len());
    let unsigned: Vec<_> = head.iter().filter(|line| !line.starts_with("authorization")).cloned().collect();
    let stale: Vec<_> = head.iter().map(|line| line.replace("Signature=", "Signature=00")).collect();
    for head in [unsigned, stale] {
        let mut stream = host.connect().await;
        stream.write_all(&request(&head, &[&length], &body)).await.expect("all of it is taken");
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().expect("the answer is whole");
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    host.end().await;
}

#[tokio::test]
async fn what_follows_a_signed_request_on_its_connection_has_to_be_signed_itself() {
    let (host, mut head) = serving(&session_id("follower")).await;
    head.remove(1);
    let length = format!("content-length: {}", BODY.len());
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let unsigned = SMUGGLED.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    // With two lengths the chunks count (RFC 9112), and nothing more is read from who sends both.
    let lengths: [(&[&str], &str, usize); 3] = [
        (&[&length], BODY, 2),
        (&[&length, "transfer-encoding: chunked"], &chunked, 1),
        (&["transfer-encoding: chunked", &length], &chunked, 1),
    ];
    for (more, body, answers) in lengths {
        let both = [request(&head, more, body), unsigned.clone().into_bytes()].concat();
        let answered = answer(&host, &both).await;
        assert!(answered.starts_with("HTTP/1.1 200"), "{more:?}: {answered}");
        assert_eq!(answered.matches("HTTP/1.1 ").count(), answers, "{more:?}: {answered}");
        assert_eq!(answered.matches("HTTP/1.1 403").count(), answers - 1, "{more:?}: {answered}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_overheard_is_of_no_use_after_five_minutes() {
    let (host, keys) = asking_host().await;
    let key = key(&host, &keys, Rights::invoke(["tester"]));
    let session = session_id("overheard");
    assert_eq!(call(&host, &key, INVOKE, &session, BODY).await.status, StatusCode::OK);
    let overheard = || signed(&host, &key, INVOKE, &session, BODY);
    let (now, later) = (overheard(), overheard());
    sleep(Duration::from_secs(299)).await;
    assert_eq!(host.send(now).await.status(), StatusCode::OK);
    sleep(Duration::from_secs(3)).await;
    let refused = Answer::of(host.send(later).await).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("Signature expired"), "{}", refused.text);
    host.end().await;
}
