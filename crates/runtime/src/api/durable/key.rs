//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key), and what stands in for it.

use axum::http::HeaderMap;

use super::IDEMPOTENCY_KEY;
use crate::api::ApiError;
use crate::api::aws::SDK_INVOCATION_ID;

/// The longest key.
const LONGEST: usize = 255;

/// The key that a request came with.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(of_sdk(headers)) };
    let text = value.to_str().map_err(|_| ApiError::BadKey)?.trim();
    // The draft writes it as a string in quotes, and many clients leave them out.
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_key =
        (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if !is_key || values.next().is_some() {
        return Err(ApiError::BadKey);
    }
    Ok(Some(key.to_owned()))
}

/// What all keys begin with that SDKs make, in the store's index of them too. No other key holds a blank, so the two
/// never meet.
pub(in crate::api) const SDK: &str = "sdk ";

/// The key of a call that an SDK has named.
pub(in crate::api) fn sdk_key(id: &str) -> String {
    format!("{SDK}{id}")
}

/// AWS's SDKs name their calls anyway.
fn of_sdk(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(SDK_INVOCATION_ID)?.to_str().ok()?;
    (1..=LONGEST).contains(&id.len()).then(|| sdk_key(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn key(values: &[&str]) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        of(&headers).map_err(|_| ())
    }

    #[test]
    fn a_key_is_1_to_255_visible_characters_with_quotes_or_without() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["abc-1"]), Ok(Some("abc-1".into())));
        assert_eq!(key(&["\"abc-1\""]), Ok(Some("abc-1".into())));
        let longest = "k".repeat(LONGEST);
        assert_eq!(key(&[&longest]), Ok(Some(longest.clone())));
        for bad in ["", "\"\"", "\"unclosed", "a\"b", "a b", "ä", &"k".repeat(LONGEST + 1)] {
            assert_eq!(key(&[bad]), Err(()), "{bad:?}");
        }
        assert_eq!(key(&["one", "two"]), Err(()));
    }

    #[test]
    fn the_id_of_an_sdks_call_is_a_key_of_its_own_kind() {
        let mut headers = HeaderMap::new();
        headers.insert(SDK_INVOCATION_ID, HeaderValue::from_static("abc"));
        assert_eq!(of(&headers).ok().flatten().as_deref(), Some("sdk abc"));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("own"));
        assert_eq!(of(&headers).ok().flatten().as_deref(), Some("own"));
    }
}
