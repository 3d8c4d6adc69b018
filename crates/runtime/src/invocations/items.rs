//! The items of a stream of server-sent events.

/// Cuts a stream into its items, however its bytes come in.
#[derive(Debug, Default)]
pub(crate) struct Items {
    block: Vec<u8>,
    /// Where the line begins that is coming in.
    line: usize,
    has_data: bool,
    after_return: bool,
    count: u64,
}

/// One event, as a client reads it again: its lines, without the empty one that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// 1, 2, 3, ...
    pub(crate) number: u64,
    pub(crate) lines: Vec<u8>,
}

impl Items {
    /// How many have come in.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Takes what comes next of the stream, and gives the items that it completes.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut complete: impl FnMut(Item)) {
        for &byte in bytes {
            let follows_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                // A line ends with either, or with both.
                b'\n' if follows_return => {}
                b'\n' | b'\r' => complete_line(self, &mut complete),
                _ => self.block.push(byte),
            }
        }
    }
}

fn complete_line(items: &mut Items, complete: &mut impl FnMut(Item)) {
    let line = &items.block[items.line..];
    if !line.is_empty() {
        items.has_data |= line == b"data" || line.starts_with(b"data:");
        items.block.push(b'\n');
        items.line = items.block.len();
        return;
    }
    let lines = std::mem::take(&mut items.block);
    items.line = 0;
    // Without data it is a comment, which clients never see.
    if std::mem::take(&mut items.has_data) {
        items.count += 1;
        complete(Item { number: items.count, lines });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(pieces: &[&[u8]]) -> Vec<String> {
        let (mut cut, mut found) = (Items::default(), Vec::new());
        for piece in pieces {
            cut.feed(piece, |item| {
                assert_eq!(item.number as usize, found.len() + 1);
                found.push(String::from_utf8(item.lines).unwrap());
            });
        }
        found
    }

    #[test]
    fn an_item_is_what_a_client_would_hear_of() {
        let stream = b"data: one\n\n: still there\n\nevent: x\r\ndata: two\r\ndata\r\n\r\n\n\ndata: three\r\rdata: cut";
        assert_eq!(items(&[stream]), ["data: one\n", "event: x\ndata: two\ndata\n", "data: three\n"]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come_in(
            stream in "(data: [a-c]{0,3}|: c|event: e|\r\n|\n|\r){0,30}",
            cuts in proptest::collection::vec(0_usize..200, 0..8),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(items(&pieces), items(&[bytes]));
        }
    }
}
