//! The fixed projection of a run's log: a fold of its frames into Responses events and output items.
//!
//! It reads nothing but the log, so every reader at any time gets the same numbers, ids and items. Each stretch between pauses
//! is a response of its own: created, its items, a terminal event.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use domain::frames::{Frame, PendingCall};
use domain::ids::RunId;
use domain::{Code, Problem};
use serde_json::{Map, Value, json};

use super::facts::Facts;
use super::items::{self, COMPLETED, FAILED, IN_PROGRESS, INCOMPLETE, McpCall};
use super::object::{self, Outcome};
use crate::openai::item_ids::{Kind, Place, item_id};

/// What a model is told of a call that a crash cut off.
const OUTCOME_UNKNOWN: &str = r#"{"error":"outcome_unknown"}"#;

/// An event of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) number: u64,
    /// The frame that it was made from.
    pub(super) seq: u64,
    pub(super) kind: &'static str,
    pub(super) data: Value,
}

/// An item that was told.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    item: Value,
    /// The frame with which it began.
    seq: u64,
    /// Whether it is no part of the output: a crash has cut it off.
    is_void: bool,
}

/// A message that is being said.
#[derive(Clone, Debug, PartialEq)]
struct Saying {
    index: usize,
    id: String,
    text: String,
    /// Where in the text each delta ends, by its seq.
    deltas: Vec<(u64, usize)>,
}

/// A call that is being made.
#[derive(Clone, Debug, PartialEq)]
struct Calling {
    index: usize,
    id: String,
    name: String,
}

/// The state of the fold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Projection {
    run: RunId,
    /// The response as it is before anything came of it.
    shell: Map<String, Value>,
    number: u64,
    told: Vec<Told>,
    /// The first item of the present stretch; None between stretches.
    stretch: Option<usize>,
    messages: usize,
    saying: Option<Saying>,
    calling: Vec<Calling>,
    /// How often each call was told: once more each time that its tool asked something in the middle of it.
    times: HashMap<String, usize>,
    /// What the run waits for at its present pause.
    pending: Vec<PendingCall>,
    pub(super) outcome: Option<Outcome>,
}

impl Projection {
    pub(super) fn new(run: RunId, shell: Map<String, Value>) -> Self {
        Self {
            run,
            shell,
            number: 0,
            told: Vec::new(),
            stretch: None,
            messages: 0,
            saying: None,
            calling: Vec::new(),
            times: HashMap::new(),
            pending: Vec::new(),
            outcome: None,
        }
    }

    /// Tells whether a frame is told with what only the journal knows.
    pub(super) const fn needs_facts(frame: &Frame) -> bool {
        !matches!(
            frame,
            Frame::Started { .. }
                | Frame::Delta { .. }
                | Frame::MessageCompleted { .. }
                | Frame::Resumed { .. }
        )
    }

    /// Takes the next frame of the log and returns the events that tell it.
    pub(super) fn apply(&mut self, seq: u64, frame: &Frame, facts: &Facts) -> Vec<Event> {
        let mut to = Teller { projection: self, seq, events: Vec::new() };
        to.begin();
        match frame {
            Frame::Started { .. } => {}
            Frame::Delta { delta } => to.delta(delta),
            Frame::MessageCompleted { .. } => to.end_message(COMPLETED),
            Frame::Resumed { discard_after, .. } => to.void_message(*discard_after),
            Frame::ToolExecuting { tool, tool_call_id } => {
                to.end_message(COMPLETED);
                to.call(tool, tool_call_id, facts);
            }
            Frame::ToolCompleted { tool, tool_call_id, is_error } => {
                to.end_message(COMPLETED);
                to.end_call(tool, tool_call_id, *is_error, facts);
            }
            Frame::ApprovalRequired { tool, tool_call_id, args, .. } => {
                to.end_message(COMPLETED);
                to.interrupt_call(tool_call_id, facts);
                to.ask(tool, tool_call_id, args, facts);
            }
            Frame::Paused { tool_calls, .. } => {
                to.end_message(COMPLETED);
                to.pause(tool_calls, facts);
            }
            Frame::Completed { stop_reason, .. } => {
                to.end_message(COMPLETED);
                if stop_reason == "tool_calls" {
                    to.hand_over(facts);
                }
                let outcome = match stop_reason.as_str() {
                    "max_tokens" => Outcome::Incomplete("max_output_tokens"),
                    "content_filter" => Outcome::Incomplete("content_filter"),
                    _ => Outcome::Completed,
                };
                to.end(outcome, facts);
            }
            Frame::Failed { error, code } => to.fail(*code, error, facts),
            Frame::Cancelled { reason } => to.cancel(reason.as_deref(), facts),
        }
        to.events
    }

