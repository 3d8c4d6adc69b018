//! Streams that can be rejoined.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;

use super::{ended, invoke_async, location};
use crate::support::{Answer, TestHost, eventually, session_id};

fn events(location: &str, last: Option<&str>) -> Request<Body> {
    let mut request = Request::get(format!("{location}/events")).header("host", "localhost");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.body(Body::empty()).unwrap()
}

/// The numbers of a stream of events, and whether it came to its end.
fn numbers(text: &str) -> (Vec<u64>, bool) {
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok());
    (ids.collect(), text.contains("event: end\ndata: {"))
}

#[tokio::test(start_paused = true)]
async fn items_are_numbered_and_a_dropped_client_goes_on_where_it_was() {
    let host = TestHost::start().await;
    let location = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":5}"#).await);
    let mut first = host.send(events(&location, None)).await.into_body();
    let mut seen = String::new();
    while !seen.contains("id: 2") {
        seen.push_str(
            std::str::from_utf8(first.frame().await.unwrap().unwrap().data_ref().unwrap()).unwrap(),
        );
    }
    drop(first);
    assert!(seen.starts_with("data: 0\nid: 1\n\ndata: 1\nid: 2\n\n"), "{seen}");
    let rest = Answer::of(host.send(events(&location, Some("2"))).await).await;
    assert_eq!(numbers(&rest.text), (vec![3, 4, 5], true));
    assert!(rest.text.starts_with("data: 2\nid: 3\n\n"));
    // And long after its end, too.
    let again = Answer::of(host.send(events(&location, None)).await).await;
    assert_eq!(numbers(&again.text), (vec![1, 2, 3, 4, 5], true));
    assert!(again.text.contains(r#""state":"completed""#), "{again:?}");
    let end = Answer::of(host.send(events(&location, Some("5"))).await).await;
    assert_eq!(numbers(&end.text), (vec![], true));
    let kept = host.get(&format!("{location}/answer")).await;
    assert_eq!(kept.text, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_number_from_the_future_is_refused() {
    let host = TestHost::start().await;
    let location = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":50}"#).await);
    eventually("it streams", async || {
        host.send(events(&location, Some("2"))).await.status() == StatusCode::OK
    })
    .await;
    for (last, says) in [
        ("49", "There is no item 49"),
        ("first", "Last-Event-ID"),
        ("-1", "Last-Event-ID"),
        ("+2", "Last-Event-ID"),
    ] {
        let refused = Answer::of(host.send(events(&location, Some(last))).await).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text.contains(says), "{refused:?}");
    }
    super::cancel(&host, &location).await;
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_item_of_any_length_comes_whole_and_with_its_number() {
    let host = TestHost::start().await;
    let payload = r#"{"do":"long_item","bytes":1000000}"#;
    let location = location(&invoke_async(&host, &session_id("a"), payload).await);
    let item = format!("data: {}\nid: 2\n\n", "x".repeat(1_000_000));
    // While it comes in, and once it is kept.
    for _ in 0..2 {
        let all = Answer::of(host.send(events(&location, None)).await).await;
        assert!(all.text.starts_with(&format!("data: 1\nid: 1\n\n{item}data: 3\nid: 3\n\nevent: end")));
        ended(&host, &location).await;
    }
    let rest = Answer::of(host.send(events(&location, Some("1"))).await).await;
    assert!(rest.text.starts_with(&item));
    let rest = Answer::of(host.send(events(&location, Some("2"))).await).await;
    assert_eq!(numbers(&rest.text), (vec![3], true));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_stream_has_an_end_and_no_items() {
    let host = TestHost::start().await;
    let location = location(&invoke_async(&host, &session_id("a"), r#"{"do":"sleep","ms":40000}"#).await);
    let mut body = host.send(events(&location, None)).await.into_body();
    let silence = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(silence, ": waiting\n\n");
    ended(&host, &location).await;
    let end = body.collect().await.unwrap().to_bytes();
    assert_eq!(numbers(std::str::from_utf8(&end).unwrap()), (vec![], true));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_holds_up_neither_the_agent_nor_others() {
    let host = TestHost::start().await;
    let location = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":30}"#).await);
    let idle = host.send(events(&location, None)).await.into_body();
    let all = Answer::of(host.send(events(&location, None)).await).await;
    assert_eq!(numbers(&all.text).0.len(), 30);
    assert_eq!(ended(&host, &location).await["state"], "completed");
    let late = idle.collect().await.unwrap().to_bytes();
    assert_eq!(late, all.text, "what was not read is not lost");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_never_given_is_refused_after_the_end_too() {
    let host = TestHost::start().await;
    let stream = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":3}"#).await);
    let longer = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":5}"#).await);
    let plain = location(&invoke_async(&host, &session_id("a"), "{}").await);
    for location in [&stream, &longer, &plain] {
        ended(&host, location).await;
    }
    for (location, last, says) in [
        (&stream, "4", "There is no item 4"),
        // The last one of the other stream.
        (&stream, "5", "There is no item 5"),
        (&plain, "1", "There is no item 1"),
        (&stream, "18446744073709551616", "Last-Event-ID"),
        (&stream, "", "Last-Event-ID"),
        (&stream, "1, 2", "Last-Event-ID"),
    ] {
        let refused = Answer::of(host.send(events(location, Some(last))).await).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{last}: {refused:?}");
        assert!(refused.text.contains(says), "{refused:?}");
    }
    let end = Answer::of(host.send(events(&stream, Some("3"))).await).await;
    assert_eq!(numbers(&end.text), (vec![], true));
    let unknown = "/_agentcore/v1/invocations/018b0000-0000-739b-aea5-966c26f8ad91";
    for location in [unknown, "/_agentcore/v1/invocations/none"] {
        let answer = host.send(events(location, Some("1"))).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_stream_that_is_cancelled_gets_its_items_and_its_end() {
    let host = TestHost::start().await;
    let location = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":50}"#).await);
    let reader = host.send(events(&location, None)).await.into_body();
    eventually("it streams", async || {
        host.send(events(&location, Some("2"))).await.status() == StatusCode::OK
    })
    .await;
    super::cancel(&host, &location).await;
    let read = reader.collect().await.unwrap().to_bytes();
    let read = std::str::from_utf8(&read).unwrap();
    let (given, is_over) = numbers(read);
    assert!(is_over && given.len() >= 2 && given.len() < 50, "{read}");
    assert!(read.contains(r#""state":"cancelled""#), "{read}");
    // And whoever comes later reads the same.
    let again = Answer::of(host.send(events(&location, None)).await).await;
    assert_eq!(again.text, read);
    let last = given.len().to_string();
    let end = Answer::of(host.send(events(&location, Some(&last))).await).await;
    assert_eq!(numbers(&end.text), (vec![], true));
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_gone_for_those_who_come_and_whole_for_who_reads_it() {
    let host = TestHost::start().await;
    // More than is read ahead.
    let payload = r#"{"do":"long_item","bytes":1000000}"#;
    let location = location(&invoke_async(&host, &session_id("a"), payload).await);
    ended(&host, &location).await;
    let whole = Answer::of(host.send(events(&location, None)).await).await;
    let reader = host.send(events(&location, None)).await.into_body();
    assert_eq!(host.request(Method::DELETE, &location).await.status, StatusCode::NO_CONTENT);
    assert_eq!(host.send(events(&location, Some("1"))).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(reader.collect().await.unwrap().to_bytes(), whole.text);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_head_waits_for_nothing_and_a_range_is_answered_with_all() {
    let host = TestHost::start().await;
    let location = location(&invoke_async(&host, &session_id("a"), r#"{"do":"stream","items":3}"#).await);
    let head = host.request(Method::HEAD, &format!("{location}/events")).await;
    assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
    assert_eq!(head.headers["content-type"], "text/event-stream; charset=utf-8");
    ended(&host, &location).await;
    let head = host.request(Method::HEAD, &format!("{location}/answer")).await;
    assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
    assert_eq!(head.headers["content-length"], "27");
    let mut request = events(&location, None);
    request.headers_mut().insert("range", "bytes=3-5".parse().unwrap());
    let whole = Answer::of(host.send(request).await).await;
    assert_eq!((whole.status, numbers(&whole.text)), (StatusCode::OK, (vec![1, 2, 3], true)));
    host.end().await;
}
