//! What handlers may return, and how they may fail.

use std::io;

use axum::response::IntoResponse;
use bedrock_agentcore::{App, HandlerError, Response, StatusCode};
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::{invoke, invoke_app, service, status};

#[derive(Serialize)]
struct Reply {
    status: &'static str,
    task_id: Option<u64>,
}

#[tokio::test]
async fn a_struct_a_unit_and_a_raw_value_are_json() {
    let app = App::new().entrypoint(async |_: Value| Reply { status: "started", task_id: None });
    assert_eq!(invoke_app(app, "{}").await.brief(), (200, r#"{"status":"started","task_id":null}"#));
    let app = App::new().entrypoint(async |_: Value| ());
    assert_eq!(invoke_app(app, "{}").await.brief(), (200, "null"));
    let app = App::new().entrypoint(async |payload: Box<RawValue>| payload);
    assert_eq!(invoke_app(app, "{ \"kept\" :  1.0 }").await.brief(), (200, "{ \"kept\" :  1.0 }"));
}

#[tokio::test]
async fn a_raw_value_holds_what_any_other_type_could_read() {
    let app = App::new().entrypoint(async |payload: Box<RawValue>| payload.get().len());
    let service = service(app);
    let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(invoke(&service, nested(127)).await.brief(), (200, "254"));
    for no_json in [nested(100_000), "{".into(), "1e400".into(), r#"["\ud800"]"#.into()] {
        let answer = invoke(&service, no_json).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("Invalid JSON")));
    }
}

