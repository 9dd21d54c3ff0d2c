//! Planning: whether a call that a model asks for can be made at all, by whom, and whether a human must agree first.

use std::collections::{HashMap, HashSet};

use domain::ids::ApprovalId;
use domain::items::{Item, ToolCall};
use domain::run::{Carrier, Gated, Plan};
use domain::schemas;
use serde_json::{Map, Value};

use super::{Offer, Source, Toolbox};

/// How many bytes of names a model is told that has called a tool that is not there.
const LISTED: usize = 2_000;

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
        let mut made = Made::by(transcript);
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
            let same = made.once_more(call);
            if same >= limits.same {
                return Plan::nobody(format!(
                    "Not called: `{}` was called {} times with exactly these arguments. Use the results that you have, or do \
                     something else.",
                    call.name, limits.same
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
                format!("There is no such tool. The tools are: {}.", self.names())
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

    /// Lists the names of the tools, as many as a model that has missed one has use for.
    fn names(&self) -> String {
        let mut names = String::new();
        for (index, offer) in self.offers().iter().enumerate() {
            if names.len().saturating_add(offer.name.len()) > LISTED {
                let left = self.offers().len().saturating_sub(index);
                names.push_str(&format!(" and {left} more"));
                break;
            }
            if index > 0 {
                names.push_str(", ");
            }
            names.push_str(&offer.name);
        }
        names
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
    // Where the numbers of each id go on: an id that comes a hundred times is not counted up from one a hundred times.
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for call in calls {
        let given = if call.id.is_empty() { "call" } else { call.id.as_str() };
        let mut id = given.to_owned();
        if !taken.insert(id.clone()) {
            let number = numbers.entry(id).or_insert(1);
            loop {
                *number = number.saturating_add(1);
                id = format!("{given}_{number}");
                if taken.insert(id.clone()) {
                    break;
                }
            }
        }
        call.id = id;
    }
}

/// What a call is made with: two texts of the same JSON are the same.
#[derive(PartialEq, Eq, Hash)]
enum Arguments {
    Json(Value),
    Text(String),
}

impl Arguments {
    fn of(call: &ToolCall) -> Self {
        serde_json::from_str(&call.arguments).map_or_else(|_| Self::Text(call.arguments.clone()), Self::Json)
    }
}

/// How often calls were made in the run, by what they call and with what. Each is read once.
struct Made(HashMap<(String, Arguments), usize>);

impl Made {
    fn by(transcript: &[Item]) -> Self {
        let mut made = Self(HashMap::new());
        for item in transcript {
            if let Item::ToolCall(call) = item {
                made.once_more(call);
            }
        }
        made
    }

    /// Counts a call, and returns how often it was made before.
    fn once_more(&mut self, call: &ToolCall) -> usize {
        let times = self.0.entry((call.name.clone(), Arguments::of(call))).or_default();
        let before = *times;
        *times = before.saturating_add(1);
        before
    }
}
