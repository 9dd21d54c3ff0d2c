//! What messages are made of: text, images and files.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::FileId;
use crate::problems::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One piece of a message, in the native form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    Text { text: String },
    Image(Source),
    File(Source),
}

/// Where an image or a file comes from; exactly one of url, id or inline data is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Source {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<FileId>,
    /// `https:` address of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// `https:` address of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_url: Option<String>,
    /// Inline bytes as a `data:` URL or bare base64. Moved to file storage before a run is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// A message's content: plain text, or parts. Text alone stays text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

impl Content {
    /// Returns all text of the content, joined.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text { text } => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
        }
    }
}

/// A message as a caller gives it and as the run record shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: Content,
}

/// Bytes of the address of an image or a file; addresses that are signed are long.
const LONGEST_ADDRESS: usize = 8_192;
const HTTPS: &str = "https://";
/// Bytes of the name of a file, as file systems have it.
const LONGEST_FILENAME: usize = 255;

/// How much a run's input may hold.
#[derive(Clone, Copy, Debug)]
pub struct InputLimits {
    pub messages: usize,
    pub parts: usize,
    /// Bytes of text in all messages together.
    pub text_bytes: usize,
}

/// Reads the `input` of a run: an array of messages, or a bare text as one user message.
pub fn parse_input(value: Option<&Value>, limits: InputLimits) -> Result<Vec<Message>, Problem> {
    let messages = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        // Says as little as no message does.
        Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(Value::String(text)) => {
            check_text(text.len(), limits)?;
            return Ok(vec![Message { role: Role::User, content: Content::Text(text.clone()) }]);
        }
        Some(Value::Array(messages)) => messages,
        Some(_) => return Err(Problem::invalid_input("input", "`input` must be an array of messages.")),
    };
    if messages.len() > limits.messages {
        let message = format!("`input` may hold at most {} messages.", limits.messages);
        return Err(Problem::invalid_input("input", message));
    }
    let parsed: Vec<Message> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| parse_message(message, index, limits))
        .collect::<Result<_, _>>()?;
    check_text(parsed.iter().map(|message| message.content.text().len()).sum(), limits)?;
    Ok(parsed)
}

fn check_text(bytes: usize, limits: InputLimits) -> Result<(), Problem> {
    if bytes <= limits.text_bytes {
        return Ok(());
    }
    let message =
        format!("The text of `input` may have at most {} bytes. Send less, or a file.", limits.text_bytes);
    Err(Problem::invalid_input("input", message))
}

fn parse_message(value: &Value, index: usize, limits: InputLimits) -> Result<Message, Problem> {
    let at = |field: &str| format!("input[{index}]{field}");
    let Value::Object(message) = value else {
        return Err(Problem::invalid_input(at(""), "A message must be an object with `role` and `content`."));
    };
    let role = match message.get("role").and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system" | "developer") => {
            return Err(Problem::invalid_input(
                at(".role"),
                "System messages are not taken here: put them into the smith's or the agent's `instructions`.",
            ));
        }
        _ => return Err(Problem::invalid_input(at(".role"), "`role` must be `user` or `assistant`.")),
    };
    let content = parse_content(message.get("content"), role, &at(".content"), limits)?;
    Ok(Message { role, content })
}

/// Reads the content of a message: a text, or parts in the native form or one of OpenAI's; `at` is its path.
pub fn parse_content(
    value: Option<&Value>,
    role: Role,
    at: &str,
    limits: InputLimits,
) -> Result<Content, Problem> {
    let parts = match value {
        Some(Value::String(text)) => return Ok(Content::Text(text.clone())),
        Some(Value::Array(parts)) => parts,
        _ => return Err(Problem::invalid_input(at, "`content` must be a text or an array of parts.")),
    };
    if parts.is_empty() || parts.len() > limits.parts {
        let message = format!("`content` must hold 1 to {} parts.", limits.parts);
        return Err(Problem::invalid_input(at, message));
    }
    let parts: Vec<Part> = parts
        .iter()
        .enumerate()
        .map(|(part, value)| parse_part(value, &format!("{at}[{part}]")))
        .collect::<Result<_, _>>()?;
    if role == Role::Assistant && parts.iter().any(|part| !matches!(part, Part::Text { .. })) {
        return Err(Problem::invalid_input(at, "An assistant message may hold text only."));
    }
    Ok(simplify(parts))
}

/// Text alone is kept as a string, however it was given.
fn simplify(parts: Vec<Part>) -> Content {
    if parts.iter().all(|part| matches!(part, Part::Text { .. })) {
        return Content::Text(Content::Parts(parts).text());
    }
    Content::Parts(parts)
}

