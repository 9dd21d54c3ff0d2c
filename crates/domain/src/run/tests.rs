//! The machine, driven through every interleaving that chance comes up with.

use proptest::prelude::*;

use super::*;
use crate::frames::Frame;
use crate::ids::{Id as _, SmithId};
use crate::items::{ToolCall, ToolResult};
use crate::problems::Code;
use crate::usage::Tokens;

const LIMITS: Limits = Limits { model_calls: 4 };

fn started() -> Input {
    Input::Started { smith_id: SmithId::from_bytes([1; 16]), thread_id: "t1".into(), warnings: vec![] }
}

fn reply(text: &str) -> Reply {
    Reply {
        text: text.into(),
        tool_calls: vec![],
        stop: StopReason::EndTurn,
        tokens: Tokens { input: 9, output: 4, ..Tokens::default() },
        verdict: Verdict::NotAsked,
    }
}

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "look".into(), arguments: "{}".into(), provider_data: None }
}

fn result(id: &str) -> ToolResult {
    ToolResult { call_id: id.into(), name: "look".into(), output: "{}".into(), is_error: false }
}

fn delta(text: &str) -> Input {
    Input::Delta { text: text.into() }
}

fn events(frames: &[Frame]) -> Vec<&'static str> {
    frames.iter().map(Frame::event).collect()
}

fn drive(inputs: Vec<Input>) -> (Run, Vec<Frame>) {
    let mut run = Run::new(LIMITS, None);
    let mut frames = Vec::new();
    for input in inputs {
        frames.extend(run.apply(input).unwrap());
    }
    (run, frames)
}

#[test]
fn a_plain_run_says_what_the_contract_says() {
    let (run, frames) = drive(vec![
        started(),
        delta("It is "),
        delta("noon."),
        Input::Replied { reply: reply("It is noon.") },
    ]);
    assert_eq!(
        events(&frames),
        ["run.started", "message.delta", "message.delta", "message.completed", "run.completed"]
    );
    assert_eq!(run.next_seq(), 5);
    assert_eq!(run.text(), "It is noon.");
    assert_eq!(run.decide(), Action::Rest);
}

#[test]
fn a_run_without_text_completes_without_a_message() {
    let (_, frames) = drive(vec![started(), Input::Replied { reply: reply("") }]);
    assert_eq!(events(&frames), ["run.started", "run.completed"]);
}

#[test]
fn a_cut_answer_is_void_and_said_again() {
    let (run, frames) = drive(vec![
        started(),
        delta("It i"),
        Input::Resumed,
        delta("It is noon."),
        Input::Replied { reply: reply("It is noon.") },
    ]);
    assert_eq!(frames[2], Frame::Resumed { attempt: 2, discard_after: 0 });
    assert!(frames.contains(&Frame::MessageCompleted { content: "It is noon.".into(), content_type: None }));
    assert_eq!(run.attempt(), 2);
}

#[test]
fn a_second_cut_voids_only_what_followed_the_first() {
    let (_, frames) =
        drive(vec![started(), delta("a"), Input::Resumed, delta("b"), Input::Resumed, delta("c")]);
    assert_eq!(frames[4], Frame::Resumed { attempt: 3, discard_after: 2 });
}

#[test]
fn what_was_said_before_a_tool_call_stays_valid_when_the_next_answer_is_cut() {
    let mut first = reply("Looking. ");
    first.tool_calls = vec![call("c1")];
    let (run, frames) = drive(vec![
        started(),
        delta("Looking. "),
        Input::Replied { reply: first },
        Input::Answered { results: vec![result("c1")] },
        delta("Fou"),
        Input::Resumed,
        delta("Found."),
        Input::Replied { reply: reply("Found.") },
    ]);
    assert_eq!(run.text(), "Looking. Found.");
    assert!(frames.contains(&Frame::Resumed { attempt: 2, discard_after: 1 }));
}

#[test]
fn a_run_that_only_calls_tools_is_stopped_as_a_loop() {
    let mut run = Run::new(LIMITS, None);
    run.apply(started()).unwrap();
    let mut last = Vec::new();
    for step in 0..LIMITS.model_calls {
        let id = format!("c{step}");
        let mut looping = reply("");
        looping.tool_calls = vec![call(&id)];
        run.apply(Input::Replied { reply: looping }).unwrap();
        last = run.apply(Input::Answered { results: vec![result(&id)] }).unwrap();
    }
    assert!(matches!(last.as_slice(), [Frame::Failed { code: Code::ToolLoopFailed, .. }]));
}

#[test]
fn results_for_only_some_of_the_calls_do_not_move_the_run_on() {
    let mut both = reply("");
    both.tool_calls = vec![call("c1"), call("c2")];
    let (mut run, _) = drive(vec![started(), Input::Replied { reply: both }]);
    assert!(run.apply(Input::Answered { results: vec![result("c1")] }).is_err());
    assert!(run.apply(Input::Answered { results: vec![result("c2"), result("c1")] }).is_ok());
}

#[test]
fn a_provider_failure_after_tools_have_run_is_the_runs_failure() {
    let failed =
        || Input::CallFailed { code: Code::ModelRequestFailed, message: "down".into(), said: String::new() };
    let (before, _) = drive(vec![started(), failed()]);
    assert!(matches!(before.ending(), Some(Ending::Failed { code: Code::ModelRequestFailed, .. })));
    let mut calling = reply("");
    calling.tool_calls = vec![call("c1")];
    let (after, _) = drive(vec![
        started(),
        Input::Replied { reply: calling },
        Input::Answered { results: vec![result("c1")] },
        failed(),
    ]);
    assert!(matches!(after.ending(), Some(Ending::Failed { code: Code::RunFailed, .. })));
}

