//! The contract's rows on `/invocations` and `/ping`, byte for byte.

use bedrock_agentcore::{App, Body};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, invoke, invoke_app, ping, send, service};

async fn echo(payload: Value) -> Value {
    payload
}

#[tokio::test]
async fn an_answer_is_compact_json_in_its_own_order_without_ascii_escapes() {
    let answer = invoke_app(App::new().entrypoint(echo), r#"{ "b" : [1, 2.50], "a": "é\u00e9\n" }"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json(), json!({"b": [1, 2.5], "a": "éé\n"}));
    assert_eq!(answer.text().find(' '), None);
    assert!(answer.text().contains("éé\\n"), "{}", answer.text());
}

#[tokio::test]
async fn any_json_value_is_a_payload() {
    for payload in ["null", "1", "\"x\"", "[1]", "true", "{}"] {
        let answer = invoke_app(App::new().entrypoint(echo), payload).await;
        assert_eq!(answer.brief(), (200, payload));
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_told_where() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let long = "9".repeat(5000);
    let cases: [(&str, &str); 9] = [
        ("", "EOF while parsing a value at line 1 column 0"),
        (" ", "EOF while parsing a value at line 1 column 1"),
        ("nope", "expected ident at line 1 column 2"),
        ("{\"a\":1", "EOF while parsing an object at line 1 column 6"),
        ("{} {}", "trailing characters at line 1 column 4"),
        ("NaN", "expected value at line 1 column 1"),
        (r#"{"a":"\ud800"}"#, "unexpected end of hex escape at line 1 column 13"),
        (&deep, "recursion limit exceeded at line 1 column 128"),
        (&long, "number out of range at line 1 column 5000"),
    ];
    let service = service(App::new().entrypoint(echo));
    for (payload, details) in cases {
        let answer = invoke(&service, payload.to_owned()).await;
        let expected = json!({"error": "Invalid JSON", "details": details});
        assert_eq!((answer.status.as_u16(), answer.json()), (400, expected), "{payload:.20}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.text().starts_with(r#"{"error":"Invalid JSON","details":"#), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_an_invalid_encoding() {
    let answer = invoke_app(App::new().entrypoint(echo), &b"{\"a\":\"\xff\"}"[..]).await;
    let expected = r#"{"error":"Invalid encoding","details":"not UTF-8: invalid utf-8 sequence of 1 bytes from index 6"}"#;
    assert_eq!(answer.brief(), (400, expected));
}

#[tokio::test]
async fn json_that_the_handler_does_not_take_is_told_what_is_missing() {
    #[derive(serde::Deserialize)]
    struct Event {
        #[allow(dead_code)]
        prompt: String,
    }
    let app = App::new().entrypoint(async |_: Event| ());
    let answer = invoke_app(app, "{}").await;
    let expected = r#"{"error":"Invalid payload","details":"missing field `prompt` at line 1 column 2"}"#;
    assert_eq!(answer.brief(), (400, expected));
}

#[tokio::test]
async fn without_an_entrypoint_the_callers_mistakes_come_first() {
    let service = service(App::new());
    let none = (500, r#"{"error":"No entrypoint defined"}"#);
    assert_eq!(invoke(&service, "{}").await.brief(), none);
    assert_eq!(invoke(&service, "{").await.status, 400);
    assert_eq!(invoke(&service, "").await.status, 400);
    assert_eq!(invoke(&service, &b"\xff"[..]).await.status, 400);
}

#[tokio::test]
async fn the_requests_content_type_is_ignored() {
    let service = service(App::new().entrypoint(echo));
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        let request = Request::post("/invocations").header("content-type", content_type);
        let answer = Answer::of(send(&service, request.body("[1]".into()).unwrap()).await).await;
        assert_eq!(answer.brief(), (200, "[1]"));
    }
}

#[tokio::test]
async fn a_payload_may_have_the_limit_and_not_a_byte_more() {
    let service = service(App::new().max_payload(10).entrypoint(echo));
    let full = r#""12345678""#;
    assert_eq!(invoke(&service, full).await.brief(), (200, full));
    let expected = r#"{"error":"Payload too large","details":"a payload has at most 10 bytes: send less, or send a reference to it"}"#;
    assert_eq!(invoke(&service, r#""123456789""#).await.brief(), (413, expected));
}

#[tokio::test]
async fn a_large_payload_in_another_encoding_is_read_off_the_io_threads() {
    let app = App::new().entrypoint(async |text: String| text.len());
    let utf16: Vec<u8> =
        format!("\"{}\"", "x".repeat(1 << 20)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(invoke_app(app, utf16).await.brief(), (200, "1048576"));
}

#[tokio::test]
async fn other_methods_are_405_with_those_that_would_do() {
    let service = service(App::new().entrypoint(echo));
    for (path, allowed) in [("/invocations", "POST"), ("/ping", "GET, HEAD"), ("/ws", "GET")] {
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let answer = Answer::of(send(&service, request).await).await;
            assert_eq!(answer.brief(), (405, "Method Not Allowed"));
            assert_eq!(answer.header("allow"), allowed);
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        }
    }
    let get = Request::get("/invocations").body(Body::empty()).unwrap();
    assert_eq!(send(&service, get).await.status(), 405);
}

#[tokio::test]
async fn other_paths_are_404() {
    let service = service(App::new().entrypoint(echo));
    for path in ["/", "/pings", "/invocations/", "/INVOCATIONS", "/ping/x"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = Answer::of(send(&service, request).await).await;
        assert_eq!(answer.brief(), (404, "Not Found"), "{path}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    // A query changes nothing.
    let request = Request::get("/ping?x=1").body(Body::empty()).unwrap();
    assert_eq!(send(&service, request).await.status(), 200);
}

#[tokio::test]
async fn ping_is_compact_json_in_the_documented_order() {
    let clock = crate::support::HandClock::default();
    clock.set_seconds(1_700_000_000);
    let service = service(App::with_clock(clock));
    let request = Request::get("/ping").body(Body::empty()).unwrap();
    let answer = Answer::of(send(&service, request).await).await;
    assert_eq!(answer.brief(), (200, r#"{"status":"Healthy","time_of_last_update":1700000000}"#));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(ping(&service).await["status"], "Healthy");
}