fn parse_part(value: &Value, at: &str) -> Result<Part, Problem> {
    let Value::Object(part) = value else {
        return Err(Problem::invalid_input(at, "A part must be an object with a `type`."));
    };
    match part.get("type").and_then(Value::as_str) {
        Some("text" | "input_text" | "output_text") => {
            let at = format!("{at}.text");
            match text(part.get("text"), &at)? {
                Some(text) => Ok(Part::Text { text: text.to_owned() }),
                None => Err(Problem::invalid_input(at, "A part of text needs its `text`.")),
            }
        }
        Some("image" | "image_url" | "input_image") => parse_image(part, at),
        Some("file" | "input_file") => parse_file(part, at),
        _ => Err(Problem::invalid_input(format!("{at}.type"), "`type` must be `text`, `image` or `file`.")),
    }
}

fn parse_image(part: &Map<String, Value>, at: &str) -> Result<Part, Problem> {
    if let Some(file_id) = file_id(part, at)? {
        return Ok(Part::Image(Source { file_id: Some(file_id), ..Source::default() }));
    }
    // The OpenAI chat form nests the address once more: `{"image_url": {"url": "…"}}`.
    let nested = part.get("image_url").and_then(Value::as_object);
    let (url, at) = match nested {
        Some(nested) => (nested.get("url"), format!("{at}.image_url.url")),
        None => (part.get("image_url"), format!("{at}.image_url")),
    };
    let Some(url) = text(url, &at)? else {
        return Err(Problem::invalid_input(at, "An image needs its `image_url` or a `file_id`."));
    };
    if behind_scheme(url, "data:").is_some() {
        return Ok(Part::Image(Source { file_data: Some(url.to_owned()), ..Source::default() }));
    }
    Ok(Part::Image(Source { image_url: Some(https(url, &at)?), ..Source::default() }))
}

fn parse_file(part: &Map<String, Value>, at: &str) -> Result<Part, Problem> {
    // The OpenAI chat form nests the fields once more: `{"file": {"file_data": "…"}}`.
    let part = part.get("file").and_then(Value::as_object).unwrap_or(part);
    let filename = filename(part, at)?;
    if let Some(file_id) = file_id(part, at)? {
        return Ok(Part::File(Source { file_id: Some(file_id), filename, ..Source::default() }));
    }
    if let Some(data) = text(part.get("file_data"), &format!("{at}.file_data"))? {
        if filename.is_none() {
            return Err(Problem::invalid_input(format!("{at}.filename"), "`file_data` needs a `filename`."));
        }
        return Ok(Part::File(Source { file_data: Some(data.to_owned()), filename, ..Source::default() }));
    }
    let at = format!("{at}.file_url");
    let Some(url) = text(part.get("file_url"), &at)? else {
        return Err(Problem::invalid_input(
            at,
            "A file needs its `file_data`, its `file_url` or a `file_id`.",
        ));
    };
    Ok(Part::File(Source { file_url: Some(https(url, &at)?), filename, ..Source::default() }))
}

/// Reads a text that may be absent; `at` is its path.
fn text<'a>(value: Option<&'a Value>, at: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let name = at.rsplit('.').next().unwrap_or(at);
    value.as_str().map(Some).ok_or_else(|| Problem::invalid_input(at, format!("`{name}` must be a text.")))
}

fn filename(part: &Map<String, Value>, at: &str) -> Result<Option<String>, Problem> {
    let at = format!("{at}.filename");
    let Some(name) = text(part.get("filename"), &at)? else { return Ok(None) };
    if name.len() > LONGEST_FILENAME {
        let message = format!("`filename` may have at most {LONGEST_FILENAME} bytes.");
        return Err(Problem::invalid_input(at, message));
    }
    Ok(Some(name.to_owned()))
}

fn file_id(part: &Map<String, Value>, at: &str) -> Result<Option<FileId>, Problem> {
    let at = format!("{at}.file_id");
    let parse = |id: &str| {
        id.parse().map_err(|_| Problem::invalid_input(at.clone(), "`file_id` is not the id of a file."))
    };
    text(part.get("file_id"), &at)?.map(parse).transpose()
}

/// Returns what an address has behind its scheme, which counts in any case.
pub fn behind_scheme<'a>(address: &'a str, scheme: &str) -> Option<&'a str> {
    let (given, rest) = address.split_at_checked(scheme.len())?;
    given.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn https(url: &str, at: &str) -> Result<String, Problem> {
    let Some(rest) = behind_scheme(url, HTTPS).filter(|rest| !rest.is_empty()) else {
        let message =
            "An address must start with `https://`; give inline bytes as a `data:` URL or `file_data`.";
        return Err(Problem::invalid_input(at, message));
    };
    if url.len() > LONGEST_ADDRESS {
        let message = format!("An address may have at most {LONGEST_ADDRESS} bytes. Give the bytes inline.");
        return Err(Problem::invalid_input(at, message));
    }
    // Providers may be pickier than the standard.
    Ok(format!("{HTTPS}{rest}"))
}

#[cfg(test)]
mod tests;
