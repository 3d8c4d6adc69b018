//! Requests as a stranger writes them: whatever is let in was signed, all of it, with the secret.

use agentcore_auth::sigv4::{MAX_SKEW_SECONDS, SERVICE, SigV4Error, Verifier};
use http::Request;

use super::ROUNDS;
use super::request::{Claimed, parameters};
use crate::support::{VECTOR_TIME, judge};
use crate::vectors::parse;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "eu-west-1";
/// Where it stands in an input, the right signature is put: nothing that a fuzzer tries would find it.
const PLACE: &str = "{signature}";
/// What stands there while the right one is computed.
const ANY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn verdict(request: &Request<Vec<u8>>) -> Result<(), SigV4Error> {
    judge(&Verifier::new(REGION), SECRET, request, VECTOR_TIME)
}

/// The request, with the right signature where the input leaves its place.
fn signed(input: &str) -> Option<Request<Vec<u8>>> {
    let unsigned = parse(&input.replace(PLACE, ANY))?;
    let Some(claimed) = Claimed::of(&unsigned) else { return Some(unsigned) };
    let right = claimed.right(&unsigned, SECRET).swap_remove(0);
    parse(&input.replace(PLACE, &right))
}

fn changed(request: &Request<Vec<u8>>, change: impl FnOnce(&mut Request<Vec<u8>>)) -> Request<Vec<u8>> {
    let mut request = request.clone();
    change(&mut request);
    request
}

/// What must be true of every request that was let in.
fn check_accepted(request: &Request<Vec<u8>>) {
    let claimed = Claimed::of(request).expect("it says how it is signed");
    assert!(
        claimed.right(request, SECRET).contains(&claimed.signature),
        "the signature is another: {claimed:?}"
    );
    let scope: Vec<_> = claimed.credential.split('/').skip(1).collect();
    assert_eq!(scope, [&claimed.date[..8], REGION, SERVICE, "aws4_request"]);
    let signs = |name: &str| claimed.signed_headers.iter().any(|one| one == name);
    assert!(signs("host"), "the host is not signed");
    let unsigned =
        request.headers().keys().find(|name| name.as_str().starts_with("x-amz-") && !signs(name.as_str()));
    assert_eq!(unsigned, None);
    let once = |name: &[u8]| parameters(request).iter().filter(|(one, _)| one == name).count() <= 1;
    assert!(once(b"X-Amz-Signature") && once(b"X-Amz-Date") && once(b"X-Amz-Credential"));
    assert!(!request.uri().path().split('/').any(|segment| matches!(segment, "." | "..")));
    let other = changed(request, |request| *request.method_mut() = http::Method::PATCH);
    assert!(request.method() == http::Method::PATCH || verdict(&other).is_err(), "the method is not signed");
    assert!(judge(&Verifier::new(REGION), "another", request, VECTOR_TIME).is_err());
    assert!(judge(&Verifier::new("us-east-1"), SECRET, request, VECTOR_TIME).is_err());
    if !claimed.presigned {
        let longer = changed(request, |request| request.body_mut().push(b' '));
        assert!(verdict(&longer).is_err(), "the body is not signed");
        let later = VECTOR_TIME + 2 * MAX_SKEW_SECONDS + 1;
        assert!(judge(&Verifier::new(REGION), SECRET, request, later).is_err(), "it is good for ever");
    }
}

#[test]
fn fuzz_signature() {
    bolero::check!(name = "signature").with_iterations(ROUNDS).for_each(|input: &[u8]| {
        let request = std::str::from_utf8(input).ok().and_then(signed);
        if let Some(request) = request.filter(|request| verdict(request).is_ok()) {
            check_accepted(&request);
        }
    });
}

/// The seeds do reach what the fuzzer is to vary.
#[test]
fn the_seeds_of_the_fuzzer_are_let_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fuzz/__fuzz__/signature/corpus");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let seed = std::fs::read_to_string(&path).unwrap();
        assert_eq!(verdict(&signed(&seed).unwrap()), Ok(()), "{}", path.display());
    }
}
