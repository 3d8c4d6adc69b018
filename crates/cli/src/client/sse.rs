//! Reading server-sent events as they come in.

/// Takes bytes in whatever pieces they come, and gives back the data of each event that is whole.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    line: Vec<u8>,
    data: Option<String>,
    after_carriage_return: bool,
}

impl EventReader {
    /// Takes more bytes in.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for &byte in bytes {
            // A line ends with \n, \r, or both.
            let second_half = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => events.extend(self.end_of_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    /// The event that the stream ended in the middle of, if any. The standard drops it; an answer
    /// that was cut short is better shown.
    pub(crate) fn finish(mut self) -> Option<String> {
        self.end_of_line().or(self.data)
    }

    fn end_of_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        let line = String::from_utf8_lossy(&line);
        let value = match line.split_once(':') {
            Some(("data", value)) => value.strip_prefix(' ').unwrap_or(value),
            None if line == "data" => "",
            _ => return None,
        };
        match &mut self.data {
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut reader = EventReader::default();
        let events = pieces.iter().flat_map(|piece| reader.feed(piece)).collect();
        (events, reader.finish())
    }

    #[test]
    fn events_end_with_an_empty_line_whatever_the_line_ends() {
        let text = b": hello\r\ndata: {\"a\": 1}\r\n\r\nevent: x\ndata:two\ndata: lines\n\ndata\r\r";
        let (events, rest) = read(&[text]);
        assert_eq!(events, ["{\"a\": 1}", "two\nlines", ""]);
        assert_eq!(rest, None);
    }

    #[test]
    fn a_stream_that_was_cut_short_shows_what_came() {
        assert_eq!(read(&[b"data: 1\n\ndata: ha"]), (vec!["1".to_owned()], Some("ha".to_owned())));
        assert_eq!(read(&[b"data: 1\n"]), (vec![], Some("1".to_owned())));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            text in "(data: ?[a-zé\u{1F600}]{0,6}|event: x|:c|data|)((\r\n)|\r|\n){0,3}{0,12}",
            cut in 0usize..64,
        ) {
            let bytes = text.as_bytes();
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read(&[left, right]), read(&[bytes]));
            prop_assert_eq!(read(&single), read(&[bytes]));
        }

        #[test]
        fn what_is_sent_is_read(items in prop::collection::vec("[^\r\n]{0,20}", 0..8)) {
            let text: String = items.iter().map(|item| format!("data: {item}\n\n")).collect();
            prop_assert_eq!(read(&[text.as_bytes()]), (items, None));
        }
    }

    /// The events of a whole stream, read a second time and plainly: lines first, and then fields.
    fn plainly(stream: &[u8]) -> (Vec<String>, Option<String>) {
        let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut data) = (Vec::new(), None::<Vec<&str>>);
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let last = lines.peek().is_none();
            match line.split_once(':').unwrap_or((line, "")) {
                ("", "") if line.is_empty() && !last => {
                    events.extend(data.take().map(|data| data.join("\n")));
                }
                ("data", value) => {
                    data.get_or_insert_default().push(value.strip_prefix(' ').unwrap_or(value));
                }
                _ => {}
            }
        }
        (events, data.map(|data| data.join("\n")))
    }

    /// A stream says the same, however it is cut.
    #[test]
    fn fuzz_server_sent_events() {
        bolero::check!(name = "server_sent_events").with_iterations(300).for_each(|input: &[u8]| {
            let [cut, stream @ ..] = input else { return };
            let pieces: Vec<_> = stream.chunks(usize::from(*cut).max(1)).collect();
            assert_eq!(read(&pieces), plainly(stream));
        });
    }
}