    /// Returns the items that began with the frame `since` or later, and what the run waits for though it was told before.
    pub(super) fn output(&self, since: u64) -> Vec<Value> {
        self.output_where(|told| told.seq >= since)
    }

    /// Returns every item that was ever told, the cut off ones, too: they can be referred to.
    pub(super) fn items(&self) -> impl Iterator<Item = &Value> {
        self.told.iter().map(|told| &told.item)
    }

    fn output_where(&self, is_new: impl Fn(&Told) -> bool) -> Vec<Value> {
        let is_pending = |item: &Value| {
            let name = item.get("call_id").or_else(|| item.get("id")).and_then(Value::as_str);
            let mut pending = self.pending.iter();
            pending.any(|call| name == Some(composite(self.run, &call.tool_call_id).as_str()))
        };
        let shown = |told: &&Told| !told.is_void && (is_new(told) || is_pending(&told.item));
        self.told.iter().filter(shown).map(|told| told.item.clone()).collect()
    }

    fn name_of_call(&self, kind: Kind, call: &str, times: usize) -> String {
        // A call that is told again has to have another id each time.
        let again = format!("{call}\0{times}");
        item_id(kind, self.run, Place::Call(if times == 0 { call } else { &again }))
    }
}

/// Names a call of a run for whoever answers it.
pub(super) fn composite(run: RunId, call: &str) -> String {
    format!("{run}::{call}")
}

/// The telling of one frame.
struct Teller<'a> {
    projection: &'a mut Projection,
    seq: u64,
    events: Vec<Event>,
}

