//! AWS's published vectors.

use std::fs;
use std::path::{Path, PathBuf};

use agentcore_auth::sigv4::{SigV4Error, Verifier};
use http::Request;
use serde_json::Value;

use crate::support::{VECTOR_TIME, judge};

/// No HTTP request can have this target.
const NOT_HTTP: &[&str] = &["get-space-normalized"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sigv4")
}

/// A request as the vectors write it. `None` when its target is not one.
pub(crate) fn parse(text: &str) -> Option<Request<Vec<u8>>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let line = lines.next()?.strip_suffix(" HTTP/1.1")?;
    let (method, target) = line.split_once(' ')?;
    // What a parser of HTTP does with a header on several lines.
    let headers = lines.collect::<Vec<_>>().join("\n").replace("\n  ", "  ");
    let mut request = Request::builder().method(method).uri(target.as_bytes());
    for header in headers.lines() {
        let (name, value) = header.split_once(':')?;
        request = request.header(name, value);
    }
    request.body(body.as_bytes().to_vec()).ok()
}

/// What must come of a vector. A session token that was added after the request was signed is refused as a header,
/// and in a query it is not what was signed.
fn expected(name: &str, file: &str, target: &str) -> Result<(), SigV4Error> {
    let path = target.split('?').next().unwrap_or_default();
    let other_spellings = path != "/" && (path.contains("//") || path.contains("/."));
    match (name, file) {
        ("post-sts-header-after", "header-signed-request.txt") => {
            Err(SigV4Error::UnsignedHeader("x-amz-security-token".to_owned()))
        }
        ("post-sts-header-after", _) => Err(SigV4Error::Mismatch),
        _ if other_spellings => Err(SigV4Error::AmbiguousPath),
        _ => Ok(()),
    }
}

#[test]
fn every_published_vector_is_judged_as_aws_does_or_refused_for_a_reason() {
    let verifier = Verifier::for_service("us-east-1", "service");
    let mut judged = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap();
        let context: Value = serde_json::from_str(&read("context.json")).unwrap();
        // AgentCore's paths are normalized before they are signed; the others are for S3.
        if context["normalize"] == false || NOT_HTTP.contains(&name.as_str()) {
            continue;
        }
        let secret = context["credentials"]["secret_access_key"].as_str().unwrap();
        for file in ["header-signed-request.txt", "query-signed-request.txt"] {
            let request = parse(&read(file)).unwrap_or_else(|| panic!("{name}/{file}"));
            let target = request.uri().to_string();
            let verdict = judge(&verifier, secret, &request, VECTOR_TIME);
            assert_eq!(verdict, expected(&name, file, &target), "{name}/{file}: {target}");
            let other = judge(&verifier, "another secret", &request, VECTOR_TIME);
            assert!(other.is_err(), "{name}/{file}");
            judged += 1;
        }
    }
    assert_eq!(judged, 60);
}
