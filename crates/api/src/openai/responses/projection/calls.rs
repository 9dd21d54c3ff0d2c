//! Calls, and what a run waits for.

use domain::frames::PendingCall;
use domain::run::OUTCOME_UNKNOWN;
use serde_json::{Map, Value, json};

use super::teller::Teller;
use super::{Item, composite};
use crate::openai::item_ids::{Kind, Place, item_id};
use crate::openai::responses::facts::Facts;
use crate::openai::responses::items::{self, COMPLETED, FAILED, IN_PROGRESS, INCOMPLETE, McpCall};
use crate::openai::responses::object::Outcome;

/// A call that is being made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calling {
    pub(super) index: usize,
    pub(super) id: String,
    pub(super) name: String,
}

impl Teller<'_> {
    fn name_of_call(&self, kind: Kind, call: &str, times: usize) -> String {
        // A call that is told again has to have another id each time.
        let again = format!("{call}\0{times}");
        item_id(kind, self.projection.run, Place::Call(if times == 0 { call } else { &again }))
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

    pub(super) fn call(&mut self, tool: &str, call: &str, facts: &Facts) {
        let times = self.projection.times.entry(call.to_owned()).or_default();
        let before = *times;
        *times = before.saturating_add(1);
        let id = self.name_of_call(Kind::McpCall, call, before);
        let mut calling = Calling { index: 0, id, name: tool.to_owned() };
        let item = self.render_call(&calling, call, facts, (IN_PROGRESS, None, None));
        calling.index = self.add(Item::Made(item));
        self.tell(
            "response.mcp_call.in_progress",
            |_| json!({"item_id": calling.id, "output_index": calling.index}),
        );
        self.projection.calling.push(calling);
    }

    fn take_calling(&mut self, call: &str) -> Option<Calling> {
        let times = self.projection.times.get(call).copied().unwrap_or_default();
        let id = self.name_of_call(Kind::McpCall, call, times.saturating_sub(1));
        let at = self.projection.calling.iter().position(|calling| calling.id == id)?;
        Some(self.projection.calling.remove(at))
    }

    pub(super) fn end_call(&mut self, tool: &str, call: &str, is_error: bool, facts: &Facts) {
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
        self.tell(kind, |_| json!({"item_id": calling.id, "output_index": calling.index}));
        self.done_as(calling.index, item);
    }

    /// Ends a call whose tool wants to know something first. It is told again once that is known.
    pub(super) fn interrupt_call(&mut self, call: &str, facts: &Facts) {
        let Some(calling) = self.take_calling(call) else { return };
        let item = self.render_call(&calling, call, facts, (INCOMPLETE, None, None));
        self.done_as(calling.index, item);
        if let Some(told) = self.projection.told.get_mut(calling.index) {
            told.is_void = true;
        }
    }

    /// Tells that a human has to decide. A call that asks several times is asked about under one id.
    pub(super) fn ask(&mut self, tool: &str, call: &str, args: &Map<String, Value>, facts: &Facts) {
        let id = composite(self.projection.run, call);
        if self.is_told(&id) {
            return;
        }
        let arguments = Value::Object(args.clone()).to_string();
        let item = items::approval_request(&id, facts.label(call), tool, &arguments);
        let index = self.add(Item::Made(item));
        self.done(index);
    }

    fn function(&mut self, call: &str, call_id: &str, name: &str, arguments: &str) {
        let id = self.name_of_call(Kind::FunctionCall, call, 0);
        if self.is_told(&id) {
            return;
        }
        let index = self.add(Item::Made(items::function_call(&id, call_id, name, "", IN_PROGRESS)));
        self.tell(
            "response.function_call_arguments.delta",
            |_| json!({"item_id": id, "output_index": index, "delta": arguments}),
        );
        self.tell(
            "response.function_call_arguments.done",
            |_| json!({"item_id": id, "output_index": index, "name": name, "arguments": arguments}),
        );
        self.done_as(index, items::function_call(&id, call_id, name, arguments, COMPLETED));
    }

    pub(super) fn pause(&mut self, pending: &[PendingCall], facts: &Facts) {
        for call in pending.iter().filter(|call| call.approval_id.is_none()) {
            let call_id = composite(self.projection.run, &call.tool_call_id);
            let arguments = Value::Object(call.args.clone()).to_string();
            self.function(&call.tool_call_id, &call_id, &call.tool, &arguments);
        }
        self.projection.pending = pending.to_vec();
        self.end(Outcome::Paused, facts);
    }

    pub(super) fn hand_over(&mut self, facts: &Facts) {
        for call in facts.handed_over() {
            self.function(&call.id, &call.id, &call.name, &call.arguments);
        }
    }

    /// Ends the calls that nothing more will be told of in this stretch.
    pub(super) fn cut_calls(&mut self) {
        for calling in std::mem::take(&mut self.projection.calling) {
            let error = "The call was not finished: its run has ended.";
            let call = self.projection.told.get(calling.index).map(|told| told.item.made());
            let Some(Value::Object(mut item)) = call else { continue };
            item.insert("status".to_owned(), Value::from(FAILED));
            item.insert("error".to_owned(), Value::from(error));
            self.tell(
                "response.mcp_call.failed",
                |_| json!({"item_id": calling.id, "output_index": calling.index}),
            );
            self.done_as(calling.index, Value::Object(item));
        }
    }
}
