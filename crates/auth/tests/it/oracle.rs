//! AWS's own signer for Rust as the oracle: what it signs is verified, and nothing else is.

use std::time::{Duration, UNIX_EPOCH};

use agentcore_auth::sigv4::Verifier;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;

use crate::support::{VECTOR_TIME, judge};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "eu-west-1";
/// For how many seconds presigned requests of these tests are good.
const EXPIRES: u64 = 600;

fn signed(request: Request<Vec<u8>>, presigned: bool) -> Request<Vec<u8>> {
    signed_by("AKEXAMPLE", SECRET, request, presigned)
}

/// Signs a request the way AWS's SDK for Rust does.
pub(crate) fn signed_by(
    id: &str,
    secret: &str,
    request: Request<Vec<u8>>,
    presigned: bool,
) -> Request<Vec<u8>> {
    signed_with(Credentials::new(id, secret, None, None, "test"), request, presigned)
}

/// The same with credentials that may have a session token.
pub(crate) fn signed_with(
    credentials: Credentials,
    mut request: Request<Vec<u8>>,
    presigned: bool,
) -> Request<Vec<u8>> {
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    if presigned {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(EXPIRES));
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(agentcore_auth::sigv4::SERVICE)
        .time(UNIX_EPOCH + Duration::from_secs(VECTOR_TIME))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .collect();
    let uri = request.uri().to_string();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body = request.body().clone();
    let signable =
        SignableRequest::new(request.method().as_str(), &uri, headers, SignableBody::Bytes(&body)).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    // Over the wire the target is a path, and the host a header.
    let authority = request.uri().authority().unwrap().as_str().to_owned();
    let path = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
    *request.uri_mut() = path;
    request.headers_mut().entry("host").or_insert(authority.parse().unwrap());
    request
}

/// Any request that a client could send.
fn requests() -> impl Strategy<Value = Request<Vec<u8>>> {
    let method = prop::sample::select(vec![Method::GET, Method::POST, Method::PUT, Method::DELETE]);
    let segments = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..12), 1..5);
    // The signer knows UTF-8 only in a query.
    let text = prop::collection::vec(any::<char>(), 0..6);
    let pairs = prop::collection::vec((text.clone(), text), 0..5);
    let headers = prop::collection::vec(("x-[a-z]{1,8}", "[!-~]([ -~]{0,20}[!-~])?"), 0..5);
    let body = prop::collection::vec(any::<u8>(), 0..64);
    (method, segments, any::<bool>(), pairs, headers, body).prop_map(
        |(method, segments, slash, pairs, headers, body)| {
            let encode = |bytes: &[u8]| percent_encode(bytes, NON_ALPHANUMERIC).to_string();
            let text = |text: &[char]| encode(text.iter().collect::<String>().as_bytes());
            let path = segments.iter().map(|segment| encode(segment)).collect::<Vec<_>>().join("/");
            let query: Vec<_> =
                pairs.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
            let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
            let slash = if slash { "/" } else { "" };
            let mut request =
                Request::builder().method(method).uri(format!("http://localhost:8080/{path}{slash}{query}"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request.body(body).unwrap()
        },
    )
}

/// One change to a request.
#[derive(Debug, Clone)]
enum Change {
    Method,
    PathByte(prop::sample::Index),
    LongerPath,
    QueryValue,
    Header(prop::sample::Index),
    NewAmzHeader,
    Body(prop::sample::Index, u8),
    LongerBody,
    Host,
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Method),
        any::<prop::sample::Index>().prop_map(Change::PathByte),
        Just(Change::LongerPath),
        Just(Change::QueryValue),
        any::<prop::sample::Index>().prop_map(Change::Header),
        Just(Change::NewAmzHeader),
        (any::<prop::sample::Index>(), 1..=255_u8).prop_map(|(index, by)| Change::Body(index, by)),
        Just(Change::LongerBody),
        Just(Change::Host),
    ]
}

fn with_target(request: &mut Request<Vec<u8>>, target: &str) {
    *request.uri_mut() = target.parse::<Uri>().unwrap();
}

fn change(request: &mut Request<Vec<u8>>, change: &Change) {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    match change {
        Change::Method => *request.method_mut() = Method::PATCH,
        Change::PathByte(index) => {
            let at = index.index(path.len());
            let other = if path.as_bytes()[at] == b'a' { 'b' } else { 'a' };
            let path = format!("/{}{other}{}", &path[..at].trim_start_matches('/'), &path[at + 1..]);
            with_target(request, &format!("{path}{query}"));
        }
        Change::LongerPath => with_target(request, &format!("{path}x{query}")),
        Change::QueryValue => {
            let joint = if query.is_empty() { "?" } else { "&" };
            with_target(request, &format!("{path}{query}{joint}another=1"));
        }
        Change::Header(index) => {
            let names: Vec<HeaderName> =
                request.headers().keys().filter(|name| name.as_str().starts_with("x-")).cloned().collect();
            let name =
                if names.is_empty() { http::header::HOST } else { names[index.index(names.len())].clone() };
            let mut value = request.headers()[&name].as_bytes().to_vec();
            value.push(b'1');
            request.headers_mut().insert(name, HeaderValue::from_bytes(&value).unwrap());
        }
        Change::NewAmzHeader => {
            request.headers_mut().insert("x-amz-new", HeaderValue::from_static("1"));
        }
        Change::Body(index, by) if !request.body().is_empty() => {
            let at = index.index(request.body().len());
            request.body_mut()[at] ^= by;
        }
        Change::Body(..) | Change::LongerBody => request.body_mut().push(0),
        Change::Host => {
            request.headers_mut().insert("host", HeaderValue::from_static("localhost:8081"));
        }
    }
}

proptest! {
    #[test]
    fn what_is_signed_is_verified(request in requests(), presigned: bool) {
        let request = signed(request, presigned);
        prop_assert_eq!(judge(&Verifier::new(REGION), SECRET, &request, VECTOR_TIME), Ok(()));
    }

    #[test]
    fn any_single_change_is_noticed(request in requests(), presigned: bool, one in changes()) {
        let mut request = signed(request, presigned);
        change(&mut request, &one);
        prop_assert!(judge(&Verifier::new(REGION), SECRET, &request, VECTOR_TIME).is_err(), "{:?}", request);
    }

    #[test]
    fn a_signature_is_good_for_its_time_only(request in requests(), presigned: bool, late in 0..2_000_u64) {
        let request = signed(request, presigned);
        let verifier = Verifier::new(REGION);
        let limit = if presigned { EXPIRES } else { 300 };
        let after = judge(&verifier, SECRET, &request, VECTOR_TIME + late);
        prop_assert_eq!(after.is_ok(), late <= limit, "{:?}", after);
        let before = judge(&verifier, SECRET, &request, VECTOR_TIME - late);
        prop_assert_eq!(before.is_ok(), late <= 300, "{:?}", before);
    }

    #[test]
    fn another_region_service_or_secret_is_refused(request in requests(), presigned: bool) {
        let request = signed(request, presigned);
        prop_assert!(judge(&Verifier::new("us-east-1"), SECRET, &request, VECTOR_TIME).is_err());
        prop_assert!(judge(&Verifier::for_service(REGION, "s3"), SECRET, &request, VECTOR_TIME).is_err());
        prop_assert!(judge(&Verifier::new(REGION), "another", &request, VECTOR_TIME).is_err());
    }
}
