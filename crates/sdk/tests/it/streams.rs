//! Streams as server-sent events.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bedrock_agentcore::{App, Body, Tasks};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{invocation, invoke_app, send, service, status};

async fn next_text(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.expect("a frame").into_data().expect("data");
    Some(String::from_utf8(frame.into()).expect("UTF-8"))
}

#[tokio::test]
async fn each_item_is_an_event_of_compact_json() {
    let app = App::new()
        .entrypoint(async |_: Value| stream::iter([json!({"a": [1, 2]}), json!("x\ny"), json!(null)]));
    let answer = invoke_app(app, "{}").await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(answer.brief(), (200, "data: {\"a\":[1,2]}\n\ndata: \"x\\ny\"\n\ndata: null\n\n"));
}

#[tokio::test]
async fn an_empty_stream_is_200_without_a_byte() {
    let app = App::new().entrypoint(async |_: Value| stream::empty::<u8>());
    assert_eq!(invoke_app(app, "{}").await.brief(), (200, ""));
}

#[tokio::test]
async fn a_raw_value_with_line_ends_stays_one_event() {
    let app = App::new().entrypoint(async |_: Value| {
        let pretty = RawValue::from_string("{\n\n\"a\":\r\n1}".into()).unwrap();
        stream::iter([pretty])
    });
    assert_eq!(invoke_app(app, "{}").await.text(), "data: {  \"a\":  1}\n\n");
}

#[tokio::test]
async fn a_stream_that_fails_midway_ends_with_the_documented_event() {
    let app = App::new()
        .entrypoint(async |_: Value| stream::iter([Ok(1), Err(io::Error::other("disk on fire")), Ok(3)]));
    let expected = concat!(
        "data: 1\n\n",
        r#"data: {"error":"disk on fire","error_type":"Error","message":"An error occurred during streaming"}"#,
        "\n\n"
    );
    assert_eq!(invoke_app(app, "{}").await.brief(), (200, expected));
}

#[tokio::test]
async fn errors_that_are_texts_or_anyhows_end_a_stream_too() {
    let app = App::new().entrypoint(async |_: Value| stream::iter([Ok(1), Err("out of luck".to_owned())]));
    assert!(invoke_app(app, "{}").await.text().contains(r#"{"error":"out of luck","error_type":"Error""#));
    let app = App::new().entrypoint(async |_: Value| stream::iter([Ok(1), Err(anyhow::anyhow!("no model"))]));
    assert!(invoke_app(app, "{}").await.text().contains(r#"{"error":"no model","error_type":"Error""#));
}

#[tokio::test]
async fn a_panicking_stream_ends_with_the_same_event_and_the_server_lives() {
    let app = App::new()
        .entrypoint(async |_: Value| stream::iter(0..3).map(|n| if n == 1 { panic!("at one") } else { n }));
    let service = service(app);
    let expected = concat!(
        "data: 0\n\n",
        r#"data: {"error":"at one","error_type":"panic","message":"An error occurred during streaming"}"#,
        "\n\n"
    );
    assert_eq!(crate::support::invoke(&service, "{}").await.brief(), (200, expected));
    assert_eq!(status(&service).await, "Healthy");
}

#[tokio::test(start_paused = true)]
async fn silence_is_kept_alive_with_comments_and_an_item_restarts_the_clock() {
    let app = App::new().keep_alive(Duration::from_secs(10)).entrypoint(async |_: Value| {
        stream::iter([25, 5, 12]).then(async |silence| {
            tokio::time::sleep(Duration::from_secs(silence)).await;
            silence
        })
    });
    let mut body = send(&service(app), invocation("{}")).await.into_body();
    let begun = Instant::now();
    let mut seen = Vec::new();
    while let Some(text) = next_text(&mut body).await {
        seen.push((begun.elapsed().as_secs(), text));
    }
    let comment = ": keep-alive\n\n".to_owned();
    let event = |n: u8| format!("data: {n}\n\n");
    assert_eq!(
        seen,
        [
            (10, comment.clone()),
            (20, comment.clone()),
            (25, event(25)),
            (30, event(5)),
            (40, comment),
            (42, event(12))
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_beyond_all_clocks_means_never() {
    let app = App::new().keep_alive(Duration::MAX).entrypoint(async |_: Value| {
        stream::iter([1, 2]).then(async |n| {
            tokio::time::sleep(Duration::from_secs(86_400)).await;
            n
        })
    });
    assert_eq!(invoke_app(app, "{}").await.text(), "data: 1\n\ndata: 2\n\n");
}

fn counted(produced: &Arc<AtomicUsize>) -> impl Stream<Item = String> + Send + use<> {
    let produced = Arc::clone(produced);
    stream::repeat_with(move || {
        produced.fetch_add(1, Ordering::SeqCst);
        "x".repeat(1000)
    })
}

#[tokio::test]
async fn a_stream_is_not_polled_before_the_client_takes_more() {
    let produced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&produced);
    let app = App::new().entrypoint(move |_: Value| {
        let items = counted(&count);
        async { items }
    });
    let mut body = send(&service(app), invocation("{}")).await.into_body();
    assert_eq!(produced.load(Ordering::SeqCst), 0);
    next_text(&mut body).await.unwrap();
    let one_batch = produced.load(Ordering::SeqCst);
    assert!((1..=20).contains(&one_batch), "{one_batch}");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_stream_back() {
    let produced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&produced);
    let app = App::new().entrypoint(move |_: Value| {
        let items = counted(&count);
        async { items }
    });
    let server = crate::support::Server::start(app).await;
    let mut client = server.client().await;
    client.ask("{}").await;
    client.until("data: ").await;
    // The server runs on this very thread: it has gone as far as it can once it leaves the count
    // alone for a good many turns.
    let mut last = 0;
    loop {
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        let now = produced.load(Ordering::SeqCst);
        if now == last {
            break;
        }
        last = now;
    }
    assert!(last < 30_000, "{last} items of 1 kB are ahead of a client that reads none");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_streams_code_knows_its_app() {
    let app = App::new().entrypoint(async |_: Value| {
        stream::iter([()]).map(|()| {
            let tasks = Tasks::current().expect("the app whose stream this is");
            tasks.task("from a stream").start().complete("ok");
            tasks.finished().len()
        })
    });
    assert_eq!(invoke_app(app, "{}").await.text(), "data: 1\n\n");
}
