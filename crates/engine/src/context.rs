//! What a model is given: the thread's past as far as the budget allows, the input, and what the run has said so far.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use domain::content::{Content, Message, Part, Role, Source};
use domain::frames::Warning;
use domain::ids::{FileId, SmithId};
use domain::items::{Item, turns_within_budget, with_calls_answered};
use domain::models::Provider;
use domain::run::Run;
use domain::smiths::Config;
use models::parts::left_out;
use models::{Attachment, Turn};
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

use crate::{Options, attachments};

/// How many turns of a thread are read at once.
const CHUNK: usize = 16;

/// Reads a thread's past as far as the budget allows, oldest turn first.
pub(crate) async fn past(
    project: &ProjectStore,
    record: &RunRecord,
    seal: &SmithSeal,
    options: &Options,
) -> Result<Vec<Item>, store::Error> {
    let mut turns: Vec<Vec<Item>> = Vec::new();
    let mut before = record.id;
    while turns.len() < options.context_turns {
        let limit = CHUNK.min(options.context_turns.saturating_sub(turns.len()));
        let chunk = project.turns_before(before, record.smith, &record.thread_id, seal, limit).await?;
        let is_last = chunk.len() < limit;
        for (run, turn) in chunk {
            before = run;
            turns.push(turn);
        }
        // What does not fit any more is not read on.
        if is_last || turns_within_budget(&turns, options.context_tokens) < turns.len() {
            break;
        }
    }
    turns.truncate(turns_within_budget(&turns, options.context_tokens));
    Ok(turns.into_iter().rev().flatten().collect())
}

/// Lines up what the model answers to, oldest first.
pub(crate) fn conversation(record: &RunRecord, past: Vec<Item>, machine: &Run) -> Vec<Item> {
    let mut items = past;
    items.extend(record.request.clone().items());
    items.extend(machine.transcript().iter().cloned());
    let mut items = showing_attachments(with_calls_answered(items));
    items.extend(machine.repair().map(Item::user));
    items
}

/// Shows what tools gave back besides text as if the user had sent it: a result itself takes text alone with most providers.
/// It comes behind all results of an answer, because nothing may stand between those.
fn showing_attachments(items: Vec<Item>) -> Vec<Item> {
    let mut shown = Vec::with_capacity(items.len());
    let mut attached: Vec<Part> = Vec::new();
    for item in items {
        match &item {
            Item::ToolResult(result) if !result.attachments.is_empty() => {
                let text = format!("[What the tool `{}` returned besides its text:]", result.name);
                attached.push(Part::Text { text });
                attached.extend(result.attachments.iter().cloned());
            }
            Item::ToolResult(_) => {}
            _ if !attached.is_empty() => {
                let content = Content::Parts(std::mem::take(&mut attached));
                shown.push(Item::Message(Message { role: Role::User, content }));
            }
            _ => {}
        }
        shown.push(item);
    }
    if !attached.is_empty() {
        shown.push(Item::Message(Message { role: Role::User, content: Content::Parts(attached) }));
    }
    shown
}

/// Reads the files that a conversation names: each once, however often it is named, and no more than the limit.
pub(crate) struct Files<'a> {
    project: &'a ProjectStore,
    smith: SmithId,
    seal: &'a SmithSeal,
    provider: Provider,
    /// The files that this very request brought, whose types were looked at when it came.
    brought: HashSet<FileId>,
    read: HashMap<FileId, Option<(String, String, Bytes)>>,
    left: usize,
}

impl<'a> Files<'a> {
    pub(crate) fn new(
        project: &'a ProjectStore,
        record: &RunRecord,
        seal: &'a SmithSeal,
        provider: Provider,
        limit: usize,
    ) -> Self {
        let request = &record.request;
        let messages: Vec<&Message> =
            request.overlay.past.iter().filter_map(Item::message).chain(&request.input).collect();
        let brought = attachments::referenced(&messages).into_iter().map(|(file, _)| file).collect();
        Self { project, smith: record.smith, seal, provider, brought, read: HashMap::new(), left: limit }
    }

