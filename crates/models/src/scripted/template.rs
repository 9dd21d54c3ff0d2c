//! Texts with holes: `{{ last_message }}`, `{{ 1 }}`, `{{ previous.name }}`.

use regex::Regex;
use serde_json::{Map, Value};

use super::matcher::{Match, Scene};

/// How long a text may become once its holes are filled, in bytes.
const MAX_RENDERED_BYTES: usize = 256 * 1024;

/// How much of the last message an excerpt shows, in characters.
const EXCERPT_CHARACTERS: usize = 200;

/// A value that every script has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    LastMessage,
    Excerpt,
    PreviousMessage,
    PreviousReply,
    Turn,
    Messages,
    ToolName,
    ToolOutput,
    Tools,
    Attachments,
    Script,
}

const VARIABLES: [(&str, Variable); 11] = [
    ("last_message", Variable::LastMessage),
    ("excerpt", Variable::Excerpt),
    ("previous_message", Variable::PreviousMessage),
    ("previous_reply", Variable::PreviousReply),
    ("turn", Variable::Turn),
    ("messages", Variable::Messages),
    ("tool_name", Variable::ToolName),
    ("tool_output", Variable::ToolOutput),
    ("tools", Variable::Tools),
    ("attachments", Variable::Attachments),
    ("script", Variable::Script),
];

/// Which pattern of a rule captured a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `matches` or `tool_output`.
    Last,
    Previous,
    Instructions,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
    Capture(Source, usize),
}

/// The patterns whose captures the texts of a rule may use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patterns<'a> {
    pub(crate) last: Option<&'a Regex>,
    pub(crate) previous: Option<&'a Regex>,
    pub(crate) instructions: Option<&'a Regex>,
}

/// A text whose holes are known to have something to fill them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    pub(crate) fn parse(text: &str, patterns: Patterns<'_>) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            if let Some(before) = before.strip_suffix('\\') {
                pieces.push(Piece::Text(format!("{before}{{{{")));
                rest = after;
                continue;
            }
            let (name, after) = after
                .split_once("}}")
                .ok_or("`{{` is not closed by `}}`; write `\\{{` for the characters themselves")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(hole(name.trim(), patterns)?);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Self { pieces })
    }

    pub(crate) fn render(&self, scene: &Scene<'_>, found: &Match<'_>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable(variable) => push_variable(&mut text, *variable, scene, found),
                Piece::Capture(source, group) => text.push_str(found.capture(*source, *group)),
            }
            if text.len() > MAX_RENDERED_BYTES {
                text.truncate(text.floor_char_boundary(MAX_RENDERED_BYTES));
                break;
            }
        }
        text
    }
}

fn hole(name: &str, patterns: Patterns<'_>) -> Result<Piece, String> {
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok(Piece::Variable(*variable));
    }
    let (source, pattern, group) = match name.split_once('.') {
        Some(("previous", group)) => (Source::Previous, patterns.previous, group),
        Some(("instructions", group)) => (Source::Instructions, patterns.instructions, group),
        _ => (Source::Last, patterns.last, name),
    };
    pattern
        .and_then(|pattern| group_of(pattern, group))
        .map(|group| Piece::Capture(source, group))
        .ok_or_else(|| {
            format!("`{{{{ {name} }}}}` is no variable and no capture group of this rule's patterns")
        })
}

fn group_of(pattern: &Regex, group: &str) -> Option<usize> {
    if let Ok(number) = group.parse::<usize>() {
        return (number < pattern.captures_len()).then_some(number);
    }
    pattern.capture_names().position(|name| name == Some(group))
}

