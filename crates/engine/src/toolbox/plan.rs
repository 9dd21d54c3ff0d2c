//! Planning: whether a call that a model asks for can be made at all, by whom, and whether a human must agree first.

use std::collections::HashSet;

use domain::ids::ApprovalId;
use domain::items::{Item, ToolCall};
use domain::run::{Carrier, Gated, Plan};
use serde_json::{Map, Value};

use crate::schemas;

use super::{Offer, Source, Toolbox};

/// What bounds the calls of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repetition {
    /// How many calls one answer may ask for.
    pub(crate) calls: usize,
    /// How often the same call may be made in one run.
    pub(crate) same: usize,
}

impl Toolbox {
    /// Plans the calls of one answer. What cannot be made is answered with an error that the model can do something with.
    pub(crate) fn plan(
        &self,
        calls: &[ToolCall],
        transcript: &[Item],
        limits: Repetition,
        mut mint: impl FnMut() -> ApprovalId,
    ) -> Vec<Plan> {
        // A turn ends with calls of functions, so calls that run here come before it.
        let runs_here = |call: &ToolCall| {
            self.find(&call.name).is_some_and(|offer| !matches!(offer.source, Source::Client { .. }))
        };
        let is_mixed = calls.iter().any(runs_here);
        let plan = |(index, call): (usize, &ToolCall)| {
            if index >= limits.calls {
                let most = limits.calls;
                return Plan::nobody(format!(
                    "Not called: one answer may ask for {most} calls at most. Ask again."
                ));
            }
            if let Some(offer @ Offer { source: Source::Client { .. }, .. }) = self.find(&call.name) {
                if is_mixed {
                    return Plan::nobody(format!(
                        "Not called yet: `{}` is carried out by the user's program, which gets its turn after the tools that \
                         run here. Use their results, and then call it in an answer without them.",
                        call.name
                    ));
                }
                // Its caller knows what to make of the arguments.
                return Plan { tool: Some(offer.source.identity()), carrier: Carrier::Client, gate: None };
            }
            let offer = match self.checked(call) {
                Ok((offer, _)) => offer,
                Err(why) => return Plan::nobody(why),
            };
            let before = calls.iter().take(index);
            let same = times_made(call, transcript)
                .saturating_add(before.filter(|other| is_same(call, other)).count());
            if same >= limits.same {
                return Plan::nobody(format!(
                    "Not called: `{}` was called {same} times with exactly these arguments. Use the results that you have, or do \
                     something else.",
                    call.name
                ));
            }
            let carrier = match &offer.source {
                Source::External { .. } => Carrier::Caller,
                _ => Carrier::Server { is_repeatable: offer.annotations.is_repeatable() },
            };
            let gate = offer.gate.map(|gate| Gated { approval: mint(), gate });
            Plan { carrier, gate, tool: Some(offer.source.identity()) }
        };
        calls.iter().enumerate().map(plan).collect()
    }

    /// Finds the tool of a call and reads its arguments, or says what is wrong with either.
    fn checked(&self, call: &ToolCall) -> Result<(&Offer, Map<String, Value>), String> {
        let Some(offer) = self.find(&call.name) else {
            return Err(if self.offers().is_empty() {
                "There are no tools here. Answer without them.".to_owned()
            } else {
                let names: Vec<_> = self.offers().iter().map(|offer| offer.name.as_str()).collect();
                format!("There is no such tool. The tools are: {}.", names.join(", "))
            });
        };
        let args = match serde_json::from_str(&call.arguments) {
            Ok(Value::Object(args)) => args,
            // Models leave out the arguments of tools that take none.
            _ if call.arguments.trim().is_empty() => Map::new(),
            Ok(_) => return Err("Not called: the arguments must be a JSON object.".to_owned()),
            Err(error) => return Err(format!("Not called: the arguments are not JSON ({error}).")),
        };
        offer.accept(&args)?;
        Ok((offer, args))
    }
}

impl Offer {
    /// Checks arguments against the tool's schema.
    pub(crate) fn check(&self, args: &Map<String, Value>) -> Result<(), String> {
        fits(&self.schema, &Value::Object(args.clone()))
    }

    /// Checks arguments that are to be sent, and says what a model is told of those that miss the schema.
    pub(super) fn accept(&self, args: &Map<String, Value>) -> Result<(), String> {
        self.check(args)
            .map_err(|why| format!("Not called: the arguments do not fit the tool's schema. {why}"))
    }
}

/// Tells where a value misses a schema: every place up to a few, so that a model can correct them at once.
pub(crate) fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    const PLACES: usize = 5;
    if !schemas::is_bounded(schema) {
        return Err(
            "The schema itself refers to its parts so often that nothing is held against it.".to_owned()
        );
    }
    let Ok(validator) = jsonschema::validator_for(schema) else {
        return Err("The schema itself is not valid.".to_owned());
    };
    let places: Vec<String> = validator
        .iter_errors(value)
        .take(PLACES)
        .map(|error| {
            let at = error.instance_path().to_string();
            let at = if at.is_empty() { "/".to_owned() } else { at };
            format!("At `{at}`: {}.", crate::structured::shorten(&error.to_string()))
        })
        .collect();
    if places.is_empty() { Ok(()) } else { Err(places.join(" ")) }
}

/// Gives each call an id of its own in the run: some providers count anew in each answer, and some name none.
pub(crate) fn tell_apart(calls: &mut [ToolCall], transcript: &[Item]) {
    let mut taken: HashSet<String> = transcript
        .iter()
        .filter_map(|item| match item {
            Item::ToolCall(call) => Some(call.id.clone()),
            _ => None,
        })
        .collect();
    for call in calls {
        let given = if call.id.is_empty() { "call" } else { call.id.as_str() };
        let mut id = given.to_owned();
        let mut number = 1;
        while !taken.insert(id.clone()) {
            number += 1;
            id = format!("{given}_{number}");
        }
        call.id = id;
    }
}

/// Counts how often a call was made in the run with the same arguments.
fn times_made(call: &ToolCall, transcript: &[Item]) -> usize {
    let made = transcript.iter().filter(|item| matches!(item, Item::ToolCall(made) if is_same(call, made)));
    made.count()
}

fn is_same(one: &ToolCall, other: &ToolCall) -> bool {
    if one.name != other.name {
        return false;
    }
    let (one, other) = (&one.arguments, &other.arguments);
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == other || read(one).is_some_and(|one| Some(one) == read(other))
}
