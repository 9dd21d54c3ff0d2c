//! A tool's result in the shape that models read.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use rmcp::model::{ContentBlock, ResourceContents};
use serde_json::{Map, Value};

use super::options::Options;
use crate::call::{Answer, Attachment};

/// Servers differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest name of a file, in characters.
const MAX_FILENAME: usize = 100;

/// Reads the result of a call.
pub(crate) fn answer(mut result: Map<String, Value>, options: &Options) -> Answer {
    let is_error = result.get("isError") == Some(&Value::Bool(true));
    let mut parts =
        Parts { options, texts: Vec::new(), notes: Vec::new(), attachments: Vec::new(), bytes: 0 };
    if let Some(Value::Array(blocks)) = result.remove("content") {
        blocks.into_iter().for_each(|block| parts.add(block));
    }
    // A text beside it is the same for clients that do not read structured results, or says it better.
    if let Some(structured) = result.remove("structuredContent").filter(|_| parts.texts.is_empty()) {
        parts.texts.push(structured.to_string());
    }
    let Parts { mut texts, notes, attachments, .. } = parts;
    texts.extend(notes);
    let output = cut(texts.join("\n"), options.max_result_bytes);
    Answer { output, is_error, attachments, ..Answer::default() }
}

struct Parts<'a> {
    options: &'a Options,
    texts: Vec<String>,
    /// What is said about parts that are no text.
    notes: Vec<String>,
    attachments: Vec<Attachment>,
    bytes: usize,
}

impl Parts<'_> {
    fn add(&mut self, block: Value) {
        match serde_json::from_value(block) {
            Ok(ContentBlock::Text(text)) => self.texts.push(text.text),
            Ok(ContentBlock::Image(image)) => self.attach("image", None, Some(&image.mime_type), &image.data),
            Ok(ContentBlock::Audio(audio)) => {
                let kind = media_type(Some(&audio.mime_type));
                self.notes
                    .push(format!("[An audio recording ({kind}) was left out: it cannot be passed on.]"));
            }
            Ok(ContentBlock::Resource(embedded)) => match embedded.resource {
                ResourceContents::TextResourceContents { text, .. } => self.texts.push(text),
                ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                    self.attach("file", Some(&uri), mime_type.as_deref(), &blob);
                }
                _ => self.leave_out(),
            },
            Ok(ContentBlock::ResourceLink(link)) => self.texts.push(format!("{}: {}", link.name, link.uri)),
            Ok(_) | Err(_) => self.leave_out(),
        }
    }

    fn leave_out(&mut self) {
        self.notes.push("[A part of an unknown kind was left out.]".to_owned());
    }

    fn attach(&mut self, kind: &str, uri: Option<&str>, declared: Option<&str>, data: &str) {
        let media_type = media_type(declared);
        let number = self.attachments.len() + 1;
        let name = match uri.and_then(filename) {
            Some(name) => name,
            None => format!("{kind}-{number}{}", extension(&media_type)),
        };
        if self.attachments.len() >= self.options.max_attachments {
            self.notes.push(format!("[{name} was left out: there are too many images and files.]"));
            return;
        }
        // Four characters stand for three bytes: no need to decode what is too large.
        let left = self.options.max_attachment_bytes.saturating_sub(self.bytes);
        if data.len() / 4 * 3 > left.saturating_add(3) {
            self.notes.push(format!("[{name} was left out: it is too large.]"));
            return;
        }
        let Ok(bytes) = BASE64.decode(data.trim()) else {
            self.notes.push(format!("[{name} was left out: it cannot be read.]"));
            return;
        };
        if bytes.len() > left {
            self.notes.push(format!("[{name} was left out: it is too large.]"));
            return;
        }
        self.bytes += bytes.len();
        self.attachments.push(Attachment { media_type, filename: name, bytes: Bytes::from(bytes) });
    }
}

/// Takes a media type over if it has the form of one; its parameters are dropped.
fn media_type(declared: Option<&str>) -> String {
    let declared =
        declared.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    let is_name = |name: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
    };
    match declared.split_once('/') {
        Some((kind, subtype)) if is_name(kind) && is_name(subtype) => declared,
        _ => "application/octet-stream".to_owned(),
    }
}

/// Finds the name of a file in the address of a resource.
fn filename(uri: &str) -> Option<String> {
    let path = uri.split(['?', '#']).next()?;
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    let name: String = last
        .chars()
        .filter(|character| !character.is_control() && !"\\:*\"<>|".contains(*character))
        .take(MAX_FILENAME)
        .collect();
    (!name.trim_matches(['.', ' ']).is_empty()).then_some(name)
}

fn extension(media_type: &str) -> &'static str {
    match media_type {
        "image/png" => ".png",
        "image/jpeg" => ".jpg",
        "image/gif" => ".gif",
        "image/webp" => ".webp",
        "image/svg+xml" => ".svg",
        "application/pdf" => ".pdf",
        "application/json" => ".json",
        "text/plain" => ".txt",
        _ => "",
    }
}

