//! The canonical request: the one spelling of a request that both sides hash.

use std::borrow::Cow;

use agentcore_protocol::headers;
use http::Uri;
use http::header::HOST;
use percent_encoding::{percent_encode, utf8_percent_encode};

use super::claim::SignedHeaders;
use super::encoding::{PATH, STRICT};
use super::{Head, SigV4Error, presigned};

/// The canonical request, but for the payload's hash, which is its last line.
pub(crate) fn head(head: &Head<'_>, signed: &SignedHeaders) -> Result<Vec<u8>, SigV4Error> {
    check_headers(head, signed)?;
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b'\n');
    push_path(&mut out, head.uri)?;
    out.push(b'\n');
    push_query(&mut out, head.uri);
    out.push(b'\n');
    push_headers(&mut out, head, signed)?;
    out.push(b'\n');
    out.extend_from_slice(signed.as_str().as_bytes());
    out.push(b'\n');
    Ok(out)
}

/// What says whose session a request is for. AWS's own client for WebSockets adds it to headers that it
/// has signed before, which it keeps to itself; a presigned URL is made to be given away, for what it names.
const NAMING: [&str; 2] = [headers::SESSION_ID, headers::USER_ID];

/// Every `x-amz-` header has to be signed, or somebody on the way could add one, and with a presigned
/// URL what names a session.
fn check_headers(head: &Head<'_>, signed: &SignedHeaders) -> Result<(), SigV4Error> {
    let is_presigned = presigned::is_presigned(head.uri);
    let must_be = |name: &str| name.starts_with("x-amz-") || is_presigned && NAMING.contains(&name);
    let unsigned = |name: &&str| must_be(name) && !signed.contains(name);
    match head.headers.keys().map(http::HeaderName::as_str).find(unsigned) {
        Some(name) => Err(SigV4Error::UnsignedHeader(name.to_owned())),
        None => Ok(()),
    }
}

/// The path as it came over the wire, encoded once more. Clients resolve `.`, `..` and empty segments
/// before they sign, and not all before they send: such a path would be verified in one spelling and
/// served in another, so it is refused.
fn push_path(out: &mut Vec<u8>, uri: &Uri) -> Result<(), SigV4Error> {
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    let inner = path.strip_prefix('/').ok_or(SigV4Error::AmbiguousPath)?;
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let has_other_spellings = |segment: &str| matches!(segment, "" | "." | "..");
    if path != "/" && inner.split('/').any(has_other_spellings) {
        return Err(SigV4Error::AmbiguousPath);
    }
    utf8_percent_encode(path, PATH).for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    Ok(())
}

/// The parameters, each decoded and encoded the one way, sorted by name and then by value.
fn push_query(out: &mut Vec<u8>, uri: &Uri) {
    if uri.query().is_none_or(str::is_empty) {
        return;
    }
    let encode = |bytes: &[u8]| percent_encode(bytes, STRICT).collect::<String>();
    let mut pairs: Vec<_> = presigned::parameters(uri)
        .filter(|(name, _)| **name != *presigned::SIGNATURE.as_bytes())
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

/// `name:value` lines, the values of one name joined with commas.
fn push_headers(out: &mut Vec<u8>, head: &Head<'_>, signed: &SignedHeaders) -> Result<(), SigV4Error> {
    for name in signed.names() {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let mut values =
            head.headers.get_all(name).iter().map(|value| Cow::Borrowed(value.as_bytes())).peekable();
        if name == HOST.as_str() && values.peek().is_none() {
            // HTTP/2 and absolute targets name the host in the target.
            let host = head.uri.authority().ok_or_else(|| SigV4Error::AbsentHeader(name.to_owned()))?;
            push_trimmed(out, host.as_str().as_bytes());
        } else if values.peek().is_none() {
            return Err(SigV4Error::AbsentHeader(name.to_owned()));
        }
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_trimmed(out, &value);
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Without white space at the ends, and one space for every run of it inside.
fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(uri: &Uri) -> String {
        let mut out = Vec::new();
        push_query(&mut out, uri);
        String::from_utf8(out).unwrap()
    }

    /// What a handler reads in a query, with another decoder than ours; in an order of its own.
    fn read(query: &str) -> Vec<(String, String)> {
        let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        pairs.retain(|(name, _)| name != presigned::SIGNATURE);
        pairs.sort();
        pairs
    }

    /// The canonical spelling is its own, and says what the query says: otherwise one request would
    /// be signed, and another one served.
    #[test]
    fn fuzz_query() {
        bolero::check!(name = "query").with_iterations(500).for_each(|input: &[u8]| {
            let Ok(uri) = Uri::try_from([b"/?", input].concat()) else { return };
            let once = canonical(&uri);
            let again = Uri::try_from(format!("/?{once}")).expect("a canonical query is one");
            assert_eq!(canonical(&again), once);
            assert_eq!(read(&once), read(uri.query().unwrap_or_default()));
            assert!(once.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%=&".contains(&byte)));
        });
    }
}
