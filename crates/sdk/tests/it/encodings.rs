//! Payloads in every encoding that JSON readers know.

use bedrock_agentcore::App;
use serde_json::{Value, json};

use crate::support::{invoke, service};

#[tokio::test]
async fn a_byte_order_mark_and_the_wider_encodings_are_accepted() {
    let service = service(App::new().entrypoint(async |payload: Value| payload));
    let text = r#"{"prompt":"é𝄞"}"#;
    for marked in [text.to_owned(), format!("\u{feff}{text}")] {
        let utf16 = |bytes: fn(u16) -> [u8; 2]| marked.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let utf32 = |bytes: fn(u32) -> [u8; 4]| {
            marked.chars().flat_map(|letter| bytes(letter.into())).collect::<Vec<u8>>()
        };
        for body in [
            marked.clone().into_bytes(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            utf32(u32::to_le_bytes),
            utf32(u32::to_be_bytes),
        ] {
            let answer = invoke(&service, body).await;
            assert_eq!(answer.json(), json!({"prompt": "é𝄞"}));
        }
    }
}

#[tokio::test]
async fn half_a_character_is_an_invalid_encoding() {
    let service = service(App::new().entrypoint(async |payload: Value| payload));
    let lone_surrogate = [0xff, 0xfe, b'"', 0, 0x00, 0xd8, b'"', 0];
    let answer = invoke(&service, lone_surrogate.to_vec()).await;
    assert_eq!(answer.status, 400);
    let expected = json!({
        "error": "Invalid encoding",
        "details": "not UTF-16: it looks like it, but is cut short or holds half a character",
    });
    assert_eq!(answer.json(), expected);
    let beyond_unicode = [0xff, 0xfe, 0, 0, 0, 0, 0x11, 0];
    assert_eq!(invoke(&service, beyond_unicode.to_vec()).await.json()["error"], "Invalid encoding");
}

#[tokio::test]
async fn a_mark_alone_is_an_empty_body() {
    let service = service(App::new().entrypoint(async |payload: Value| payload));
    for mark in [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"] {
        assert_eq!(invoke(&service, mark).await.json()["error"], "Invalid JSON");
    }
}