/// Cuts a text that is too long, and says so at its end.
fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text;
    }
    let note =
        format!("\n[The result was cut here: it has {} bytes, and {max_bytes} are passed on.]", text.len());
    text.truncate(text.floor_char_boundary(max_bytes.saturating_sub(note.len())));
    text.push_str(&note);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(result: Value) -> Answer {
        read_within(result, &Options::default())
    }

    fn read_within(result: Value, options: &Options) -> Answer {
        let Value::Object(result) = result else { panic!("a result is an object") };
        answer(result, options)
    }

    #[test]
    fn texts_are_joined_and_errors_stay_errors() {
        let content = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
        assert_eq!(read(json!({"content": content})), Answer::text("one\ntwo"));
        assert_eq!(read(json!({"content": content, "isError": true})), Answer::error("one\ntwo"));
        assert_eq!(read(json!({"content": []})), Answer::text(""));
    }

    #[test]
    fn a_structured_result_is_told_where_there_is_no_text() {
        let structured = json!({"b": 1, "a": [true]});
        assert_eq!(read(json!({"structuredContent": structured})).output, r#"{"b":1,"a":[true]}"#);
        let text = json!([{"type": "text", "text": r#"{"b":1,"a":[true]}"#}]);
        assert_eq!(
            read(json!({"structuredContent": structured, "content": text})).output,
            r#"{"b":1,"a":[true]}"#
        );
        let audio = json!([{"type": "audio", "data": "", "mimeType": "audio/wav"}]);
        assert!(
            read(json!({"structuredContent": structured, "content": audio})).output.starts_with("{\"b\"")
        );
        assert_eq!(read(json!({"structuredContent": null})).output, "null");
    }

    #[test]
    fn images_and_files_are_attached() {
        let read = read(json!({"content": [
            {"type": "image", "data": "aGk=", "mimeType": "image/PNG"},
            {"type": "resource", "resource": {"uri": "file:///a/re%20port.pdf?x=1", "blob": "aGk", "mimeType": "application/pdf"}},
            {"type": "resource", "resource": {"uri": "x:", "blob": "aGk="}},
        ]}));
        let seen: Vec<_> =
            read.attachments.iter().map(|one| (one.filename.as_str(), one.media_type.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("image-1.png", "image/png"),
                ("re%20port.pdf", "application/pdf"),
                ("x", "application/octet-stream")
            ]
        );
        assert!(read.attachments.iter().all(|one| one.bytes == "hi") && read.output.is_empty());
    }

    #[test]
    fn resources_are_read_and_links_are_told() {
        let read = read(json!({"content": [
            {"type": "resource", "resource": {"uri": "memo://1", "text": "remember"}},
            {"type": "resource_link", "uri": "https://example.com/a", "name": "A page"},
        ]}));
        assert_eq!(read.output, "remember\nA page: https://example.com/a");
    }

    #[test]
    fn what_cannot_be_passed_on_leaves_a_note() {
        let read = read(json!({"content": [
            {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
            {"type": "hologram"},
            {"type": "image", "data": "%%%", "mimeType": "image/png"},
            "not even a block",
        ]}));
        assert_eq!(
            read.output,
            "[An audio recording (audio/wav) was left out: it cannot be passed on.]\n\
             [A part of an unknown kind was left out.]\n\
             [image-1.png was left out: it cannot be read.]\n\
             [A part of an unknown kind was left out.]"
        );
        assert!(read.attachments.is_empty());
    }

    #[test]
    fn a_long_text_is_cut_between_characters_with_a_note() {
        let options = Options { max_result_bytes: 100, ..Options::default() };
        let long = json!({"content": [{"type": "text", "text": "é".repeat(200)}]});
        let output = read_within(long, &options).output;
        assert!(output.len() <= 100 && output.starts_with('é'), "{output}");
        assert!(
            output.ends_with("[The result was cut here: it has 400 bytes, and 100 are passed on.]"),
            "{output}"
        );
        let fits = json!({"content": [{"type": "text", "text": "é".repeat(50)}]});
        assert_eq!(read_within(fits, &options).output, "é".repeat(50));
    }

    #[test]
    fn attachments_beyond_the_bounds_are_left_out() {
        let image = json!({"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"});
        let three = json!({"content": [image, image, image]});
        let few = Options { max_attachments: 2, ..Options::default() };
        let answer = read_within(three.clone(), &few);
        assert_eq!(answer.attachments.len(), 2);
        assert_eq!(answer.output, "[image-3.png was left out: there are too many images and files.]");
        let small = Options { max_attachment_bytes: 12, ..Options::default() };
        let answer = read_within(three, &small);
        assert_eq!(answer.attachments.len(), 2);
        assert_eq!(answer.output, "[image-3.png was left out: it is too large.]");
    }

    #[test]
    fn a_name_of_a_file_is_only_a_name() {
        assert_eq!(filename("file:///etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(filename("..\\..\\x").as_deref(), Some("....x"));
        assert_eq!(filename("https://example.com/.."), None);
        assert_eq!(filename("a/b\n/"), Some("b".into()));
        assert_eq!(media_type(Some("text/html; charset=utf-8")), "text/html");
        assert_eq!(media_type(Some("no type\r\n")), "application/octet-stream");
    }
}
