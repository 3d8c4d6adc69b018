//! Percent-encoding as SigV4 has it, and hexadecimal numbers.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Everything but the unreserved characters is encoded.
pub(crate) const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As [`STRICT`], but slashes stay: for paths.
pub(crate) const PATH: &AsciiSet = &STRICT.remove(b'/');

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends `bytes` in lower-case hexadecimal.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Reads 64 lower-case hexadecimal digits. Upper case is refused: a signature has one spelling.
pub(crate) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways_and_has_one_spelling() {
        let bytes: [u8; 32] = std::array::from_fn(|index| (index * 9) as u8);
        let mut text = Vec::new();
        push_hex(&mut text, &bytes);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(parse_hex(&text), Some(bytes));
        assert_eq!(parse_hex(&text.to_uppercase()), None);
        assert_eq!(parse_hex(&text[1..]), None);
        assert_eq!(parse_hex(&format!("{text}0")), None);
    }
}
