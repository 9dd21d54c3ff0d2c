//! JSON for lines of event streams.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// What JSON lets stand as it is, though some readers of lines end a line there.
const BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Appends a value as JSON that is one line to every reader, those too that go by Unicode's line breaks.
pub fn write(value: &impl Serialize, into: &mut Vec<u8>) {
    // What is written goes to memory, and all keys are text: neither can fail.
    let _ = value.serialize(&mut Serializer::with_formatter(into, OneLine));
}

struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        escaped(writer, text)
    }

    fn write_raw_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, json: &str) -> io::Result<()> {
        // Outside of its texts JSON has none of these.
        escaped(writer, json)
    }
}

fn escaped<W: io::Write + ?Sized>(writer: &mut W, text: &str) -> io::Result<()> {
    if text.is_ascii() {
        return writer.write_all(text.as_bytes());
    }
    for piece in text.split_inclusive(BREAKS) {
        match piece.char_indices().next_back() {
            Some((at, last)) if BREAKS.contains(&last) => {
                writer.write_all(piece.get(..at).unwrap_or_default().as_bytes())?;
                write!(writer, "\\u{:04x}", u32::from(last))?;
            }
            _ => writer.write_all(piece.as_bytes())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    fn written(value: &impl Serialize) -> String {
        let mut bytes = Vec::new();
        write(value, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_line_break_of_unicode_stands_in_a_line() {
        let breaks = json!({"a\u{2028}": "\u{85}\n\u{2029}ü\u{2028}\u{2028}."});
        let line = "{\"a\\u2028\":\"\\u0085\\n\\u2029ü\\u2028\\u2028.\"}";
        assert_eq!(written(&breaks), line);
        assert_eq!(written(&to_raw_value(&breaks).unwrap()), line);
    }

    proptest! {
        #[test]
        fn a_line_says_what_the_value_says(text: String, breaks in "[\u{85}\u{2028}\u{2029}a]{0,8}") {
            let value = json!([text, breaks, {breaks.clone(): text}]);
            let line = written(&value);
            let is_one = !line.contains(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']);
            prop_assert!(is_one, "{}", line);
            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        }
    }
}
