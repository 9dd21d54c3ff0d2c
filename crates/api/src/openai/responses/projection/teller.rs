//! Telling one frame: events, the brackets of a stretch, and how it ends.

use domain::{Code, one_line};
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::{Event, Item, Projection, Told};
use crate::openai::responses::facts::Facts;
use crate::openai::responses::items::INCOMPLETE;
use crate::openai::responses::object::{self, Outcome};

/// The data of an event on the wire. Each word of an answer is one, so they are written without detours.
#[derive(Serialize)]
struct Data<F> {
    r#type: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    fields: F,
}

#[derive(Serialize)]
struct WithResponse<R> {
    response: R,
}

/// The telling of one frame.
pub(super) struct Teller<'a> {
    pub(super) projection: &'a mut Projection,
    pub(super) seq: u64,
    /// None: nobody wants to hear of it.
    events: Option<Vec<Event>>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(projection: &'a mut Projection, seq: u64, is_heard: bool) -> Self {
        Self { projection, seq, events: is_heard.then(Vec::new) }
    }

    pub(super) fn events(self) -> Vec<Event> {
        self.events.unwrap_or_default()
    }

    /// Tells an event, whose fields are made only for somebody who hears it. It counts in any case.
    pub(super) fn tell<F: Serialize>(&mut self, kind: &'static str, fields: impl FnOnce(&Projection) -> F) {
        let number = self.projection.number;
        self.projection.number = number.saturating_add(1);
        let Some(events) = &mut self.events else { return };
        let mut data = Vec::new();
        let fields = fields(self.projection);
        one_line::write(&Data { r#type: kind, sequence_number: number, fields }, &mut data);
        events.push(Event { number, seq: self.seq, kind, data });
    }

    /// Opens a stretch with the first frame of it.
    pub(super) fn begin(&mut self) {
        if self.projection.stretch.is_some() {
            return;
        }
        self.projection.stretch = Some(self.projection.told.len());
        self.projection.pending.clear();
        self.projection.outcome = None;
        // Both show the same, so it is written once.
        let shell = self.events.as_ref().and_then(|_| to_raw_value(&self.projection.shell).ok());
        self.tell("response.created", |_| WithResponse { response: &shell });
        self.tell("response.in_progress", |_| WithResponse { response: &shell });
    }

    /// Adds an item and returns its place.
    pub(super) fn add(&mut self, item: Item) -> usize {
        let index = self.projection.told.len();
        self.tell("response.output_item.added", |_| json!({"output_index": index, "item": item.made()}));
        self.projection.told.push(Told { item, seq: self.seq, is_void: false });
        index
    }

    /// Ends an item as it is.
    pub(super) fn done(&mut self, index: usize) {
        if index >= self.projection.told.len() {
            return;
        }
        self.tell("response.output_item.done", |projection| {
            let item = projection.told.get(index).map(|told| told.item.made());
            json!({"output_index": index, "item": item})
        });
    }

    /// Ends an item with its final form.
    pub(super) fn done_as(&mut self, index: usize, item: Value) {
        if let Some(told) = self.projection.told.get_mut(index) {
            told.item = Item::Made(item);
        }
        self.done(index);
    }

    pub(super) fn is_told(&self, id: &str) -> bool {
        let is_it = |item: &Item| match item {
            Item::Made(item) => item.get("id").and_then(Value::as_str) == Some(id),
            Item::Speech(_) => false,
        };
        self.projection.told.iter().any(|told| is_it(&told.item))
    }

    /// Ends what a failure or a cancellation has cut.
    pub(super) fn cut(&mut self) {
        self.end_speech(INCOMPLETE);
        self.cut_calls();
    }

    pub(super) fn fail(&mut self, code: Code, message: &str, facts: &Facts) {
        self.cut();
        let kind = facts.problem(code, message).kind();
        self.error(kind, code.as_str(), message);
        self.end(Outcome::Failed { kind, code: code.as_str(), message: message.to_owned() }, facts);
    }

    pub(super) fn cancel(&mut self, reason: Option<&str>, facts: &Facts) {
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
    pub(super) fn error(&mut self, kind: &str, code: &str, message: &str) {
        let nested = json!({"message": message, "type": kind, "param": null, "code": code});
        self.tell("error", |_| json!({"message": message, "code": code, "param": null, "error": nested}));
    }

    /// Closes the stretch.
    pub(super) fn end(&mut self, outcome: Outcome, facts: &Facts) {
        self.cut_calls();
        let first = self.projection.stretch.take().unwrap_or_default();
        let since = self.projection.told.get(first).map_or(u64::MAX, |told| told.seq);
        let kind = match outcome {
            Outcome::Completed | Outcome::Paused => "response.completed",
            Outcome::Incomplete(_) => "response.incomplete",
            Outcome::Failed { .. } | Outcome::Cancelled { .. } => "response.failed",
        };
        let ended_at = facts.ended_at.filter(|_| outcome != Outcome::Paused);
        let tokens = facts.tokens_at(self.seq);
        self.tell(kind, |projection| {
            let (shell, output) = (projection.shell.clone(), projection.output(since));
            WithResponse { response: object::ended(shell, &outcome, output, tokens, ended_at) }
        });
        self.projection.outcome = Some(outcome);
    }
}

/// Says of a response that somebody has stopped it.
fn cancelled(reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("The response was cancelled: {reason}"),
        None => "The response was cancelled.".to_owned(),
    }
}
