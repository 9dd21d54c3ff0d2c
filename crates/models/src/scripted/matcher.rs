//! Which rule of a script answers a request.

use domain::items::ToolResult;
use regex::{Captures, Regex};

use super::template::{Patterns, Source};
use crate::call::{Request, Turn};

/// A conversation as the rules see it.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) request: &'a Request,
    /// What the user said, newest first.
    said: Vec<&'a str>,
    attachments: usize,
    /// The tool results that the conversation ends with, newest first.
    results: Vec<&'a ToolResult>,
    ends_with_user: bool,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(request: &'a Request) -> Self {
        let newest_first = || request.turns.iter().rev();
        let said = newest_first()
            .filter_map(|turn| match turn {
                Turn::User { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let attachments = newest_first()
            .find_map(|turn| match turn {
                Turn::User { attachments, .. } => Some(attachments.len()),
                _ => None,
            })
            .unwrap_or_default();
        let results = newest_first()
            .map_while(|turn| match turn {
                Turn::ToolResult(result) => Some(result),
                _ => None,
            })
            .collect();
        let ends_with_user = matches!(request.turns.last(), Some(Turn::User { .. }));
        Self { request, said, attachments, results, ends_with_user }
    }

    pub(crate) fn last_message(&self) -> &'a str {
        self.said.first().copied().unwrap_or_default()
    }

    /// What the user said before the last message, newest first.
    pub(crate) fn earlier_messages(&self) -> impl Iterator<Item = &'a str> {
        self.said.iter().skip(1).copied()
    }

    pub(crate) fn previous_reply(&self) -> &'a str {
        self.request
            .turns
            .iter()
            .rev()
            .find_map(|turn| match turn {
                Turn::Assistant { text } => Some(text.as_str()),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// How many messages the user has sent.
    pub(crate) fn turn(&self) -> usize {
        self.said.len()
    }

    /// How many messages user and assistant have sent.
    pub(crate) fn messages(&self) -> usize {
        let counts = |turn: &&Turn| matches!(turn, Turn::User { .. } | Turn::Assistant { .. });
        self.request.turns.iter().filter(counts).count()
    }

    pub(crate) fn attachments(&self) -> usize {
        self.attachments
    }

    pub(crate) fn offered(&self) -> impl Iterator<Item = &'a str> {
        self.request.tools.iter().map(|tool| tool.name.as_str())
    }

    /// The tool result that a rule matched, else the newest that the conversation ends with.
    pub(crate) fn result_of(&self, found: &Match<'a>) -> Option<&'a ToolResult> {
        found.result.or_else(|| self.results.first().copied())
    }
}

/// How the last message is compared.
#[derive(Clone, Debug)]
pub(crate) enum MessageTest {
    /// The whole message, in lower case and without white space around it.
    Equals(String),
    /// A part of the message, in lower case.
    Contains(String),
    Matches(Regex),
}

/// A number, or a range of numbers with its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Range {
    const fn holds(self, number: usize) -> bool {
        self.from <= number && number <= self.to
    }
}

/// What a tool result must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResultTest {
    pub(crate) name: Option<String>,
    pub(crate) output: Option<Regex>,
    pub(crate) is_error: Option<bool>,
}

/// The conditions of a rule; all must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct When {
    pub(crate) message: Option<MessageTest>,
    pub(crate) result: Option<ResultTest>,
    pub(crate) attachments: Option<bool>,
    pub(crate) turn: Option<Range>,
    pub(crate) messages: Option<Range>,
    pub(crate) previous: Option<Regex>,
    pub(crate) instructions: Option<Regex>,
    pub(crate) offers: Option<String>,
}

/// What the patterns of a rule found.
#[derive(Debug, Default)]
pub(crate) struct Match<'a> {
    last: Option<Captures<'a>>,
    previous: Option<Captures<'a>>,
    instructions: Option<Captures<'a>>,
    result: Option<&'a ToolResult>,
}

impl Match<'_> {
    /// The text of a capture group; empty where the group took no part.
    pub(crate) fn capture(&self, source: Source, group: usize) -> &str {
        let captures = match source {
            Source::Last => &self.last,
            Source::Previous => &self.previous,
            Source::Instructions => &self.instructions,
        };
        captures
            .as_ref()
            .and_then(|captures| captures.get(group))
            .map(|found| found.as_str())
            .unwrap_or_default()
    }
}

impl When {
    pub(crate) fn patterns(&self) -> Patterns<'_> {
        let message = match &self.message {
            Some(MessageTest::Matches(pattern)) => Some(pattern),
            _ => None,
        };
        let output = self.result.as_ref().and_then(|result| result.output.as_ref());
        Patterns {
            last: message.or(output),
            previous: self.previous.as_ref(),
            instructions: self.instructions.as_ref(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                message: None,
                result: None,
                attachments: None,
                turn: None,
                messages: None,
                previous: None,
                instructions: None,
                offers: None,
            }
        )
    }

    /// Tries the conditions. None: one of them does not hold.
    pub(crate) fn find<'a>(&self, scene: &Scene<'a>) -> Option<Match<'a>> {
        let mut found = Match::default();
        if let Some(test) = &self.message {
            // An answer to a tool result is not an answer to the message before it: otherwise a rule that calls a tool
            // would call it again and again.
            if !scene.ends_with_user {
                return None;
            }
            match test {
                MessageTest::Equals(text) => holds(scene.last_message().trim().to_lowercase() == *text)?,
                MessageTest::Contains(text) => holds(scene.last_message().to_lowercase().contains(text))?,
                MessageTest::Matches(pattern) => found.last = Some(pattern.captures(scene.last_message())?),
            }
        }
        if let Some(test) = &self.result {
            let result = scene.results.iter().copied().find(|result| test.accepts(result))?;
            found.result = Some(result);
            found.last = test.output.as_ref().and_then(|pattern| pattern.captures(&result.output));
        }
        if let Some(wanted) = self.attachments {
            holds(scene.ends_with_user && wanted == (scene.attachments > 0))?;
        }
        holds(self.turn.is_none_or(|range| range.holds(scene.turn())))?;
        holds(self.messages.is_none_or(|range| range.holds(scene.messages())))?;
        holds(self.offers.as_ref().is_none_or(|name| scene.offered().any(|offered| offered == name)))?;
        if let Some(pattern) = &self.previous {
            found.previous = Some(scene.earlier_messages().find_map(|message| pattern.captures(message))?);
        }
        if let Some(pattern) = &self.instructions {
            found.instructions = Some(pattern.captures(&scene.request.instructions)?);
        }
        Some(found)
    }
}

fn holds(condition: bool) -> Option<()> {
    condition.then_some(())
}

impl ResultTest {
    fn accepts(&self, result: &ToolResult) -> bool {
        self.name.as_ref().is_none_or(|name| *name == result.name)
            && self.is_error.is_none_or(|is_error| is_error == result.is_error)
            && self.output.as_ref().is_none_or(|pattern| pattern.is_match(&result.output))
    }
}
