//! Rules on event streams (behaviour 6, 10.2, 10.3), checked frame by frame while the stream runs.

use http::HeaderMap;
use serde_json::{Value, json};

use super::{Contract, head};
use crate::sse::{DONE, Event, Frame};

/// Where a run's stream must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStart {
    /// With this seq.
    At(u64),
    /// With any seq; from there on without gaps.
    Anywhere,
}

/// Which projection of a run's log the stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The answer to a request that moves a run on: ends with the pause.
    Run,
    /// The log of a run: a pause may lie in its middle.
    Log,
    Chat,
    Responses,
    /// A stream that the contract does not describe: only the format counts.
    Other,
}

/// Checks one stream. Feed it each [`Event`] as it comes, then ask for [`StreamCheck::end`] when it is to be complete.
#[derive(Debug)]
pub struct StreamCheck {
    kind: Kind,
    start: StreamStart,
    may_stop_anywhere: bool,
    commented: bool,
    last: Option<Frame>,
    last_id: Option<u64>,
    run_id: Option<Value>,
    has_text: bool,
    violations: Vec<String>,
}

impl StreamCheck {
    /// Prepares the check of the answer to a request, and checks the answer's headers.
    pub fn new(contract: &Contract, method: &str, path: &str, headers: &HeaderMap) -> Self {
        let template = contract.routes.template(method, path);
        let kind = match (method, template) {
            ("GET", "/v1/smiths/{pid}/runs/{rid}/events") => Kind::Log,
            ("POST", "/v1/chat/completions") => Kind::Chat,
            (_, "/v1/responses" | "/v1/responses/{id}") => Kind::Responses,
            (
                "POST",
                "/v1/smiths/{pid}/runs" | "/v1/smiths/{pid}/runs/{rid}/replay" | "/v1/hosted/{depId}/chat",
            )
            | ("POST", "/v1/smiths/{pid}/runs/{rid}/submit") => Kind::Run,
            _ => Kind::Other,
        };
        let begins = kind == Kind::Run && !template.ends_with("/submit");
        let mut check = Self {
            kind,
            start: if begins { StreamStart::At(0) } else { StreamStart::Anywhere },
            // Behind the last event there is nothing.
            may_stop_anywhere: path.contains("follow=false") || path.contains("starting_after="),
            commented: false,
            last: None,
            last_id: None,
            run_id: None,
            has_text: false,
            violations: Vec::new(),
        };
        check.check_headers(headers);
        check
    }

    /// Says where the stream must begin, where the request alone does not tell: after a `Last-Event-ID`, say.
    pub fn starting(mut self, start: StreamStart) -> Self {
        self.start = start;
        self
    }

