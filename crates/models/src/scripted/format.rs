//! The script format: what a file says, checked and compiled.

use std::time::Duration;

use domain::run::StopReason;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use toml::Value;

use super::matcher::{Match, MessageTest, Range, ResultTest, Scene, When};
use super::template::{Document, Patterns, Template};
use crate::call::FailureKind;

/// How many rules a script may have.
const MAX_RULES: usize = 500;

/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// How long a single delay may be, in milliseconds.
const MAX_DELAY_MS: u64 = 600_000;

/// A script that can be played.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Tried in this order.
    rules: Vec<(When, Rule)>,
    /// What answers when no rule matches.
    fallback: Rule,
}

/// What a rule answers.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) say: Option<Template>,
    pub(crate) reasoning: Option<Template>,
    pub(crate) json: Option<Document>,
    pub(crate) tool_calls: Vec<Call>,
    pub(crate) usage: UsageOverride,
    pub(crate) stop: Option<StopReason>,
    pub(crate) error: Option<Break>,
    pub(crate) pace: Pace,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Option<Document>,
}

/// A failure in place of the end of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Break {
    pub(crate) kind: FailureKind,
    pub(crate) message: Template,
    pub(crate) after_chunks: usize,
}

/// How an answer is cut and how fast it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) chunk: Chunk,
    pub(crate) delay: Duration,
    pub(crate) chunk_delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Words,
    Characters(usize),
    Whole,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageOverride {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) cache_read: Option<u64>,
    pub(crate) cache_write: Option<u64>,
    pub(crate) reasoning: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    defaults: PaceFile,
    #[serde(default)]
    rule: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaceFile {
    chunk: Option<Value>,
    delay_ms: Option<u64>,
    chunk_delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default, rename = "name")]
    _name: String,
    when: Option<WhenFile>,
    say: Option<String>,
    reasoning: Option<String>,
    json: Option<Value>,
    #[serde(default)]
    tool_calls: Vec<CallFile>,
    #[serde(default)]
    usage: UsageOverride,
    stop: Option<String>,
    error: Option<BreakFile>,
    chunk: Option<Value>,
    delay_ms: Option<u64>,
    chunk_delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenFile {
    equals: Option<String>,
    contains: Option<String>,
    matches: Option<String>,
    tool: Option<String>,
    tool_output: Option<String>,
    tool_error: Option<bool>,
    attachments: Option<bool>,
    turn: Option<Value>,
    messages: Option<Value>,
    previous: Option<String>,
    instructions: Option<String>,
    offers: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallFile {
    name: String,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakFile {
    kind: String,
    message: String,
    #[serde(default)]
    after_chunks: usize,
}

impl Script {
    /// Reads a script. The fault says which rule is wrong, and how.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: ScriptFile = toml::from_str(text).map_err(|fault| fault.to_string())?;
        if file.rule.len() > MAX_RULES {
            return Err(format!("a script has at most {MAX_RULES} rules; this one has {}", file.rule.len()));
        }
        let standard = Pace { chunk: Chunk::Words, delay: Duration::ZERO, chunk_delay: Duration::ZERO };
        let defaults = file.defaults.over(standard).map_err(|fault| format!("defaults: {fault}"))?;
        let last = file.rule.len();
        let mut rules = Vec::with_capacity(last);
        for (number, value) in (1_usize..).zip(file.rule) {
            let label = match value.get("name").and_then(Value::as_str) {
                Some(name) => format!("rule {number} ({name})"),
                None => format!("rule {number}"),
            };
            match rule(value, defaults).map_err(|fault| format!("{label}: {fault}"))? {
                (Some(when), rule) => rules.push((when, rule)),
                (None, fallback) if number == last => return Ok(Self { rules, fallback }),
                (None, _) => {
                    return Err(format!(
                        "{label}: a rule without `when` answers everything, so the rules after it would never be tried; \
                         move it to the end"
                    ));
                }
            }
        }
        Err("the last rule must be one without `when`, which answers what no other rule matches".to_owned())
    }

    /// Finds the rule that answers.
    pub(crate) fn find<'a>(&self, scene: &Scene<'a>) -> (&Rule, Match<'a>) {
        self.rules
            .iter()
            .find_map(|(when, rule)| Some((rule, when.find(scene)?)))
            .unwrap_or_else(|| (&self.fallback, Match::default()))
    }
}

fn rule(value: Value, defaults: Pace) -> Result<(Option<When>, Rule), String> {
    let file: RuleFile = value.try_into().map_err(|fault: toml::de::Error| one_line(&fault.to_string()))?;
    let when = file.when.map(when).transpose().map_err(|fault| format!("when: {fault}"))?;
    let patterns = when.as_ref().map(When::patterns).unwrap_or_default();
    let template = |key: &str, text: Option<String>| {
        text.map(|text| Template::parse(&text, patterns))
            .transpose()
            .map_err(|fault| format!("{key}: {fault}"))
    };
    let document = |key: &str, value: Option<Value>| {
        value
            .map(|value| Document::parse(&value, patterns))
            .transpose()
            .map_err(|fault| format!("{key}: {fault}"))
    };
    if file.say.is_none() && file.json.is_none() && file.tool_calls.is_empty() && file.error.is_none() {
        return Err("gives no answer; it needs `say`, `json`, `tool_calls` or `error`".to_owned());
    }
    let pace = PaceFile { chunk: file.chunk, delay_ms: file.delay_ms, chunk_delay_ms: file.chunk_delay_ms };
    let answer = Rule {
        say: template("say", file.say)?,
        reasoning: template("reasoning", file.reasoning)?,
        json: document("json", file.json)?,
        tool_calls: file
            .tool_calls
            .into_iter()
            .map(|call| Ok(Call { name: call.name, arguments: document("arguments", call.arguments)? }))
            .collect::<Result<_, String>>()
            .map_err(|fault| format!("tool_calls: {fault}"))?,
        usage: file.usage,
        stop: file.stop.as_deref().map(stop).transpose()?,
        error: file
            .error
            .map(|error| failure(error, patterns))
            .transpose()
            .map_err(|fault| format!("error: {fault}"))?,
        pace: pace.over(defaults)?,
    };
    Ok((when, answer))
}