fn push_variable(text: &mut String, variable: Variable, scene: &Scene<'_>, found: &Match<'_>) {
    match variable {
        Variable::LastMessage => text.push_str(scene.last_message()),
        Variable::Excerpt => {
            let message = scene.last_message().trim();
            text.extend(message.chars().take(EXCERPT_CHARACTERS));
            if message.chars().nth(EXCERPT_CHARACTERS).is_some() {
                text.push('…');
            }
        }
        Variable::PreviousMessage => text.push_str(scene.earlier_messages().next().unwrap_or_default()),
        Variable::PreviousReply => text.push_str(scene.previous_reply()),
        Variable::Turn => text.push_str(&scene.turn().to_string()),
        Variable::Messages => text.push_str(&scene.messages().to_string()),
        Variable::ToolName => {
            text.push_str(scene.result_of(found).map(|result| result.name.as_str()).unwrap_or_default());
        }
        Variable::ToolOutput => {
            text.push_str(scene.result_of(found).map(|result| result.output.as_str()).unwrap_or_default());
        }
        Variable::Tools => text.push_str(&scene.offered().collect::<Vec<_>>().join(", ")),
        Variable::Attachments => text.push_str(&scene.attachments().to_string()),
        Variable::Script => text.push_str(&scene.request.model),
    }
}

/// A JSON value, or a text that is sent as it stands, with holes in its strings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    /// Given as a string: the author answers for its being JSON, or not.
    Raw(Template),
    Built(Shape),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Fixed(Value),
    Text(Template),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Document {
    pub(crate) fn parse(value: &toml::Value, patterns: Patterns<'_>) -> Result<Self, String> {
        match value {
            toml::Value::String(text) => Ok(Self::Raw(Template::parse(text, patterns)?)),
            toml::Value::Table(_) | toml::Value::Array(_) => Ok(Self::Built(Shape::parse(value, patterns)?)),
            _ => Err("must be a table, an array, or a string that is sent as it stands".to_owned()),
        }
    }

    pub(crate) fn render(&self, scene: &Scene<'_>, found: &Match<'_>) -> String {
        match self {
            Self::Raw(template) => template.render(scene, found),
            Self::Built(shape) => shape.render(scene, found).to_string(),
        }
    }
}

impl Shape {
    fn parse(value: &toml::Value, patterns: Patterns<'_>) -> Result<Self, String> {
        Ok(match value {
            toml::Value::String(text) => Self::Text(Template::parse(text, patterns)?),
            toml::Value::Integer(number) => Self::Fixed((*number).into()),
            toml::Value::Float(number) => Self::Fixed((*number).into()),
            toml::Value::Boolean(value) => Self::Fixed((*value).into()),
            toml::Value::Datetime(time) => Self::Fixed(time.to_string().into()),
            toml::Value::Array(values) => {
                Self::List(values.iter().map(|value| Self::parse(value, patterns)).collect::<Result<_, _>>()?)
            }
            toml::Value::Table(table) => Self::Object(
                table
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), Self::parse(value, patterns)?)))
                    .collect::<Result<_, String>>()?,
            ),
        })
    }

    fn render(&self, scene: &Scene<'_>, found: &Match<'_>) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => template.render(scene, found).into(),
            Self::List(shapes) => shapes.iter().map(|shape| shape.render(scene, found)).collect(),
            Self::Object(fields) => fields
                .iter()
                .map(|(name, shape)| (name.clone(), shape.render(scene, found)))
                .collect::<Map<_, _>>()
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, pattern: &str) -> Result<Template, String> {
        let pattern = Regex::new(pattern).unwrap();
        Template::parse(text, Patterns { last: Some(&pattern), ..Patterns::default() })
    }

    #[test]
    fn a_hole_that_nothing_can_fill_is_found_when_the_script_is_loaded() {
        assert!(parse("{{ 1 }} {{ name }} {{ turn }}", "(?P<name>.)").is_ok());
        for text in ["{{ 2 }}", "{{ nmae }}", "{{ previous.1 }}", "{{ }}"] {
            let fault = parse(text, "(?P<name>.)").unwrap_err();
            assert!(fault.contains("is no variable and no capture group"), "{fault}");
        }
    }

    #[test]
    fn an_open_brace_can_be_written_and_an_unclosed_hole_is_a_fault() {
        let template = parse(r"a \{{ b }}", ".").unwrap();
        assert_eq!(template.pieces, [Piece::Text("a {{".into()), Piece::Text(" b }}".into())]);
        assert!(parse("a {{ b", ".").unwrap_err().contains("not closed"));
    }
}
