//! Telling one frame: events, the brackets of a stretch, and how it ends.

use domain::{Code, Problem};
use serde_json::{Map, Value, json};

use super::{Event, Item, Projection, Told};
use crate::openai::responses::facts::Facts;
use crate::openai::responses::items::INCOMPLETE;
use crate::openai::responses::object::{self, Outcome};

/// The telling of one frame.
pub(super) struct Teller<'a> {
    pub(super) projection: &'a mut Projection,
    pub(super) seq: u64,
    events: Vec<Event>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(projection: &'a mut Projection, seq: u64) -> Self {
        Self { projection, seq, events: Vec::new() }
    }

    pub(super) fn events(self) -> Vec<Event> {
        self.events
    }

    pub(super) fn tell(&mut self, kind: &'static str, fields: Value) {
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
    pub(super) fn begin(&mut self) {
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
    pub(super) fn add(&mut self, item: Item) -> usize {
        let index = self.projection.told.len();
        self.tell("response.output_item.added", json!({"output_index": index, "item": item.made()}));
        self.projection.told.push(Told { item, seq: self.seq, is_void: false });
        index
    }

    /// Ends an item as it is.
    pub(super) fn done(&mut self, index: usize) {
        let Some(told) = self.projection.told.get(index) else { return };
        let item = told.item.made();
        self.tell("response.output_item.done", json!({"output_index": index, "item": item}));
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
        let kind = Problem::new(code, message).kind();
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
        self.tell("error", json!({"message": message, "code": code, "param": null, "error": nested}));
    }

    /// Closes the stretch.
    pub(super) fn end(&mut self, outcome: Outcome, facts: &Facts) {
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
fn cancelled(reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("The response was cancelled: {reason}"),
        None => "The response was cancelled.".to_owned(),
    }
}
