//! The machine, driven through every interleaving that chance comes up with: of model, tools, humans, time and crashes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::clock::Timestamp;
use crate::tools::{Gate, OnReject};

#[derive(Clone, Copy, Debug)]
enum Kind {
    ReadOnly,
    SideEffect,
    External,
    GatedEnds,
    GatedContinues,
    GatedExternal,
    Client,
    Nobody,
}

#[derive(Clone, Debug)]
enum Move {
    Say(String),
    Think(String),
    Accept,
    Reply {
        calls: Vec<Kind>,
        misses: bool,
    },
    /// Makes the calls that are ready: their intent is on disk.
    Intend,
    /// A call that is under way has its effect; nobody has noted it yet.
    Perform(usize),
    /// What came of a call is noted.
    Settle(usize),
    /// A call that is under way asks something back.
    Ask(usize, bool),
    Pause,
    Approve(usize, With),
    Reject(usize, With),
    Expire(usize),
    Deliver(usize, With),
    Fail,
    Crash,
    Cancel,
    Abandon,
}

/// What comes with an answer from outside.
#[derive(Clone, Copy, Debug)]
struct With {
    /// Arguments in place of the model's.
    args: bool,
    message: bool,
}

fn with() -> impl Strategy<Value = With> {
    any::<(bool, bool)>().prop_map(|(args, message)| With { args, message })
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    use Kind::*;
    let kind = prop_oneof![
        2 => Just(ReadOnly), 3 => Just(SideEffect), 2 => Just(External), 2 => Just(GatedEnds), 3 => Just(GatedContinues),
        1 => Just(GatedExternal), 1 => Just(Client), 1 => Just(Nobody)
    ];
    prop::collection::vec(kind, 0..4)
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => "[a-z ]{1,8}".prop_map(Move::Say),
        1 => "[a-z ]{1,8}".prop_map(Move::Think),
        1 => Just(Move::Accept),
        5 => (kinds(), prop::bool::weighted(0.1)).prop_map(|(calls, misses)| Move::Reply { calls, misses }),
        6 => Just(Move::Intend),
        6 => (0_usize..4).prop_map(Move::Perform),
        6 => (0_usize..4).prop_map(Move::Settle),
        1 => (0_usize..4, any::<bool>()).prop_map(|(index, ends)| Move::Ask(index, ends)),
        4 => Just(Move::Pause),
        4 => (0_usize..4, with()).prop_map(|(index, with)| Move::Approve(index, with)),
        1 => (0_usize..4, with()).prop_map(|(index, with)| Move::Reject(index, with)),
        1 => (0_usize..4).prop_map(Move::Expire),
        3 => (0_usize..4, with()).prop_map(|(index, with)| Move::Deliver(index, with)),
        1 => Just(Move::Fail),
        3 => Just(Move::Crash),
        1 => Just(Move::Cancel),
        1 => Just(Move::Abandon),
    ];
    prop::collection::vec(one, 0..60)
}

const NOTHING: With = With { args: false, message: false };

/// Plays moves against a machine as the engine would, dying at each crash: what is on disk stays, memory is gone.
struct Play {
    run: Run,
    frames: Vec<Frame>,
    journal: Vec<(Input, u64)>,
    /// What the present model call has said.
    saying: String,
    replies: u32,
    approvals: u128,
    /// How often each call had its effect, and whether it may have it more than once.
    effects: BTreeMap<String, (u32, bool)>,
    /// Calls whose effect took place and was not noted yet. A crash forgets it, as it would with a process.
    performed: Vec<String>,
    /// Calls that a human rejected.
    rejected: Vec<String>,
    /// Calls that a human approved with other arguments.
    edited: BTreeMap<String, Map<String, Value>>,
    /// What came with answers.
    messages: Vec<String>,
}

impl Play {
    fn new() -> Self {
        let mut play = Self {
            run: Run::new(LIMITS, None),
            frames: vec![],
            journal: vec![],
            saying: String::new(),
            replies: 0,
            approvals: 0,
            effects: BTreeMap::new(),
            performed: vec![],
            rejected: vec![],
            edited: BTreeMap::new(),
            messages: vec![],
        };
        play.take(started());
        play
    }

