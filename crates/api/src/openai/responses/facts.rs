//! What the journal of a run knows and its frames do not say: arguments, results, tokens, and who carries calls out.

use std::collections::HashMap;

use domain::ids::ApprovalId;
use domain::items::{ToolCall, ToolResult};
use domain::run::{Carrier, Choice, Input, Plan};
use domain::tools::Identity;
use domain::usage::Tokens;
use domain::{Code, Problem, Timestamp};
use serde_json::{Map, Value};
use store::runs::{RunError, RunRecord, Saved};

use crate::openai::labels::Labels;
use crate::openai::turn::failed;

/// A reading of a run's journal. What it says of a call never changes once it is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    calls: HashMap<String, (ToolCall, Option<Plan>)>,
    results: HashMap<String, ToolResult>,
    edited: HashMap<ApprovalId, Map<String, Value>>,
    /// The tokens of each answer, with the seq that followed it.
    tokens: Vec<(u64, Tokens)>,
    /// The calls of the newest answer that its caller carries out.
    handed_over: Vec<ToolCall>,
    /// The names of the MCP servers that were called.
    pub(super) labels: Labels,
    /// The seq up to which the reading goes.
    pub(super) next_seq: u64,
    pub(super) ended_at: Option<Timestamp>,
    /// Whether what the run failed of may be gone later.
    is_transient: bool,
}

impl Facts {
    pub(super) fn of(saved: &Saved) -> Self {
        let inputs = saved.journal.iter().map(|entry| (&entry.input, entry.next_seq));
        Self::read(&saved.record, inputs)
    }

    /// Takes what the record of a run that has ended knows: all there is of one without calls.
    pub(super) fn of_ended(record: &RunRecord) -> Self {
        let tokens = record.tokens.map(|tokens| (record.next_seq, tokens)).into_iter().collect();
        Self { tokens, ..Self::read(record, std::iter::empty()) }
    }

    fn read<'a>(record: &RunRecord, inputs: impl Iterator<Item = (&'a Input, u64)>) -> Self {
        let ended_at = record.status.is_final().then_some(record.updated_at);
        let error = record.result.as_ref().and_then(|result| result.error.as_ref());
        let is_transient = error.is_some_and(|error| error.transient);
        Self { next_seq: record.next_seq, ended_at, is_transient, ..Self::of_journal(inputs) }
    }

    pub(super) fn of_journal<'a>(inputs: impl Iterator<Item = (&'a Input, u64)>) -> Self {
        let mut facts = Self::default();
        for (input, next_seq) in inputs {
            facts.next_seq = next_seq;
            match input {
                Input::Replied { reply } => {
                    if !reply.tokens.is_unknown() {
                        facts.tokens.push((next_seq, reply.tokens));
                    }
                    let plans = reply.plans.iter().map(Some).chain(std::iter::repeat(None));
                    facts.handed_over.clear();
                    for (call, plan) in reply.tool_calls.iter().zip(plans) {
                        if plan.is_some_and(|plan| plan.carrier == Carrier::Client) {
                            facts.handed_over.push(call.clone());
                        }
                        facts.calls.insert(call.id.clone(), (call.clone(), plan.cloned()));
                    }
                }
                Input::Settled { settlement } => {
                    facts.results.insert(settlement.result.call_id.clone(), settlement.result.clone());
                }
                Input::Decided { approval, choice: Choice::Approve { args: Some(args), .. }, .. } => {
                    facts.edited.insert(*approval, args.clone());
                }
                _ => {}
            }
        }
        facts
    }

    /// Tells of a failure as the request that waits for the run is told of it.
    pub(super) fn problem(&self, code: Code, message: &str) -> Problem {
        failed(&RunError { code, message: message.to_owned(), transient: self.is_transient })
    }

    /// Tells whether any call is known.
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    fn plan(&self, call: &str) -> Option<&Plan> {
        self.calls.get(call).and_then(|(_, plan)| plan.as_ref())
    }

    /// Tells whether a human had to agree to the call before it was made.
    pub(super) fn is_gated(&self, call: &str) -> bool {
        self.plan(call).is_some_and(|plan| plan.gate.is_some())
    }

    /// Returns the arguments that a call is made with, as JSON text.
    pub(super) fn arguments(&self, call: &str) -> String {
        let gate = self.plan(call).and_then(|plan| plan.gate);
        if let Some(args) = gate.and_then(|gate| self.edited.get(&gate.approval)) {
            return Value::Object(args.clone()).to_string();
        }
        let written = self.calls.get(call).map(|(call, _)| call.arguments.trim()).unwrap_or_default();
        // Models leave out the arguments of tools that take none.
        if written.is_empty() { "{}".to_owned() } else { written.to_owned() }
    }

    /// Lists the tools that were called.
    pub(super) fn tools(&self) -> impl Iterator<Item = &Identity> {
        self.calls.values().filter_map(|(_, plan)| plan.as_ref()).filter_map(|plan| plan.tool.as_ref())
    }

    pub(super) fn result(&self, call: &str) -> Option<&str> {
        self.results.get(call).map(|result| result.output.as_str())
    }

    /// Returns the calls of the run's last answer that its caller carries out.
    pub(super) fn handed_over(&self) -> &[ToolCall] {
        &self.handed_over
    }

    /// Names who carries a call out.
    pub(super) fn label(&self, call: &str) -> &str {
        self.labels.of(self.plan(call).and_then(|plan| plan.tool.as_ref()))
    }

    /// Adds up what the run had used when the frame `seq` was stored.
    pub(super) fn tokens_at(&self, seq: u64) -> Option<Tokens> {
        let known = self.tokens.iter().filter(|(next_seq, _)| *next_seq <= seq.saturating_add(1));
        known.map(|(_, tokens)| *tokens).reduce(Tokens::plus)
    }
}
