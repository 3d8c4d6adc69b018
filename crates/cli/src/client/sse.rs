//! Reading server-sent events as they come in.

/// An event with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// What kind of event it is, unless it is a plain message.
    pub(crate) name: Option<String>,
    /// The id that came with it.
    pub(crate) id: Option<String>,
    /// What it says.
    pub(crate) data: String,
}

/// Takes bytes in whatever pieces they come, and gives back each event that is whole.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    line: Vec<u8>,
    name: Option<String>,
    id: Option<String>,
    data: Option<String>,
    last_id: Option<String>,
    after_carriage_return: bool,
}

impl EventReader {
    /// Takes more bytes in, for those who want the data alone.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        self.events(bytes).into_iter().map(|event| event.data).collect()
    }

    /// The id of the last event that was whole: where to go on after a dropped connection.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes more bytes in.
    pub(crate) fn events(&mut self, bytes: &[u8]) -> Vec<Event> {
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
        let whole = self.end_of_line().map(|event| event.data);
        whole.or(self.data)
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.end_of_event();
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = Some(value.to_owned()),
            "id" => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }

    /// One without data is none, but its id counts.
    fn end_of_event(&mut self) -> Option<Event> {
        let (name, id) = (self.name.take(), self.id.take());
        if id.is_some() {
            self.last_id.clone_from(&id);
        }
        self.data.take().map(|data| Event { name, id, data })
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
    fn an_event_has_a_name_and_an_id_and_the_last_id_is_that_of_a_whole_event() {
        let mut reader = EventReader::default();
        let events = reader.events(b"event: tick\ndata: 1\nid: 7\n\n: nothing\nid: 8\n\ndata: 2\nid: 9\n");
        let tick = Event { name: Some("tick".into()), id: Some("7".into()), data: "1".into() };
        assert_eq!(events, [tick]);
        assert_eq!(reader.last_id(), Some("8"));
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
