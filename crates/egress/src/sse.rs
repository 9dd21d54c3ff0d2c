//! Server-sent events as model providers and tool servers stream them: bytes in, events out.
//!
//! The parser follows the format of the HTML standard (section 9.2) where it matters and is more forgiving where
//! servers are careless: an event that the stream ends in without a blank line is handed out all the same.

use std::time::Duration;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` line; empty where there was none.
    pub name: String,
    /// The `data:` lines, joined with line feeds.
    pub data: String,
}

/// An event is larger than the parser was told to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Cuts a stream of bytes into events. How the bytes are cut makes no difference to the events.
#[derive(Debug)]
pub struct Parser {
    max_event_bytes: usize,
    line: Vec<u8>,
    /// The line feed of a CR LF pair may come with the next bytes.
    after_carriage_return: bool,
    lines: u64,
    event: SseEvent,
    has_data: bool,
    last_event_id: Option<String>,
    retry: Option<Duration>,
}

impl Parser {
    pub const fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            after_carriage_return: false,
            lines: 0,
            event: SseEvent { name: String::new(), data: String::new() },
            has_data: false,
            last_event_id: None,
            retry: None,
        }
    }

    /// Returns the newest `id:` of the stream, by which a server that keeps its events can go on after it.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Returns how long the server wants a client to wait before it connects again.
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Returns how many lines were complete so far, comments included: a sign of life of the other side.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes more bytes and returns the events that they completed.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<SseEvent>, TooLarge> {
        let mut events = Vec::new();
        while let Some((&first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_carriage_return) && first == b'\n' {
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
            self.keep(part)?;
            let Some((&terminator, rest)) = rest.split_first() else { break };
            self.after_carriage_return = terminator == b'\r';
            bytes = rest;
            events.extend(self.end_line());
        }
        Ok(events)
    }

    /// Ends the stream and returns the event that was not closed by a blank line, if there is one.
    pub fn finish(mut self) -> Option<SseEvent> {
        if let Some(event) = self.end_line() {
            return Some(event);
        }
        self.dispatch()
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooLarge> {
        let size = self.line.len().saturating_add(self.event.data.len()).saturating_add(part.len());
        if size > self.max_event_bytes {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = std::mem::take(&mut self.line);
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if self.lines == 0 => rest,
            _ => line.as_slice(),
        };
        self.lines = self.lines.saturating_add(1);
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // An id with a NUL is to be ignored. Whoever sends it back needs one that a header can hold.
            "id" if !value.contains('\0') => self.last_event_id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // A comment, or nothing that anybody reads.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

/// Parses a whole stream.
#[cfg(test)]
fn parse(chunks: &[&[u8]]) -> Vec<SseEvent> {
    let mut parser = Parser::new(1 << 20);
    let mut events: Vec<_> =
        chunks.iter().flat_map(|chunk| parser.push(chunk).expect("the stream is small")).collect();
    events.extend(parser.finish());
    events
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(stream: &str, expected: &[(&str, &str)]) {
        let events = parse(&[stream.as_bytes()]);
        let seen: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.data.as_str())).collect();
        assert_eq!(seen, expected, "{stream:?}");
    }

    #[test]
    fn every_line_ending_ends_a_line() {
        check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]);
        check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
        check("event: x\r\ndata: a\n\r\ndata: b\r\n\n", &[("x", "a"), ("", "b")]);
    }

    #[test]
    fn comments_ids_and_unknown_fields_are_skipped() {
        check(": ping\n\nid: 7\nretry: 10\nwhatever\ndata: a\n\n", &[("", "a")]);
    }

    #[test]
    fn lines_of_data_are_joined() {
        check("data: a\ndata:\ndata:  b\n\n", &[("", "a\n\n b")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_alone() {
        check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &[("", "a")]);
    }

    #[test]
    fn an_event_without_data_is_none() {
        check("event: ping\n\nevent: x\ndata\n\n", &[("x", "")]);
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        check("data: a\n\ndata: b", &[("", "a"), ("", "b")]);
        check("data: a\n\ndata: b\n", &[("", "a"), ("", "b")]);
    }

    #[test]
    fn an_event_is_bounded_over_its_lines() {
        let mut parser = Parser::new(20);
        assert_eq!(parser.push(b"data: 0123456789\n").map(|events| events.len()), Ok(0));
        assert_eq!(parser.push(b"data: 0123456789\n"), Err(TooLarge));
        assert_eq!(Parser::new(20).push(&[b'x'; 21]), Err(TooLarge));
        let mut parser = Parser::new(20);
        for _ in 0..100 {
            assert_eq!(parser.push(b"data: 01234\n\n").map(|events| events.len()), Ok(1));
        }
    }

    #[test]
    fn lines_are_counted_as_signs_of_life() {
        let mut parser = Parser::new(20);
        parser.push(b": still").unwrap();
        assert_eq!(parser.lines(), 0);
        parser.push(b" here\n").unwrap();
        assert_eq!(parser.lines(), 1);
    }

    #[test]
    fn the_newest_id_and_the_wait_before_a_reconnection_are_kept() {
        let mut parser = Parser::new(100);
        assert_eq!((parser.last_event_id(), parser.retry()), (None, None));
        parser.push(b"id: a\nretry: 500\ndata\n\nid: b\nretry: soon\n: c\n").unwrap();
        assert_eq!(parser.last_event_id(), Some("b"));
        assert_eq!(parser.retry(), Some(Duration::from_millis(500)));
        parser.push(b"id: c\0\nretry:\n").unwrap();
        assert_eq!((parser.last_event_id(), parser.retry()), (Some("b"), Some(Duration::from_millis(500))));
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("\n".to_owned()),
            Just("\r\n".to_owned()),
            Just("\r".to_owned()),
            Just("\n\n".to_owned()),
            Just("data: ".to_owned()),
            Just("data:".to_owned()),
            Just("event: delta".to_owned()),
            Just(": comment".to_owned()),
            Just("\u{feff}".to_owned()),
            "[a-z:é€😀 ]{0,6}",
        ]
    }

    proptest! {
        #[test]
        fn cutting_the_bytes_anywhere_gives_the_same_events(
            pieces in proptest::collection::vec(piece(), 0..40),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream = pieces.concat().into_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut start = 0;
            for cut in cuts {
                chunks.push(&stream[start..cut]);
                start = cut;
            }
            chunks.push(&stream[start..]);
            prop_assert_eq!(parse(&chunks), parse(&[&stream]));
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&[&bytes]);
        }
    }
}