    /// Turns items into a model's turns. The newest attachments come first when the limit is short.
    pub(crate) async fn turns(&mut self, items: Vec<Item>) -> Result<Vec<Turn>, store::Error> {
        let mut turns = Vec::with_capacity(items.len());
        for item in items.into_iter().rev() {
            turns.push(match item {
                Item::Message(Message { role: Role::Assistant, content }) => {
                    Turn::Assistant { text: content.text() }
                }
                Item::Message(Message { role: Role::User, content }) => {
                    let mut text = content.text();
                    let mut attachments = Vec::new();
                    if let Content::Parts(parts) = content {
                        for part in parts {
                            match self.shown(part).await? {
                                Some(Shown::As(attachment)) => attachments.push(attachment),
                                Some(Shown::InWords(note)) if text.is_empty() => text = note,
                                Some(Shown::InWords(note)) => text.push_str(&format!("\n\n{note}")),
                                None => {}
                            }
                        }
                    }
                    Turn::User { text, attachments }
                }
                Item::ToolCall(call) => Turn::ToolCall(call),
                Item::ToolResult(result) => Turn::ToolResult(result),
            });
        }
        turns.reverse();
        Ok(turns)
    }

    /// Finds how a part is shown. One that the provider may refuse, and so the whole thread in every turn, is told in words.
    async fn shown(&mut self, part: Part) -> Result<Option<Shown>, store::Error> {
        let is_brought = match &part {
            Part::Text { .. } => return Ok(None),
            Part::Image(source) | Part::File(source) => {
                source.file_id.is_none_or(|id| self.brought.contains(&id))
            }
        };
        let attachment = self.attachment(part).await?;
        Ok(attachment.map(|attachment| match left_out(self.provider, &attachment) {
            Some(note) if !is_brought => Shown::InWords(note),
            _ => Shown::As(attachment),
        }))
    }

    async fn attachment(&mut self, part: Part) -> Result<Option<Attachment>, store::Error> {
        let (source, is_image) = match part {
            Part::Text { .. } => return Ok(None),
            Part::Image(source) => (source, true),
            Part::File(source) => (source, false),
        };
        let Source { file_id, image_url, file_url, filename, .. } = source;
        if let Some(url) = image_url {
            return Ok(Some(Attachment::ImageUrl(url)));
        }
        if let Some(url) = file_url {
            return Ok(Some(Attachment::FileUrl { url, filename }));
        }
        let Some(id) = file_id else { return Ok(None) };
        // Each mention is sent to the provider, so each counts; what does not fit is not even read.
        let size = self.project.file_size(self.smith, id).await?.and_then(|size| usize::try_from(size).ok());
        let Some(left) = size.and_then(|size| self.left.checked_sub(size)) else { return Ok(None) };
        let Some((media_type, filename, bytes)) = self.file(id).await? else { return Ok(None) };
        self.left = left;
        Ok(Some(if is_image {
            Attachment::Image { media_type, bytes }
        } else {
            Attachment::File { media_type, filename, bytes }
        }))
    }

    async fn file(&mut self, id: FileId) -> Result<Option<(String, String, Bytes)>, store::Error> {
        if let Some(read) = self.read.get(&id) {
            return Ok(read.clone());
        }
        let file = self.project.file(self.smith, id, self.seal).await?;
        let file = file.map(|file| (file.media_type, file.filename, Bytes::from(file.bytes)));
        self.read.insert(id, file.clone());
        Ok(file)
    }
}

/// How a model sees an image or a file.
enum Shown {
    As(Attachment),
    InWords(String),
}

/// Names what the configuration asks for and this server has not got, tools aside; the run does without it.
pub(crate) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, message: String| warnings.push(Warning { code: code.to_owned(), message });
    if !config.skills.is_empty() {
        warn("skill_files_unavailable", "Skills are not available on this server.".to_owned());
    }
    if config.auto_memory == Some(true) {
        warn("memory_unavailable", "Memory is not available on this server.".to_owned());
    }
    warnings
}