#[tokio::test]
async fn an_error_of_any_kind_is_a_500_with_its_message() {
    let io =
        App::new().entrypoint(async |_: Value| -> io::Result<u8> { Err(io::Error::other("disk on fire")) });
    assert_eq!(invoke_app(io, "1").await.brief(), (500, r#"{"error":"disk on fire"}"#));
    let anyhow = App::new().entrypoint(async |_: Value| -> anyhow::Result<u8> { anyhow::bail!("no model") });
    assert_eq!(invoke_app(anyhow, "1").await.brief(), (500, r#"{"error":"no model"}"#));
    let text = App::new().entrypoint(async |_: Value| Err::<u8, String>("a \"quote\"".into()));
    assert_eq!(invoke_app(text, "1").await.brief(), (500, r#"{"error":"a \"quote\""}"#));
    let boxed =
        App::new().entrypoint(async |_: Value| -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
            Err("boxed".into())
        });
    assert_eq!(invoke_app(boxed, "1").await.brief(), (500, r#"{"error":"boxed"}"#));
    let good = App::new().entrypoint(async |n: u8| Ok::<_, io::Error>(n));
    assert_eq!(invoke_app(good, "1").await.brief(), (200, "1"));
}

#[tokio::test]
async fn a_status_is_found_through_layers_of_context() {
    let app = App::new().entrypoint(async |layers: usize| -> anyhow::Result<()> {
        let error = HandlerError::new(StatusCode::NOT_FOUND, "no such document");
        Err((0..layers).fold(anyhow::Error::from(error), |error, n| error.context(format!("layer {n}"))))
    });
    let service = service(app);
    assert_eq!(invoke(&service, "0").await.brief(), (404, r#"{"error":"no such document"}"#));
    assert_eq!(invoke(&service, "3").await.brief(), (404, r#"{"error":"layer 2"}"#));
    let plain = App::new()
        .entrypoint(async |_: Value| Err::<(), _>(HandlerError::new(StatusCode::IM_A_TEAPOT, "short")));
    assert_eq!(invoke_app(plain, "1").await.brief(), (418, r#"{"error":"short"}"#));
}

#[tokio::test]
async fn a_whole_response_is_sent_as_it_is_and_so_is_one_in_a_result() {
    async fn created(_: Value) -> Response {
        (StatusCode::CREATED, [("x-kind", "own")], "made").into_response()
    }
    let answer = invoke_app(App::new().entrypoint(created), "1").await;
    assert_eq!((answer.brief(), answer.header("x-kind")), ((201, "made"), "own"));
    let app = App::new().entrypoint(async |fine: bool| -> Result<Response, HandlerError> {
        match fine {
            true => Ok("fine".into_response()),
            false => Err(HandlerError::new(StatusCode::CONFLICT, "not fine")),
        }
    });
    let service = service(app);
    assert_eq!(invoke(&service, "true").await.brief(), (200, "fine"));
    assert_eq!(invoke(&service, "false").await.brief(), (409, r#"{"error":"not fine"}"#));
}

#[tokio::test]
async fn a_result_of_a_stream_streams_or_fails() {
    let app = App::new().entrypoint(async |fine: bool| match fine {
        true => Ok(stream::iter([1, 2])),
        false => Err(io::Error::other("no stream")),
    });
    let service = service(app);
    assert_eq!(invoke(&service, "true").await.brief(), (200, "data: 1\n\ndata: 2\n\n"));
    assert_eq!(invoke(&service, "false").await.brief(), (500, r#"{"error":"no stream"}"#));
}

#[tokio::test]
async fn what_json_cannot_hold_is_told_with_200() {
    let app = App::new().entrypoint(async |_: Value| std::collections::HashMap::from([((1, 2), 3)]));
    let expected = r#"{"error":"Serialization failed","original_type":"HashMap"}"#;
    assert_eq!(invoke_app(app, "1").await.brief(), (200, expected));
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_server_lives() {
    async fn handler(payload: Value) -> Value {
        assert!(payload.is_number(), "a number was promised");
        payload
    }
    let service = service(App::new().entrypoint(handler));
    let expected = r#"{"error":"a number was promised"}"#;
    assert_eq!(invoke(&service, "null").await.brief(), (500, expected));
    assert_eq!(invoke(&service, "1").await.brief(), (200, "1"));
    assert_eq!(status(&service).await, "Healthy");
}

#[tokio::test]
async fn a_panic_while_the_answer_is_serialized_is_a_500_too() {
    struct Bomb;
    impl Serialize for Bomb {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("boom")
        }
    }
    let app = App::new().entrypoint(async |_: Value| Bomb);
    assert_eq!(invoke_app(app, "1").await.brief(), (500, r#"{"error":"boom"}"#));
}

#[tokio::test]
async fn a_blocking_handler_may_block_fail_and_panic() {
    let app = App::new().blocking_threads(1).entrypoint_blocking(|n: i64| {
        assert!(n != 0, "not zero");
        if n < 0 { Err(HandlerError::new(StatusCode::BAD_REQUEST, "negative")) } else { Ok(json!({"n": n})) }
    });
    let service = service(app);
    assert_eq!(invoke(&service, "1").await.brief(), (200, r#"{"n":1}"#));
    assert_eq!(invoke(&service, "-1").await.brief(), (400, r#"{"error":"negative"}"#));
    assert_eq!(invoke(&service, "0").await.brief(), (500, r#"{"error":"not zero"}"#));
    assert_eq!(invoke(&service, "{").await.status, 400);
    assert_eq!(invoke(&service, "2").await.brief(), (200, r#"{"n":2}"#), "the thread lives");
}

#[tokio::test]
async fn ping_does_not_wait_for_blocking_handlers_that_fill_their_threads() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let app = App::new().blocking_threads(1).entrypoint_blocking(move |n: u8| {
        begun.send(n).unwrap();
        released.lock().unwrap().recv().unwrap();
        n
    });
    let service = service(app);
    let first = tokio::spawn({
        let service = service.clone();
        async move { invoke(&service, "1").await }
    });
    has_begun.recv().await.unwrap();
    let second = tokio::spawn({
        let service = service.clone();
        async move { invoke(&service, "2").await }
    });
    assert_eq!(status(&service).await, "Healthy");
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap().text(), "1");
    assert_eq!(second.await.unwrap().text(), "2");
}

#[tokio::test]
async fn a_blocking_handler_may_block_on_the_runtime_and_stream() {
    let app = App::new().entrypoint_blocking(|n: u8| {
        let n = tokio::runtime::Handle::current().block_on(async { n + 1 });
        stream::iter([n, n + 1])
    });
    assert_eq!(invoke_app(app, "1").await.text(), "data: 2\n\ndata: 3\n\n");
}
