//! What a model is given: the thread's past as far as the budget allows, the input, and what the run has said so far.

use bytes::Bytes;
use domain::Problem;
use domain::content::{Content, Message, Part, Role, Source};
use domain::frames::Warning;
use domain::ids::SmithId;
use domain::items::{Item, ToolCall, ToolResult, turns_within_budget};
use domain::run::Run;
use domain::smiths::Config;
use models::{Attachment, Turn};
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

/// Lines up what the model answers to, oldest first.
pub(crate) fn conversation(
    record: &RunRecord,
    past: Vec<Vec<Item>>,
    machine: &Run,
    budget: u64,
) -> Vec<Item> {
    let fitting = turns_within_budget(&past, budget);
    let mut items: Vec<Item> = past.into_iter().take(fitting).rev().flatten().collect();
    items.extend(record.request.input.iter().cloned().map(Item::Message));
    items.extend(machine.transcript().iter().cloned());
    if let Some(why) = machine.repair() {
        items.push(Item::user(format!(
            "Your answer does not have the form that was asked for: {why}\nAnswer again, with nothing but the corrected JSON."
        )));
    }
    items
}

/// Turns items into a model's turns, with the bytes of uploaded files.
pub(crate) async fn turns(
    project: &ProjectStore,
    smith: SmithId,
    seal: &SmithSeal,
    items: Vec<Item>,
) -> Result<Vec<Turn>, Problem> {
    let mut turns = Vec::with_capacity(items.len());
    for item in items {
        turns.push(match item {
            Item::Message(Message { role: Role::Assistant, content }) => {
                Turn::Assistant { text: content.text() }
            }
            Item::Message(Message { role: Role::User, content }) => {
                let text = content.text();
                let mut attachments = Vec::new();
                if let Content::Parts(parts) = content {
                    for part in parts {
                        if let Some(attachment) = attachment(project, smith, seal, part).await? {
                            attachments.push(attachment);
                        }
                    }
                }
                Turn::User { text, attachments }
            }
            Item::ToolCall(call) => Turn::ToolCall(call),
            Item::ToolResult(result) => Turn::ToolResult(result),
        });
    }
    Ok(turns)
}

async fn attachment(
    project: &ProjectStore,
    smith: SmithId,
    seal: &SmithSeal,
    part: Part,
) -> Result<Option<Attachment>, Problem> {
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
    let Some(file) = project.file(smith, id, seal).await? else {
        return Err(Problem::invalid_input("input", "A file of the input is gone. Upload it again."));
    };
    let bytes = Bytes::from(file.bytes);
    Ok(Some(if is_image {
        Attachment::Image { media_type: file.media_type, bytes }
    } else {
        Attachment::File { media_type: file.media_type, filename: file.filename, bytes }
    }))
}

/// Answers a call of a tool that the model was not offered.
pub(crate) fn no_such_tool(call: &ToolCall) -> ToolResult {
    ToolResult {
        call_id: call.id.clone(),
        name: call.name.clone(),
        output: "There is no such tool here. Answer without it.".to_owned(),
        is_error: true,
    }
}

/// Names what the configuration asks for and this server has not got; the run does without it.
pub(crate) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, message: String| warnings.push(Warning { code: code.to_owned(), message });
    for tool in &config.enabled_hosted_tools {
        warn("tool_unavailable", format!("The hosted tool `{tool}` is not available on this server."));
    }
    for tool in config.tools.iter().flatten() {
        warn("tool_source_unavailable", format!("The tool `{tool}` is not available on this server."));
    }
    for server in config.mcp_servers.iter().flatten() {
        warn(
            "tool_source_unavailable",
            format!("The MCP server `{server}` is not available on this server."),
        );
    }
    if !config.skills.is_empty() {
        warn("skill_files_unavailable", "Skills are not available on this server.".to_owned());
    }
    if config.auto_memory == Some(true) {
        warn("memory_unavailable", "Memory is not available on this server.".to_owned());
    }
    warnings
}