fn when(file: WhenFile) -> Result<When, String> {
    let message = match (file.equals, file.contains, file.matches) {
        (None, None, None) => None,
        (Some(text), None, None) => Some(MessageTest::Equals(text.trim().to_lowercase())),
        (None, Some(text), None) => Some(MessageTest::Contains(text.to_lowercase())),
        (None, None, Some(text)) => Some(MessageTest::Matches(pattern("matches", &text)?)),
        _ => return Err("`equals`, `contains` and `matches` exclude each other; use one".to_owned()),
    };
    let asks_for_result = file.tool.is_some() || file.tool_output.is_some() || file.tool_error.is_some();
    if asks_for_result && (message.is_some() || file.attachments.is_some()) {
        return Err(
            "a conversation ends with a message or with a tool result; ask for one of them".to_owned()
        );
    }
    let optional = |key, text: Option<String>| text.map(|text| pattern(key, &text)).transpose();
    let when = When {
        message,
        result: if asks_for_result {
            let output = optional("tool_output", file.tool_output)?;
            Some(ResultTest { name: file.tool, output, is_error: file.tool_error })
        } else {
            None
        },
        attachments: file.attachments,
        turn: file.turn.map(|value| range("turn", &value)).transpose()?,
        messages: file.messages.map(|value| range("messages", &value)).transpose()?,
        previous: optional("previous", file.previous)?,
        instructions: optional("instructions", file.instructions)?,
        offers: file.offers,
    };
    if when.is_empty() {
        return Err("asks for nothing; leave `when` out for the rule that answers everything".to_owned());
    }
    Ok(when)
}

fn pattern(key: &str, text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|fault| format!("`{key}` is no regular expression: {}", one_line(&fault.to_string())))
}

/// Reads `3` or `{ from = 2, to = 5 }`, either end of which may be left out.
fn range(key: &str, value: &Value) -> Result<Range, String> {
    let number = |value: &Value| value.as_integer().and_then(|number| usize::try_from(number).ok());
    let read = || match value {
        Value::Table(table)
            if table.keys().all(|key| matches!(key.as_str(), "from" | "to")) && !table.is_empty() =>
        {
            let end = |key: &str, otherwise| table.get(key).map_or(Some(otherwise), number);
            Some(Range { from: end("from", 0)?, to: end("to", usize::MAX)? })
        }
        value => number(value).map(|number| Range { from: number, to: number }),
    };
    read().ok_or_else(|| format!("`{key}` must be a number or a range such as {{ from = 2, to = 5 }}"))
}

fn stop(text: &str) -> Result<StopReason, String> {
    match text {
        "end_turn" => Ok(StopReason::EndTurn),
        "max_tokens" => Ok(StopReason::MaxTokens),
        "content_filter" => Ok(StopReason::ContentFilter),
        "tool_calls" => Ok(StopReason::ToolCalls),
        _ => Err("`stop` must be `end_turn`, `max_tokens`, `content_filter` or `tool_calls`".to_owned()),
    }
}

fn failure(file: BreakFile, patterns: Patterns<'_>) -> Result<Break, String> {
    let kind = match file.kind.as_str() {
        "refused" => FailureKind::Refused,
        "unavailable" => FailureKind::Unavailable,
        "forbidden" => FailureKind::Forbidden,
        _ => return Err("`kind` must be `refused`, `unavailable` or `forbidden`".to_owned()),
    };
    let message = Template::parse(&file.message, patterns).map_err(|fault| format!("message: {fault}"))?;
    Ok(Break { kind, message, after_chunks: file.after_chunks })
}

impl PaceFile {
    fn over(self, base: Pace) -> Result<Pace, String> {
        let delay = |key: &str, given: Option<u64>, base: Duration| match given {
            None => Ok(base),
            Some(delay) if delay <= MAX_DELAY_MS => Ok(Duration::from_millis(delay)),
            Some(_) => Err(format!("`{key}` may be at most {MAX_DELAY_MS}")),
        };
        Ok(Pace {
            chunk: self.chunk.as_ref().map_or(Ok(base.chunk), chunk)?,
            delay: delay("delay_ms", self.delay_ms, base.delay)?,
            chunk_delay: delay("chunk_delay_ms", self.chunk_delay_ms, base.chunk_delay)?,
        })
    }
}

fn chunk(value: &Value) -> Result<Chunk, String> {
    let characters =
        || value.as_integer().and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
    match value.as_str() {
        Some("words") => Ok(Chunk::Words),
        Some("chars") => Ok(Chunk::Characters(1)),
        Some("whole") => Ok(Chunk::Whole),
        _ => characters().map(Chunk::Characters).ok_or_else(|| {
            "`chunk` must be \"words\", \"chars\", \"whole\" or a number of characters above 0".to_owned()
        }),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