impl Teller<'_> {
    fn tell(&mut self, kind: &'static str, fields: Value) {
        let mut data = Map::new();
        data.insert("type".to_owned(), Value::from(kind));
        data.insert("sequence_number".to_owned(), Value::from(self.projection.number));
        if let Value::Object(fields) = fields {
            data.extend(fields);
        }
        let number = self.projection.number;
        self.events.push(Event { number, seq: self.seq, kind, data: Value::Object(data) });
        self.projection.number = number.saturating_add(1);
    }

    /// Opens a stretch with the first frame of it.
    fn begin(&mut self) {
        if self.projection.stretch.is_some() {
            return;
        }
        self.projection.stretch = Some(self.projection.told.len());
        self.projection.pending.clear();
        self.projection.outcome = None;
        let response = Value::Object(self.projection.shell.clone());
        self.tell("response.created", json!({"response": response}));
        self.tell("response.in_progress", json!({"response": response}));
    }

    /// Adds an item and returns its place.
    fn add(&mut self, item: Value) -> usize {
        let index = self.projection.told.len();
        self.tell("response.output_item.added", json!({"output_index": index, "item": item}));
        self.projection.told.push(Told { item, seq: self.seq, is_void: false });
        index
    }

    /// Ends an item with its final form.
    fn done(&mut self, index: usize, item: Value) {
        self.tell("response.output_item.done", json!({"output_index": index, "item": item}));
        if let Some(told) = self.projection.told.get_mut(index) {
            told.item = item;
        }
    }

    fn delta(&mut self, delta: &str) {
        if delta.is_empty() {
            return;
        }
        let mut saying = match self.projection.saying.take() {
            Some(saying) => saying,
            None => self.begin_message(),
        };
        self.tell(
            "response.output_text.delta",
            json!({
                "item_id": saying.id,
                "output_index": saying.index,
                "content_index": 0,
                "delta": delta,
                "logprobs": [],
            }),
        );
        saying.text.push_str(delta);
        saying.deltas.push((self.seq, saying.text.len()));
        if let Some(told) = self.projection.told.get_mut(saying.index) {
            told.item = items::message(&saying.id, IN_PROGRESS, Some(&saying.text));
        }
        self.projection.saying = Some(saying);
    }

    fn begin_message(&mut self) -> Saying {
        let number = self.projection.messages;
        self.projection.messages = number.saturating_add(1);
        let id = item_id(Kind::Message, self.projection.run, Place::Said(number));
        let index = self.add(items::message(&id, IN_PROGRESS, None));
        let part = items::text_part("");
        self.tell(
            "response.content_part.added",
            json!({"item_id": id, "output_index": index, "content_index": 0, "part": part}),
        );
        Saying { index, id, text: String::new(), deltas: Vec::new() }
    }

    fn end_message(&mut self, status: &str) {
        let Some(Saying { index, id, text, .. }) = self.projection.saying.take() else { return };
        self.tell(
            "response.output_text.done",
            json!({"item_id": id, "output_index": index, "content_index": 0, "text": text, "logprobs": []}),
        );
        let part = items::text_part(&text);
        self.tell(
            "response.content_part.done",
            json!({"item_id": id, "output_index": index, "content_index": 0, "part": part}),
        );
        self.done(index, items::message(&id, status, Some(&text)));
    }

    /// Ends a message that a crash has cut. What was said of it before the cut call stays in the output.
    fn void_message(&mut self, discard_after: u64) {
        let Some(saying) = self.projection.saying.clone() else { return };
        self.end_message(INCOMPLETE);
        let valid = saying.deltas.iter().rev().find(|(seq, _)| *seq <= discard_after);
        let valid = valid.and_then(|(_, end)| saying.text.get(..*end)).unwrap_or_default();
        let Some(told) = self.projection.told.get_mut(saying.index) else { return };
        if valid.is_empty() {
            told.is_void = true;
        } else {
            told.item = items::message(&saying.id, COMPLETED, Some(valid));
        }
    }

    fn render_call(
        &self,
        calling: &Calling,
        call: &str,
        facts: &Facts,
        (status, output, error): (&str, Option<&str>, Option<&str>),
    ) -> Value {
        let request = composite(self.projection.run, call);
        let was_asked = self.projection.times.get(call).is_some_and(|times| *times > 1);
        let item = McpCall {
            id: &calling.id,
            server_label: facts.label(call),
            name: &calling.name,
            arguments: &facts.arguments(call),
            approval_request_id: (was_asked || facts.is_gated(call)).then_some(request.as_str()),
        };
        item.render(status, output, error)
    }

    fn call(&mut self, tool: &str, call: &str, facts: &Facts) {
        let times = self.projection.times.entry(call.to_owned()).or_default();
        let before = *times;
        *times = before.saturating_add(1);
        let id = self.projection.name_of_call(Kind::McpCall, call, before);
        let mut calling = Calling { index: 0, id, name: tool.to_owned() };
        let item = self.render_call(&calling, call, facts, (IN_PROGRESS, None, None));
        calling.index = self.add(item);
        self.tell(
            "response.mcp_call.in_progress",
            json!({"item_id": calling.id, "output_index": calling.index}),
        );
        self.projection.calling.push(calling);
    }

    fn take_calling(&mut self, call: &str) -> Option<Calling> {
        let times = self.projection.times.get(call).copied().unwrap_or_default();
        let id = self.projection.name_of_call(Kind::McpCall, call, times.saturating_sub(1));
        let at = self.projection.calling.iter().position(|calling| calling.id == id)?;
        Some(self.projection.calling.remove(at))
    }

    fn end_call(&mut self, tool: &str, call: &str, is_error: bool, facts: &Facts) {
        let calling = match self.take_calling(call) {
            Some(calling) => calling,
            // It was told in an earlier stretch, and goes on after an answer to what its tool has asked.
            None => {
                self.call(tool, call, facts);
                let Some(calling) = self.take_calling(call) else { return };
                calling
            }
        };
        let result = facts.result(call);
        let outcome = if is_error {
            (FAILED, None, Some(result.unwrap_or(OUTCOME_UNKNOWN)))
        } else {
            (COMPLETED, Some(result.unwrap_or_default()), None)
        };
        let item = self.render_call(&calling, call, facts, outcome);
        let kind = if is_error { "response.mcp_call.failed" } else { "response.mcp_call.completed" };
        self.tell(kind, json!({"item_id": calling.id, "output_index": calling.index}));
        self.done(calling.index, item);
    }

    /// Ends a call whose tool wants to know something first. It is told again once that is known.
    fn interrupt_call(&mut self, call: &str, facts: &Facts) {
        let Some(calling) = self.take_calling(call) else { return };
        let item = self.render_call(&calling, call, facts, (INCOMPLETE, None, None));
        self.done(calling.index, item);
        if let Some(told) = self.projection.told.get_mut(calling.index) {
            told.is_void = true;
        }
    }

    fn is_told(&self, id: &str) -> bool {
        self.projection.told.iter().any(|told| told.item.get("id").and_then(Value::as_str) == Some(id))
    }

    /// Tells that a human has to decide. A call that asks several times is asked about under one id.
    fn ask(&mut self, tool: &str, call: &str, args: &Map<String, Value>, facts: &Facts) {
        let id = composite(self.projection.run, call);
        if self.is_told(&id) {
            return;
        }
        let arguments = Value::Object(args.clone()).to_string();
        let item = items::approval_request(&id, facts.label(call), tool, &arguments);
        let index = self.add(item.clone());
        self.done(index, item);
    }

    fn function(&mut self, call: &str, call_id: &str, name: &str, arguments: &str) {
        let id = self.projection.name_of_call(Kind::FunctionCall, call, 0);
        if self.is_told(&id) {
            return;
        }
        let index = self.add(items::function_call(&id, call_id, name, "", IN_PROGRESS));
        self.tell(
            "response.function_call_arguments.delta",
            json!({"item_id": id, "output_index": index, "delta": arguments}),
        );
        self.tell(
            "response.function_call_arguments.done",
            json!({"item_id": id, "output_index": index, "name": name, "arguments": arguments}),
        );
        self.done(index, items::function_call(&id, call_id, name, arguments, COMPLETED));
    }

    fn pause(&mut self, pending: &[PendingCall], facts: &Facts) {
        for call in pending.iter().filter(|call| call.approval_id.is_none()) {
            let call_id = composite(self.projection.run, &call.tool_call_id);
            let arguments = Value::Object(call.args.clone()).to_string();
            self.function(&call.tool_call_id, &call_id, &call.tool, &arguments);
        }
        self.projection.pending = pending.to_vec();
        self.end(Outcome::Paused, facts);
    }

    fn hand_over(&mut self, facts: &Facts) {
        for call in facts.handed_over() {
            self.function(&call.id, &call.id, &call.name, &call.arguments);
        }
    }

    /// Ends what a failure or a cancellation has cut.
    fn cut(&mut self) {
        self.end_message(INCOMPLETE);
        self.cut_calls();
    }

    /// Ends the calls that nothing more will be told of in this stretch.
    fn cut_calls(&mut self) {
        for calling in std::mem::take(&mut self.projection.calling) {
            let error = "The call was not finished: its run has ended.";
            let call = self.projection.told.get(calling.index).map(|told| told.item.clone());
            let Some(Value::Object(mut item)) = call else { continue };
            item.insert("status".to_owned(), Value::from(FAILED));
            item.insert("error".to_owned(), Value::from(error));
            self.tell(
                "response.mcp_call.failed",
                json!({"item_id": calling.id, "output_index": calling.index}),
            );
            self.done(calling.index, Value::Object(item));
        }
    }

    fn fail(&mut self, code: Code, message: &str, facts: &Facts) {
        self.cut();
        let kind = Problem::new(code, message).kind();
        self.error(kind, code.as_str(), message);
        self.end(Outcome::Failed { kind, code: code.as_str(), message: message.to_owned() }, facts);
    }

    fn cancel(&mut self, reason: Option<&str>, facts: &Facts) {
        self.cut();
        let message = cancelled(reason);
        // A client that saw nothing takes the failure for one of the server, and would ask again.
        if self.projection.stretch == Some(self.projection.told.len()) {
            let code = Code::RunCancelled.as_str();
            self.error("invalid_request_error", code, &message);
        }
        self.end(Outcome::Cancelled { message }, facts);
    }

    /// Tells an error twice over: some clients read it flat and some nested.
    fn error(&mut self, kind: &str, code: &str, message: &str) {
        let nested = json!({"message": message, "type": kind, "param": null, "code": code});
        self.tell("error", json!({"message": message, "code": code, "param": null, "error": nested}));
    }

    /// Closes the stretch.
    fn end(&mut self, outcome: Outcome, facts: &Facts) {
        self.cut_calls();
        let first = self.projection.stretch.take().unwrap_or_default();
        let since = self.projection.told.get(first).map_or(u64::MAX, |told| told.seq);
        let response = object::ended(
            self.projection.shell.clone(),
            &outcome,
            self.projection.output(since),
            facts.tokens_at(self.seq),
            facts.ended_at.filter(|_| outcome != Outcome::Paused),
        );
        let kind = match outcome {
            Outcome::Completed | Outcome::Paused => "response.completed",
            Outcome::Incomplete(_) => "response.incomplete",
            Outcome::Failed { .. } | Outcome::Cancelled { .. } => "response.failed",
        };
        self.projection.outcome = Some(outcome);
        self.tell(kind, json!({"response": response}));
    }
}

/// Says of a response that somebody has stopped it.
pub(super) fn cancelled(reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("The response was cancelled: {reason}"),
        None => "The response was cancelled.".to_owned(),
    }
}