#[test]
fn an_answer_without_the_form_is_asked_for_once_more_and_then_fails() {
    let misses = |text: &str| Input::Replied {
        reply: Reply { verdict: Verdict::Misses { why: "it is not JSON.".into() }, ..reply(text) },
    };
    let mut run = Run::new(LIMITS, Some("application/json".into()));
    run.apply(started()).unwrap();
    run.apply(misses("oops")).unwrap();
    assert_eq!(run.decide(), Action::CallModel);
    assert_eq!(run.repair(), Some("it is not JSON."));
    let mut mended = run.clone();
    let frames =
        mended.apply(Input::Replied { reply: Reply { verdict: Verdict::Conforms, ..reply("{}") } }).unwrap();
    assert_eq!(
        frames[0],
        Frame::MessageCompleted { content: "{}".into(), content_type: Some("application/json".into()) }
    );
    let frames = run.apply(misses("oops again")).unwrap();
    assert!(matches!(frames.as_slice(), [Frame::Failed { code: Code::StructuredOutputFailed, .. }]));
}

#[test]
fn a_cancelled_run_keeps_what_it_had_said() {
    let (run, frames) = drive(vec![
        started(),
        delta("Half a"),
        Input::Cancelled { reason: Some("enough".into()), said: "Half a".into() },
    ]);
    assert_eq!(frames.last(), Some(&Frame::Cancelled { reason: Some("enough".into()) }));
    assert_eq!(run.text(), "Half a");
    assert_eq!(run.transcript().len(), 1);
}

#[test]
fn naming_the_call_in_the_middle_of_its_deltas_moves_no_boundary() {
    let journal = vec![(started(), 1), (Input::Accepted { reference: "resp_1".into() }, 3)];
    let mut run = Run::replay(LIMITS, None, journal).unwrap();
    run.frames_end_at(5);
    assert_eq!(run.reference(), Some("resp_1"));
    assert_eq!(run.apply(Input::Resumed).unwrap(), [Frame::Resumed { attempt: 2, discard_after: 0 }]);
}

#[derive(Clone, Debug)]
enum Move {
    Say(String),
    Accept,
    Reply { calls: u8, misses: bool },
    Answer,
    Fail,
    Crash,
    Cancel,
    Abandon,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => "[a-z ]{1,8}".prop_map(Move::Say),
        1 => Just(Move::Accept),
        4 => (0_u8..3, prop::bool::weighted(0.2)).prop_map(|(calls, misses)| Move::Reply { calls, misses }),
        3 => Just(Move::Answer),
        1 => Just(Move::Fail),
        2 => Just(Move::Crash),
        1 => Just(Move::Cancel),
        1 => Just(Move::Abandon),
    ];
    prop::collection::vec(one, 0..40)
}

/// Plays moves against a machine as the engine would, dying at each crash: frames on disk stay, memory is gone.
struct Play {
    run: Run,
    frames: Vec<Frame>,
    journal: Vec<(Input, u64)>,
    /// What the present model call has said.
    saying: String,
    calls: u32,
}

impl Play {
    fn take(&mut self, input: Input) -> bool {
        let Ok(frames) = self.run.apply(input.clone()) else { return false };
        self.frames.extend(frames);
        if input.is_journaled() {
            self.journal.push((input, self.run.next_seq()));
        }
        true
    }

    fn play(&mut self, step: Move) {
        match step {
            Move::Say(text) => {
                if self.take(Input::Delta { text: text.clone() }) {
                    self.saying.push_str(&text);
                }
            }
            Move::Accept => {
                self.take(Input::Accepted { reference: "resp".into() });
            }
            Move::Reply { calls, misses } => {
                let tool_calls = (0..calls).map(|index| call(&format!("{}-{index}", self.calls))).collect();
                self.calls += 1;
                let verdict = if misses { Verdict::Misses { why: "no".into() } } else { Verdict::NotAsked };
                let text = self.saying.clone();
                if self.take(Input::Replied { reply: Reply { tool_calls, verdict, ..reply(&text) } }) {
                    self.saying.clear();
                }
            }
            Move::Answer => {
                if let Action::CallTools(calls) = self.run.decide() {
                    let results = calls.iter().map(|call| result(&call.id)).collect();
                    assert!(self.take(Input::Answered { results }));
                }
            }
            Move::Fail => {
                let said = self.run.saying().to_owned();
                self.take(Input::CallFailed { code: Code::ModelRequestFailed, message: "down".into(), said });
            }
            Move::Crash => {
                let mut reborn = Run::replay(LIMITS, None, self.journal.clone()).unwrap();
                reborn.frames_end_at(self.frames.len() as u64);
                self.run = reborn;
                self.saying.clear();
                if self.run.decide() == Action::CallModel {
                    self.take(Input::Resumed);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_the_log_is_in_order_and_tells_the_truth(steps in moves()) {
        let mut play = Play {
            run: Run::new(LIMITS, None),
            frames: vec![],
            journal: vec![],
            saying: String::new(),
            calls: 0,
        };
        play.take(started());
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
        // An answer that missed its form is never streamed by the engine; here it was, so its text does not count.
        if !missed {
            prop_assert_eq!(valid_text(&play.frames), play.run.text());
            if let Some(Frame::MessageCompleted { content, .. }) = play.frames.iter().rev().nth(1) {
                prop_assert_eq!(content, play.run.text());
            }
        }
    }

    #[test]
    fn a_run_rebuilt_from_its_journal_is_the_run_that_wrote_it(steps in moves()) {
        let mut play = Play {
            run: Run::new(LIMITS, None),
            frames: vec![],
            journal: vec![],
            saying: String::new(),
            calls: 0,
        };
        play.take(started());
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
    }
}
