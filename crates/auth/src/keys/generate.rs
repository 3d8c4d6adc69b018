//! Random ids, secrets and keys.

use zeroize::Zeroizing;

use super::KeyError;

/// What the ids of our keys begin with. AWS's begin with `AKIA`: ours cannot be taken for them.
const PREFIX: &str = "AKAC";
/// Of an id, as AWS's: 20 characters, upper-case letters and digits 2 to 7.
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const ID_RANDOM: usize = 16;
/// Of a secret: 40 characters that need no quoting in a shell, 240 random bits.
const SECRET_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SECRET_RANDOM: usize = 40;

/// Whether a text has the form of an id of our keys.
pub fn is_access_key_id(text: &str) -> bool {
    let random = text.strip_prefix(PREFIX);
    random.is_some_and(|text| text.len() == ID_RANDOM && text.bytes().all(|byte| ID_ALPHABET.contains(&byte)))
}

pub(super) fn id() -> Result<String, KeyError> {
    Ok(format!("{PREFIX}{}", &*text::<ID_RANDOM>(ID_ALPHABET)?))
}

pub(super) fn secret() -> Result<Zeroizing<String>, KeyError> {
    text::<SECRET_RANDOM>(SECRET_ALPHABET)
}

pub(super) fn bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

/// `N` characters of an alphabet whose length divides 256, so that each is as likely as another.
fn text<const N: usize>(alphabet: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    let bytes = bytes::<N>()?;
    let mut text = Zeroizing::new(String::with_capacity(N));
    text.extend(bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_secrets_have_the_shape_of_awss() {
        let (id, secret) = (id().unwrap(), secret().unwrap());
        assert!(id.starts_with("AKAC") && id.len() == 20, "{id}");
        assert_eq!(secret.len(), 40);
        assert!(
            is_access_key_id(&id) && !is_access_key_id("AKIAABCDEFGHIJKLMNOP") && !is_access_key_id("AKAC")
        );
        assert_ne!(*secret, *super::secret().unwrap());
    }
}
