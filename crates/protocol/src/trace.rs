//! W3C trace context: the `traceparent` header.

use std::fmt;

/// A parsed `traceparent` header: which trace a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Names the whole trace; never zero.
    pub trace_id: u128,
    /// Names the caller's span; never zero.
    pub parent_id: u64,
    /// Bit 0: the caller records this trace.
    pub flags: u8,
}

impl TraceParent {
    /// Parses the header's value. Whatever the specification says to ignore is `None`: a wrong
    /// length, upper-case digits, ids of zero, version `ff`. A future version is read as far as
    /// this one is known.
    pub fn parse(value: &str) -> Option<Self> {
        let (version, rest) = value.split_at_checked(2)?;
        let known = rest.get(..53)?;
        let future = &rest[53..];
        match hex(version, 2)? {
            0xff => return None,
            0 if !future.is_empty() => return None,
            _ if !future.is_empty() && !future.starts_with('-') => return None,
            _ => {}
        }
        let mut parts = known.strip_prefix('-')?.split('-');
        let (trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let parent = Self {
            trace_id: hex(trace_id, 32)?,
            parent_id: hex(parent_id, 16)? as u64,
            flags: hex(flags, 2)? as u8,
        };
        (parent.trace_id != 0 && parent.parent_id != 0).then_some(parent)
    }
}

fn hex(digits: &str, length: usize) -> Option<u128> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() != length || !digits.bytes().all(lower_hex) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specifications_example_is_read() {
        let parent = TraceParent::parse(EXAMPLE).unwrap();
        assert_eq!(parent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parent.parent_id, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(parent.flags, 1);
    }

    #[test]
    fn what_the_specification_forbids_is_ignored() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.extra",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_future_version_is_read_as_far_as_it_is_known() {
        let future = EXAMPLE.replacen("00", "01", 1) + "-more";
        assert!(TraceParent::parse(&future).is_some());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace_id in 1u128.., parent_id in 1u64.., flags: u8) {
            let parent = TraceParent { trace_id, parent_id, flags };
            prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = TraceParent::parse(&text);
        }
    }
}