    fn take(&mut self, input: Input) -> bool {
        let before = self.run.clone();
        let begun = self.begun();
        let ends = matches!(input, Input::Cancelled { .. } | Input::Abandoned { .. });
        let Ok(frames) = self.run.apply(input.clone()) else {
            assert_eq!(self.run, before, "a refused input changes nothing");
            return false;
        };
        for call in begun.iter().filter(|_| ends) {
            let is_unknown = self.run.transcript().iter().any(|item| {
                matches!(item, Item::ToolResult(result) if result.call_id == call.call.id
                    && result.output.ends_with(r#"{"error":"outcome_unknown"}"#))
            });
            assert!(is_unknown, "a call under way when its run ends may have been carried out");
        }
        self.frames.extend(frames);
        if input.is_journaled() {
            self.journal.push((input, self.run.next_seq()));
        }
        true
    }

    fn approval(&mut self) -> ApprovalId {
        self.approvals += 1;
        ApprovalId::from_bytes(self.approvals.to_be_bytes())
    }

    fn plan(&mut self, kind: Kind) -> Plan {
        let carrier = match kind {
            Kind::ReadOnly => Carrier::Server { is_repeatable: true },
            Kind::External | Kind::GatedExternal => Carrier::Caller,
            Kind::Client => Carrier::Client,
            Kind::Nobody => Carrier::Nobody { why: "no such tool".into() },
            _ => Carrier::Server { is_repeatable: false },
        };
        let on_reject = match kind {
            Kind::GatedEnds => Some(OnReject::End),
            Kind::GatedContinues | Kind::GatedExternal => Some(OnReject::Continue),
            _ => None,
        };
        let gate = on_reject.map(|on_reject| Gated {
            approval: self.approval(),
            gate: Gate { on_reject, expires_in_seconds: 60 },
        });
        Plan { carrier, gate, tool: None }
    }

    /// Returns the calls under way.
    fn begun(&self) -> Vec<Call> {
        let calls = self.run.step().map(|step| step.calls().to_vec()).unwrap_or_default();
        calls.into_iter().filter(|call| call.state == super::super::calls::State::Begun).collect()
    }

    fn open(&self) -> Vec<(String, ApprovalId)> {
        let pending = self.run.pending().into_iter();
        pending.filter_map(|call| Some((call.tool_call_id, call.approval_id?))).collect()
    }

    /// Makes the message that comes with an answer, if one does.
    fn message(&mut self, with: With) -> Vec<Message> {
        if !with.message {
            return vec![];
        }
        let text = format!("message {}", self.messages.len());
        self.messages.push(text.clone());
        vec![Message { role: Role::User, content: Content::Text(text) }]
    }

    fn decide(&mut self, index: usize, mut choice: Choice, with: With) {
        if let Some((call, approval)) = self.open().get(index).cloned() {
            let rejects = matches!(choice, Choice::Reject { .. });
            let is_elicited = self.run.step().is_some_and(|step| {
                step.questions()
                    .any(|(_, question)| question.approval == approval && question.elicitation.is_some())
            });
            if let Choice::Approve { args, .. } = &mut choice
                && with.args
                && !is_elicited
            {
                let other = Map::from_iter([("by".to_owned(), Value::from(approval.to_string()))]);
                self.edited.insert(call.clone(), other.clone());
                *args = Some(other);
            }
            let messages = self.message(with);
            assert!(
                self.take(Input::Decided { approval, choice, messages }),
                "an open question can be decided"
            );
            if rejects && !is_elicited {
                self.rejected.push(call);
            }
        }
    }

    fn play(&mut self, step: Move) {
        match step {
            Move::Say(text) => {
                if self.take(Input::Delta { text: text.clone() }) {
                    self.saying.push_str(&text);
                }
            }
            Move::Think(text) => {
                self.take(Input::Reasoning { text });
            }
            Move::Accept => {
                self.take(Input::Accepted { reference: "resp".into() });
            }
            Move::Reply { calls, misses } => {
                let tool_calls: Vec<_> =
                    (0..calls.len()).map(|index| call(&format!("{}-{index}", self.replies))).collect();
                self.replies += 1;
                let plans = calls.into_iter().map(|kind| self.plan(kind)).collect();
                let verdict = if misses { Verdict::Misses { why: "no".into() } } else { Verdict::NotAsked };
                let text = self.saying.clone();
                if self.take(Input::Replied { reply: Reply { tool_calls, plans, verdict, ..reply(&text) } }) {
                    self.saying.clear();
                }
            }
            Move::Intend => {
                if let Action::CallTools(calls) = self.run.decide() {
                    for call in &calls {
                        if let Some(args) = self.edited.get(&call.call.id) {
                            assert_eq!(&call.args, args, "a call is made with what a human made of it");
                        }
                    }
                    let calls = calls.into_iter().map(|call| call.call.id).collect();
                    assert!(self.take(Input::Intended { calls }), "what is ready may be made");
                }
            }
            Move::Perform(index) => {
                if let Some(call) = self.begun().get(index)
                    && !self.performed.contains(&call.call.id)
                {
                    let effect =
                        self.effects.entry(call.call.id.clone()).or_insert((0, call.is_repeatable()));
                    effect.0 += 1;
                    self.performed.push(call.call.id.clone());
                }
            }
            Move::Settle(index) => {
                if let Some(id) = self.performed.get(index).cloned() {
                    self.performed.retain(|other| *other != id);
                    if self.begun().iter().any(|call| call.call.id == id) {
                        assert!(self.take(settled(&id)), "a call under way can be settled");
                    }
                }
            }
            Move::Ask(index, ends) => {
                let Some(call) = self.begun().get(index).cloned() else { return };
                if self.performed.contains(&call.call.id) {
                    return;
                }
                let question = Elicitation {
                    approval: self.approval(),
                    key: "q".into(),
                    message: "?".into(),
                    requested_schema: serde_json::json!({}),
                };
                let on_reject = if ends { OnReject::End } else { OnReject::Continue };
                let gate = Gate { on_reject, expires_in_seconds: 60 };
                let asked = Input::Asked {
                    call_id: call.call.id,
                    questions: vec![question],
                    gate,
                    request_state: None,
                };
                assert!(self.take(asked));
            }
            Move::Pause => {
                if self.run.decide() == Action::Pause {
                    assert!(self.take(Input::Paused { at: Timestamp::from_seconds(1) }));
                }
            }
            Move::Approve(index, with) => {
                self.decide(index, Choice::Approve { args: None, content: None }, with);
            }
            Move::Reject(index, with) => self.decide(index, Choice::Reject { reason: None }, with),
            Move::Expire(index) => {
                self.decide(index, Choice::Reject { reason: Some("expired".into()) }, NOTHING);
            }
            Move::Deliver(index, with) => {
                let awaited: Vec<_> =
                    self.run.pending().into_iter().filter(|call| call.approval_id.is_none()).collect();
                if let Some(call) = awaited.get(index) {
                    let results = vec![result(&call.tool_call_id)];
                    let messages = self.message(with);
                    assert!(self.take(Input::Delivered { results, messages }), "an awaited result is taken");
                }
            }
            Move::Fail => {
                let said = self.run.saying().to_owned();
                self.take(Input::CallFailed {
                    code: Code::ModelRequestFailed,
                    message: "down".into(),
                    transient: true,
                    said,
                });
            }
            Move::Crash => {
                let mut reborn = Run::replay(LIMITS, None, self.journal.clone()).unwrap();
                reborn.frames_end_at(self.frames.len() as u64);
                self.run = reborn;
                self.saying.clear();
                self.performed.clear();
                if matches!(self.run.decide(), Action::CallModel) || !self.begun().is_empty() {
                    assert!(self.take(Input::Resumed));
                }
            }
            Move::Cancel => {
                let said = self.run.saying().to_owned();
                self.take(Input::Cancelled { reason: None, said });
            }
            Move::Abandon => {
                let said = self.run.saying().to_owned();
                self.take(Input::Abandoned { message: "gave up".into(), said });
            }
        }
    }

    /// Does what everybody would do in the end: models answer, calls end, humans decide.
    fn finish(&mut self) {
        for _ in 0..200 {
            match self.run.decide() {
                Action::Rest => return,
                Action::CallModel => self.play(Move::Reply { calls: vec![], misses: false }),
                Action::CallTools(_) => self.play(Move::Intend),
                Action::AwaitTools => {
                    self.play(Move::Perform(0));
                    self.play(Move::Settle(0));
                }
                Action::Pause => self.play(Move::Pause),
                Action::Wait => {
                    self.play(Move::Expire(0));
                    self.play(Move::Deliver(0, NOTHING));
                }
            }
        }
        panic!("the run is stuck at {:?}", self.run.phase());
    }
}

/// Joins the deltas that count, as a client does that follows `run.resumed`.
fn valid_text(frames: &[Frame]) -> String {
    let mut deltas: Vec<(u64, String)> = Vec::new();
    for (seq, frame) in (0_u64..).zip(frames) {
        match frame {
            Frame::Delta { delta } => deltas.push((seq, delta.clone())),
            Frame::Resumed { discard_after, .. } => deltas.retain(|(seq, _)| seq <= discard_after),
            _ => {}
        }
    }
    deltas.into_iter().map(|(_, text)| text).collect()
}

/// Each call begins before it ends, and neither twice.
fn calls_are_told_in_order(frames: &[Frame]) -> Result<(), TestCaseError> {
    let mut told: BTreeMap<&str, u32> = BTreeMap::new();
    for frame in frames {
        match frame {
            Frame::ToolExecuting { tool_call_id, .. } => {
                prop_assert_eq!(told.insert(tool_call_id, 1), None);
            }
            Frame::ToolCompleted { tool_call_id, .. } => {
                prop_assert_eq!(told.insert(tool_call_id, 2), Some(1));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every question that was put was decided, or the run ended over it.
fn every_approval_ends(play: &Play) -> Result<(), TestCaseError> {
    prop_assert!(play.open().is_empty());
    prop_assert!(play.run.pending().is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn whatever_happens_the_log_is_in_order_and_tells_the_truth(steps in moves()) {
        let mut play = Play::new();
        let mut missed = false;
        for step in steps {
            missed |= matches!(step, Move::Reply { misses: true, .. });
            play.play(step);
        }
        prop_assert_eq!(play.frames.len() as u64, play.run.next_seq());
        prop_assert_eq!(play.frames.iter().filter(|frame| matches!(frame, Frame::Started { .. })).count(), 1);
        prop_assert_eq!(play.frames.first().map(Frame::event), Some("run.started"));
        let terminal = play.frames.iter().position(Frame::is_terminal);
        prop_assert!(terminal.is_none_or(|at| at + 1 == play.frames.len()));
        prop_assert_eq!(terminal.is_some(), play.run.decide() == Action::Rest);
        calls_are_told_in_order(&play.frames)?;
        // An answer that missed its form is never streamed by the engine; here it was, so its text does not count.
        if !missed {
            prop_assert_eq!(valid_text(&play.frames), play.run.text());
            if let Some(Frame::MessageCompleted { content, .. }) = play.frames.iter().rev().nth(1) {
                prop_assert_eq!(content, play.run.text());
            }
        }
    }

    #[test]
    fn a_side_effect_happens_once_at_most_and_never_after_a_rejection(steps in moves()) {
        let mut play = Play::new();
        for step in steps {
            play.play(step);
        }
        play.finish();
        for (call, (times, is_repeatable)) in &play.effects {
            prop_assert!(*is_repeatable || *times == 1, "{call} had its effect {times} times");
            prop_assert!(!play.rejected.contains(call), "{call} was rejected");
        }
    }

    #[test]
    fn no_run_is_ever_stuck_and_every_approval_ends(steps in moves()) {
        let mut play = Play::new();
        for step in steps {
            play.play(step);
        }
        play.finish();
        every_approval_ends(&play)?;
        let calls = play.run.transcript().iter().filter(|item| matches!(item, Item::ToolCall(_))).count();
        let results = play.run.transcript().iter().filter(|item| matches!(item, Item::ToolResult(_))).count();
        let open = open_calls(play.run.transcript()).len();
        prop_assert_eq!(calls, results + open, "providers want an answer to each call");
        for message in &play.messages {
            let is_it = |item: &&Item| item.message().is_some_and(|said| said.content.text() == *message);
            let times = play.run.transcript().iter().filter(is_it).count();
            prop_assert_eq!(times, 1, "what came with an answer is there for the model, once");
        }
    }

    #[test]
    fn a_run_rebuilt_from_its_journal_is_the_run_that_wrote_it(steps in moves()) {
        let mut play = Play::new();
        for step in steps {
            play.play(step);
        }
        // Bring the machine to a point without a half-said answer, which only the frames hold.
        if !play.saying.is_empty() {
            play.play(Move::Crash);
        }
        let mut reborn = Run::replay(LIMITS, None, play.journal.clone()).unwrap();
        reborn.frames_end_at(play.run.next_seq());
        prop_assert_eq!(reborn.decide(), play.run.decide());
        prop_assert_eq!(reborn.text(), play.run.text());
        prop_assert_eq!(reborn.transcript(), play.run.transcript());
        prop_assert_eq!(reborn.usage(), play.run.usage());
        prop_assert_eq!(reborn.attempt(), play.run.attempt());
        prop_assert_eq!(reborn.warnings(), play.run.warnings());
        prop_assert_eq!(reborn.pending(), play.run.pending());
        prop_assert_eq!(reborn.status(), play.run.status());
    }
}
