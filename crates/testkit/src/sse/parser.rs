//! The parser: bytes in, frames out, no I/O.

use serde_json::Value;

use super::{DONE, Frame};

/// What a stream carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Frame(Frame),
    Comment(String),
}

/// Takes a stream apart. Works on any cut of the bytes; an error is final.
#[derive(Debug, Default)]
pub struct Parser {
    unread: Vec<u8>,
    fields: Fields,
}

/// The lines of a frame whose blank line has not come yet.
#[derive(Debug, Default)]
struct Fields {
    id: Option<u64>,
    event: Option<String>,
    data: Option<Value>,
}

impl Parser {
    /// Takes the next bytes and returns what they complete.
    ///
    /// # Errors
    /// The first rule of the format that the bytes break.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, String> {
        self.unread.extend_from_slice(bytes);
        let mut events = Vec::new();
        let unread = std::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            let line = std::str::from_utf8(line).map_err(|error| format!("a line is not UTF-8: {error}"))?;
            events.extend(self.line(line)?);
        }
        self.unread = rest.to_vec();
        Ok(events)
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    /// When the last frame has no blank line after it.
    pub fn finish(&self) -> Result<(), String> {
        if self.is_inside_a_frame() { Err("the stream ends inside a frame".to_owned()) } else { Ok(()) }
    }

    fn is_inside_a_frame(&self) -> bool {
        !self.unread.is_empty() || !self.fields.is_empty()
    }

    fn line(&mut self, line: &str) -> Result<Option<Event>, String> {
        if line.contains('\r') {
            return Err(format!("a carriage return in {line:?}"));
        }
        if line.is_empty() {
            return std::mem::take(&mut self.fields).into_frame().map(|frame| frame.map(Event::Frame));
        }
        if let Some(comment) = line.strip_prefix(':') {
            return Ok(Some(Event::Comment(comment.trim_start().to_owned())));
        }
        let Some((name, value)) = line.split_once(": ") else {
            return Err(format!("neither a field nor a comment: {line:?}"));
        };
        self.fields.put(name, value)?;
        Ok(None)
    }
}

impl Fields {
    fn is_empty(&self) -> bool {
        self.id.is_none() && self.event.is_none() && self.data.is_none()
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), String> {
        let repeated = match name {
            "id" => self
                .id
                .replace(value.parse().map_err(|_| format!("the id {value:?} is no number"))?)
                .is_some(),
            "event" => self.event.replace(value.to_owned()).is_some(),
            "data" => self.data.replace(parse_data(value)?).is_some(),
            other => return Err(format!("a field {other:?}")),
        };
        if repeated { Err(format!("two {name} lines in one frame")) } else { Ok(()) }
    }

    fn into_frame(self) -> Result<Option<Frame>, String> {
        if self.is_empty() {
            return Ok(None);
        }
        let data = self.data.ok_or_else(|| format!("a frame {:?} without data", self.event))?;
        Ok(Some(Frame { id: self.id, event: self.event.unwrap_or_default(), data }))
    }
}

fn parse_data(text: &str) -> Result<Value, String> {
    if text == DONE {
        return Ok(Value::from(DONE));
    }
    serde_json::from_str(text).map_err(|error| format!("the data is no JSON ({error}): {text:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STREAM: &str = ": hello\n\nid: 0\nevent: a\ndata: {\"x\":\"\u{e4}\"}\n\ndata: [DONE]\n\n";

    fn parse(text: &str) -> Result<Vec<Event>, String> {
        let mut parser = Parser::default();
        let events = parser.push(text.as_bytes())?;
        parser.finish().map(|()| events)
    }

    #[test]
    fn a_stream_cut_at_any_byte_gives_the_same_frames() {
        let whole = parse(STREAM).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0], Event::Comment("hello".to_owned()));
        let frame = Frame { id: Some(0), event: "a".to_owned(), data: json!({"x": "\u{e4}"}) };
        assert_eq!(whole[1], Event::Frame(frame));
        for cut in 0..STREAM.len() {
            let (mut parser, (head, tail)) = (Parser::default(), STREAM.as_bytes().split_at(cut));
            let mut events = parser.push(head).unwrap();
            events.extend(parser.push(tail).unwrap());
            assert_eq!(events, whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_lenient_clients_forgive_is_an_error() {
        let cases = [
            ("data: {}\r\n\r\n", "carriage return"),
            ("data: {}\ndata: {}\n\n", "two data lines"),
            ("data: {}\n", "inside a frame"),
            ("data: {}", "inside a frame"),
            ("retry: 5\n\n", "a field \"retry\""),
            ("data: {\n\n", "no JSON"),
            ("event: a\n\n", "without data"),
            ("id: x\ndata: {}\n\n", "no number"),
            ("data\n\n", "neither a field"),
        ];
        for (stream, expected) in cases {
            let problem = parse(stream).unwrap_err();
            assert!(problem.contains(expected), "{stream:?}: {problem}");
        }
    }
}
