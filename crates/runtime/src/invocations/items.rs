//! The items of a stream of server-sent events.

use std::ops::Range;

/// How much of one item is held until its end has come in; a longer one is read again then.
const MOST_HELD: usize = 256 * 1024;
/// How a line begins that has data.
const DATA: &[u8; 5] = b"data:";

/// Cuts a stream into its items, however its bytes come in.
#[derive(Debug, Default)]
pub(crate) struct Items {
    lines: Vec<u8>,
    is_long: bool,
    line: Line,
    has_data: bool,
    after_return: bool,
    count: u64,
    /// How many bytes have come in, and how many before the item that is coming in.
    position: u64,
    begin: u64,
}

/// The line that is coming in.
#[derive(Debug, Default)]
struct Line {
    length: usize,
    head: [u8; DATA.len()],
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// 1, 2, 3, ...
    pub(crate) number: u64,
    pub(crate) lines: Lines,
}

/// The lines of an event, without the empty one that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lines {
    /// As a client reads them again.
    Held(Vec<u8>),
    /// Where they are in the stream, as the agent has written them. There is no end to how long an
    /// item can be, and it is not to be in memory for each of its readers.
    At(Range<u64>),
}

impl Items {
    /// How many have come in.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Takes what comes next of the stream, and gives the items that it completes.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut complete: impl FnMut(Item)) {
        for &byte in bytes {
            self.position += 1;
            let follows_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                // A line ends with either, or with both.
                b'\n' if follows_return => {}
                b'\n' | b'\r' if self.line.length == 0 => self.complete(&mut complete),
                b'\n' | b'\r' => {
                    self.has_data |= std::mem::take(&mut self.line).is_data();
                    self.hold(b'\n');
                }
                _ => {
                    self.line.add(byte);
                    self.hold(byte);
                }
            }
        }
    }

    fn hold(&mut self, byte: u8) {
        if self.lines.len() == MOST_HELD {
            self.is_long = true;
            self.lines = Vec::new();
        }
        if !self.is_long {
            self.lines.push(byte);
        }
    }

    /// An empty line has come in.
    fn complete(&mut self, complete: &mut impl FnMut(Item)) {
        let lines = match std::mem::take(&mut self.is_long) {
            true => Lines::At(self.begin..self.position - 1),
            false => Lines::Held(std::mem::take(&mut self.lines)),
        };
        self.begin = self.position;
        // Without data it is a comment, which clients never see.
        if std::mem::take(&mut self.has_data) {
            self.count += 1;
            complete(Item { number: self.count, lines });
        }
    }
}

impl Line {
    fn add(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    fn is_data(&self) -> bool {
        self.head == *DATA || (self.length == 4 && self.head[..4] == DATA[..4])
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
                let Lines::Held(lines) = item.lines else { panic!("not held: {item:?}") };
                found.push(String::from_utf8(lines).unwrap());
            });
        }
        found
    }

    #[test]
    fn an_item_is_what_a_client_would_hear_of() {
        let stream = b"data: one\n\n: still there\n\nevent: x\r\ndata: two\r\ndata\r\n\r\n\n\ndata: three\r\rdata: cut";
        assert_eq!(items(&[stream]), ["data: one\n", "event: x\ndata: two\ndata\n", "data: three\n"]);
    }

    #[test]
    fn a_long_item_is_not_held_and_has_its_number_and_its_place() {
        let long = format!("data: {}\r\n", "x".repeat(2 * MOST_HELD));
        let stream = format!("data: one\n\n{long}\r\ndata: three\n\n");
        let (mut cut, mut found) = (Items::default(), Vec::new());
        for piece in stream.as_bytes().chunks(1_000) {
            cut.feed(piece, |item| found.push(item));
            assert!(cut.lines.capacity() <= 2 * MOST_HELD);
        }
        assert_eq!(found.iter().map(|item| item.number).collect::<Vec<_>>(), [1, 2, 3]);
        let Lines::At(place) = found[1].lines.clone() else { panic!("it is held") };
        assert_eq!(&stream[place.start as usize..place.end as usize], long);
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
