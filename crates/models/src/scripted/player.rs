//! What a rule answers as a plan, and the plan as a stream.

use std::time::Duration;

use domain::items::ToolCall;
use domain::response_format::ResponseFormat;
use domain::run::StopReason;
use domain::usage::Tokens;
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::json;

use super::format::{Chunk, Rule, Script};
use super::instance::instance;
use super::matcher::{Match, Scene};
use crate::call::{Event, Failure, Request, Tool, ToolChoice, Turn};

/// What an image or a file counts for, in tokens.
const ATTACHMENT_TOKENS: u64 = 1_000;

/// How the ids of tool calls begin.
const CALL_PREFIX: &str = "call_";

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Wait(Duration),
    Emit(Event),
    Fail(Failure),
}

/// Decides the whole answer. Reads nothing but its arguments.
pub(crate) fn plan(script: &Script, request: &Request) -> Vec<Step> {
    let scene = Scene::new(request);
    let (rule, found) = script.find(&scene);
    let mut calls = calls(rule, &scene, &found);
    let mut text = text(rule, &scene, &found, !calls.is_empty());
    let mut stop =
        rule.stop.unwrap_or(if calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolCalls });
    if let Some(most) = request.max_output_tokens.filter(|most| count(&text) > *most) {
        let bytes = usize::try_from(most.saturating_mul(BYTES_A_TOKEN)).unwrap_or(usize::MAX);
        text.truncate(text.floor_char_boundary(bytes));
        calls.clear();
        stop = StopReason::MaxTokens;
    }
    let reasoning = rule.reasoning.as_ref().map(|reasoning| reasoning.render(&scene, &found));
    let tokens = tokens(rule, request, &text, reasoning.as_deref(), &calls);

    let chunks = split(&text, rule.pace.chunk);
    let mut steps = Vec::with_capacity(chunks.len().saturating_mul(2));
    let wait = |steps: &mut Vec<Step>, delay: Duration| {
        if !delay.is_zero() {
            steps.push(Step::Wait(delay));
        }
    };
    wait(&mut steps, rule.pace.delay);
    let spoken = rule.error.as_ref().map_or(chunks.len(), |error| error.after_chunks.min(chunks.len()));
    if let Some(reasoning) = reasoning.filter(|_| rule.error.is_none() || spoken > 0) {
        steps.push(Step::Emit(Event::Reasoning(reasoning)));
    }
    for (index, chunk) in chunks.into_iter().take(spoken).enumerate() {
        if index > 0 {
            wait(&mut steps, rule.pace.chunk_delay);
        }
        steps.push(Step::Emit(Event::Text(chunk)));
    }
    if let Some(error) = &rule.error {
        let message = error.message.render(&scene, &found);
        steps.push(Step::Fail(Failure { kind: error.kind, message }));
        return steps;
    }
    steps.extend(calls.into_iter().map(Event::ToolCall).map(Step::Emit));
    steps.push(Step::Emit(Event::Finished { stop, tokens }));
    steps
}

/// Plays a plan in real time.
pub(crate) fn play(steps: Vec<Step>) -> BoxStream<'static, Result<Event, Failure>> {
    stream::unfold(steps.into_iter(), |mut steps| async move {
        loop {
            match steps.next()? {
                Step::Wait(delay) => tokio::time::sleep(delay).await,
                Step::Emit(event) => return Some((Ok(event), steps)),
                Step::Fail(failure) => return Some((Err(failure), Vec::new().into_iter())),
            }
        }
    })
    .boxed()
}

/// The text of the answer. Where a form is asked for, what the rule says would rarely have it: then the rule's `json`
/// answers, or a value made for the schema. With tool calls there is no such text: the calls are the answer.
fn text(rule: &Rule, scene: &Scene<'_>, found: &Match<'_>, with_calls: bool) -> String {
    let said = || rule.say.as_ref().map(|say| say.render(scene, found));
    let json = || rule.json.as_ref().map(|json| json.render(scene, found));
    match &scene.request.response_format {
        None => said().or_else(json).unwrap_or_default(),
        Some(_) if with_calls => String::new(),
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            json().unwrap_or_else(|| instance(schema).to_string())
        }
        Some(ResponseFormat::JsonObject) => {
            json().unwrap_or_else(|| json!({ "message": said().unwrap_or_default() }).to_string())
        }
    }
}