    /// Checks the next event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Comment(_) => self.commented = true,
            Event::Frame(frame) => self.frame(frame),
        }
    }

    /// Fails the test when anything was wrong up to here.
    ///
    /// # Panics
    /// When there are violations.
    pub fn assert_clean(&self) {
        assert!(
            self.violations.is_empty(),
            "the stream breaks the contract:\n  {}",
            self.violations.join("\n  ")
        );
    }

    /// Checks that the stream may end here, and returns all violations.
    pub fn end(mut self) -> Vec<String> {
        let last = self.last.as_ref().map(|frame| frame.event.as_str());
        let complete = match self.kind {
            Kind::Other => true,
            // Nothing is left of a run at rest, or only what is stored was asked for.
            Kind::Log => {
                last.is_none_or(|event| self.may_stop_anywhere || is_terminal(event) || event == "run.paused")
            }
            Kind::Run => last.is_some_and(|event| is_terminal(event) || event == "run.paused"),
            Kind::Chat => self.last.as_ref().is_some_and(|frame| frame.data == DONE),
            Kind::Responses => last.map_or(self.may_stop_anywhere, is_end_of_response),
        };
        if !complete {
            self.violations.push(format!("the stream ends after {last:?}"));
        }
        self.violations
    }

    fn wrong(&mut self, problem: impl Into<String>) {
        self.violations.push(problem.into());
    }

    fn check_headers(&mut self, headers: &HeaderMap) {
        if !matches!(self.kind, Kind::Run | Kind::Log) {
            return;
        }
        let wanted = [
            ("content-type", "text/event-stream; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ];
        for (name, value) in wanted {
            if head::text(headers, name) != Some(value) {
                self.wrong(format!("a stream with {name} {:?}, not {value}", head::text(headers, name)));
            }
        }
    }

    fn frame(&mut self, frame: &Frame) {
        if self.kind != Kind::Other && !self.commented {
            self.wrong("no comment line before the first frame");
            self.commented = true;
        }
        match self.kind {
            Kind::Run | Kind::Log => self.run_frame(frame),
            Kind::Chat => self.chat_chunk(frame),
            Kind::Responses => self.response_event(frame),
            Kind::Other => {}
        }
        self.last_id = frame.id.or(self.last_id);
        self.last = Some(frame.clone());
    }

    fn run_frame(&mut self, frame: &Frame) {
        let contract = Contract::load();
        let mut broken = if self.kind == Kind::Log {
            let parsed =
                json!({"seq": frame.id, "type": frame.event, "data": frame.data, "created_at": null});
            contract.violations_of("RunEventOut", &parsed)
        } else {
            Vec::new()
        };
        broken.extend(contract.violations_of("RunStreamFrame", &frame.data));
        broken.extend(missing_fields(frame));
        self.violations
            .extend(broken.into_iter().map(|problem| format!("{} {:?}: {problem}", frame.event, frame.id)));

        if frame.data.get("event").is_some() {
            self.wrong(format!("{} has a payload key `event`", frame.event));
        }
        if self.run_id.get_or_insert_with(|| frame.data["run_id"].clone()) != &frame.data["run_id"] {
            self.wrong(format!("{} names another run", frame.event));
        }
        self.check_number(frame);
        self.check_order(frame);
    }

    fn check_number(&mut self, frame: &Frame) {
        if frame.event == "run.duplicate" {
            if frame.id.is_some() || self.last.is_some() {
                self.wrong("run.duplicate has no id and stands alone");
            }
            return;
        }
        let Some(id) = frame.id else {
            return self.wrong(format!("{} without an id", frame.event));
        };
        let expected = match (self.last_id, self.start) {
            (Some(last), _) => last + 1,
            (None, StreamStart::At(first)) => first,
            (None, StreamStart::Anywhere) => id,
        };
        if id != expected {
            self.wrong(format!("{} has id {id}, expected was {expected}", frame.event));
        }
        if (frame.event == "run.started") != (id == 0) {
            self.wrong(format!("{} has id {id}, but run.started, and only it, is 0", frame.event));
        }
    }

    fn check_order(&mut self, frame: &Frame) {
        let last = self.last.as_ref().map(|frame| frame.event.clone()).unwrap_or_default();
        if is_terminal(&last) || (last == "run.paused" && self.kind == Kind::Run) {
            self.wrong(format!("{} after {last}", frame.event));
        }
        let completes = frame.event == "run.completed";
        if last == "message.completed" && !completes {
            self.wrong(format!("{} between message.completed and run.completed", frame.event));
        }
        if completes && self.has_text && last != "message.completed" {
            self.wrong("run.completed without message.completed right before it, although there was text");
        }
        self.has_text |= frame.event == "message.delta" && !frame.text("delta").is_empty();
        // Whether any of the text before is left is known to whoever sums the deltas up, not here.
        self.has_text &= frame.event != "run.resumed";
    }

    fn chat_chunk(&mut self, frame: &Frame) {
        if !frame.event.is_empty() {
            self.wrong(format!("a chat chunk with an event line: {}", frame.event));
        }
        if self.last.as_ref().is_some_and(|last| last.data == DONE) {
            self.wrong("a chunk after [DONE]");
        }
        let schema = if frame.data.get("error").is_some() { "Error" } else { "ChatCompletionChunk" };
        if frame.data != DONE {
            self.violations.extend(Contract::load().violations_of(schema, &frame.data));
        }
    }

    fn response_event(&mut self, frame: &Frame) {
        self.violations.extend(Contract::load().violations_of("ResponsesEvent", &frame.data));
        if frame.event != frame.text("type") {
            self.wrong(format!("event line {:?}, type {:?}", frame.event, frame.text("type")));
        }
        let number = frame.data.get("sequence_number").and_then(Value::as_u64);
        if frame.id.is_none() || frame.id != number {
            self.wrong(format!("{} has id {:?} and sequence_number {number:?}", frame.event, frame.id));
        }
        if let (Some(last), Some(id)) = (self.last_id, frame.id)
            && id != last + 1
        {
            self.wrong(format!("{} has id {id} after {last}", frame.event));
        }
        let first_must_be = match self.start {
            StreamStart::At(first) if self.last.is_none() => Some(first),
            _ => None,
        };
        if first_must_be.is_some_and(|first| frame.id != Some(first)) {
            self.wrong(format!("{} has id {:?}, expected was {first_must_be:?}", frame.event, frame.id));
        }
    }
}

fn is_terminal(event: &str) -> bool {
    matches!(event, "run.completed" | "run.failed" | "run.cancelled" | "run.duplicate")
}

fn is_end_of_response(event: &str) -> bool {
    matches!(event, "response.completed" | "response.incomplete" | "response.failed")
}

/// Lists the fields of behaviour 6.2 that a frame lacks. Unknown events are allowed: clients skip them.
fn missing_fields(frame: &Frame) -> Vec<String> {
    let wanted: &[&str] = match frame.event.as_str() {
        "run.started" => &["smith_id", "thread_id"],
        "message.delta" | "reasoning.delta" => &["delta"],
        "tool.executing" => &["tool", "tool_call_id"],
        "tool.completed" => &["tool", "tool_call_id", "is_error"],
        "approval.required" => &["approval_id", "tool", "tool_call_id", "args", "expires_at"],
        "run.paused" => &["reason", "tool_calls"],
        "message.completed" => &["content"],
        "run.completed" => &["stop_reason", "usage"],
        "run.failed" => &["error", "code"],
        "run.resumed" => &["attempt", "discard_after"],
        "run.duplicate" => &["smith_id", "thread_id", "status"],
        _ => &[],
    };
    let missing = wanted.iter().filter(|name| frame.data.get(**name).is_none());
    let mut problems: Vec<String> = missing.map(|name| format!("no field {name}")).collect();
    if frame.event == "run.failed" && !frame.data["error"].is_string() {
        problems.push("the error is no text".to_owned());
    }
    problems
}