fn calls(rule: &Rule, scene: &Scene<'_>, found: &Match<'_>) -> Vec<ToolCall> {
    let choice = &scene.request.tool_choice;
    let mut calls: Vec<(String, String)> = rule
        .tool_calls
        .iter()
        .filter(|call| match choice {
            ToolChoice::None => false,
            ToolChoice::Named(name) => call.name == *name,
            ToolChoice::Auto | ToolChoice::Required => true,
        })
        .map(|call| {
            let arguments = call.arguments.as_ref().map(|arguments| arguments.render(scene, found));
            (call.name.clone(), arguments.unwrap_or_else(|| "{}".to_owned()))
        })
        .collect();
    if calls.is_empty() {
        calls.extend(
            forced(scene.request).map(|tool| (tool.name.clone(), instance(&tool.parameters).to_string())),
        );
    }
    (next_call_number(scene.request)..)
        .zip(calls)
        .map(|(number, (name, arguments))| ToolCall {
            id: format!("{CALL_PREFIX}{number}"),
            name,
            arguments,
            provider_data: None,
        })
        .collect()
}

/// The tool that the request wants called, whatever the rule says.
fn forced(request: &Request) -> Option<&Tool> {
    match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Required => request.tools.first(),
        ToolChoice::Named(name) => request.tools.iter().find(|tool| tool.name == *name),
    }
}

/// Ids go on from the highest one in the conversation, so that they stay unique although the past may be cut off.
fn next_call_number(request: &Request) -> u64 {
    let numbers = request.turns.iter().filter_map(|turn| match turn {
        Turn::ToolCall(call) => call.id.strip_prefix(CALL_PREFIX)?.parse::<u64>().ok(),
        _ => None,
    });
    numbers.max().unwrap_or_default().saturating_add(1)
}

fn split(text: &str, chunk: Chunk) -> Vec<String> {
    match chunk {
        Chunk::Words => text.split_inclusive(char::is_whitespace).map(str::to_owned).collect(),
        Chunk::Whole if text.is_empty() => Vec::new(),
        Chunk::Whole => vec![text.to_owned()],
        Chunk::Characters(size) => {
            let mut chunks = Vec::new();
            let mut rest = text.chars();
            loop {
                let chunk: String = rest.by_ref().take(size).collect();
                if chunk.is_empty() {
                    return chunks;
                }
                chunks.push(chunk);
            }
        }
    }
}

const BYTES_A_TOKEN: u64 = 4;

/// Counts tokens the same way every time: four bytes each.
fn count(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).div_ceil(BYTES_A_TOKEN)
}

fn tokens(rule: &Rule, request: &Request, text: &str, reasoning: Option<&str>, calls: &[ToolCall]) -> Tokens {
    let turn = |turn: &Turn| match turn {
        Turn::User { text, attachments } => {
            let attachments = u64::try_from(attachments.len()).unwrap_or(u64::MAX);
            count(text).saturating_add(attachments.saturating_mul(ATTACHMENT_TOKENS))
        }
        Turn::Assistant { text } => count(text),
        Turn::ToolCall(call) => call_tokens(call),
        Turn::ToolResult(result) => count(&result.output),
    };
    let tool = |tool: &Tool| {
        let words = count(&tool.name).saturating_add(count(&tool.description));
        words.saturating_add(count(&tool.parameters.to_string()))
    };
    let asked = request.turns.iter().map(turn).chain(request.tools.iter().map(tool));
    let thought = count(reasoning.unwrap_or_default());
    let answered = count(text).saturating_add(thought);
    Tokens {
        input: rule
            .usage
            .input
            .unwrap_or_else(|| asked.fold(count(&request.instructions), u64::saturating_add)),
        output: rule
            .usage
            .output
            .unwrap_or_else(|| calls.iter().map(call_tokens).fold(answered, u64::saturating_add)),
        cache_read: rule.usage.cache_read.unwrap_or_default(),
        cache_write: rule.usage.cache_write.unwrap_or_default(),
        reasoning: rule.usage.reasoning.unwrap_or(thought),
    }
}

fn call_tokens(call: &ToolCall) -> u64 {
    count(&call.name).saturating_add(count(&call.arguments))
}
