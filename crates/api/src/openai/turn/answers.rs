//! Answers to calls that runs of this server have asked for: decisions and results that come with the next request.

use std::collections::HashMap;

use domain::content::{Content, Message, Role};
use domain::ids::{ApprovalId, RunId, SmithId};
use domain::items::{Item, ToolResult};
use domain::principals::{Actor, ActorKind, Permission};
use domain::run::{Choice, Input};
use domain::{Code, Problem};
use engine::{ResultIn, Submission};
use serde_json::Value;
use store::idempotency::IdempotencyKey;
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

use super::Entry;
use crate::app::App;
use crate::extract::Caller;

/// Between the id of a run and that of its call, in the ids of pending calls.
const BETWEEN: &str = "::";

/// Takes the id of a pending call apart. Any other id is the caller's own.
pub(crate) fn composite(id: &str) -> Option<(RunId, &str)> {
    let (run, call) = id.split_once(BETWEEN)?;
    Some((run.parse().ok()?, call))
}

/// An answer to a call of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) run: RunId,
    pub(crate) call_id: String,
    pub(crate) given: Given,
    /// Its place in the request, for errors.
    pub(crate) at: String,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Given {
    /// The result of a call that the caller carried out; or a decision, as text.
    Text(String),
    Decision {
        choice: Choice,
        reason: Option<String>,
    },
}

/// What a request turns out to be.
pub(crate) enum Resolved {
    /// A turn of its own: its conversation, with the recorded results where answers were given to calls that are over.
    Turn(Vec<Item>),
    /// The run that it moves on, or has moved on before.
    Continued(Box<Continued>),
}

/// A run that went on with answers.
pub(crate) struct Continued {
    pub(crate) record: RunRecord,
    pub(crate) seal: SmithSeal,
    /// From which seq on its frames follow the answers.
    pub(crate) from: u64,
}

/// Who asks, and for whom.
pub(crate) struct Asking<'a> {
    pub(crate) app: &'a App,
    pub(crate) project: &'a ProjectStore,
    pub(crate) caller: &'a Caller,
    pub(crate) smith: SmithId,
    pub(crate) key: Option<IdempotencyKey>,
}

type Found = HashMap<RunId, Option<(RunRecord, Option<SmithSeal>)>>;

/// Finds out what a request is, and moves the run on whose open calls it answers.
pub(crate) async fn resolve(asking: &Asking<'_>, entries: Vec<Entry>) -> Result<Resolved, Problem> {
    let mut found = Found::new();
    for entry in &entries {
        if let Entry::Answer(answer) = entry
            && !found.contains_key(&answer.run)
        {
            let run = asking.project.run_and_seal(answer.run).await?;
            found.insert(answer.run, run.filter(|(record, _)| record.smith == asking.smith));
        }
    }
    if let Some((acting, messages)) = acting(&entries, &found)? {
        let mut new = Vec::with_capacity(acting.len());
        let mut repeated = None;
        for answer in acting {
            match asking.decided_before(answer, &found).await? {
                Some(continued) => repeated = Some(continued),
                None => new.push(answer),
            }
        }
        let continued = match repeated {
            Some(repeated) if new.is_empty() => repeated,
            _ => asking.submit(new, messages, &found).await?,
        };
        return Ok(Resolved::Continued(Box::new(continued)));
    }
    if let Some(Entry::Answer(last)) = entries.last() {
        return Ok(Resolved::Continued(Box::new(asking.told_again(last, &found).await?)));
    }
    let items = entries.into_iter().filter_map(|entry| match entry {
        Entry::Item(item) => Some(item),
        // Whoever decides in this form brings the call back as another item, with what came of it.
        Entry::Answer(Answer { given: Given::Decision { .. }, .. }) => None,
        Entry::Answer(answer) => Some(Item::ToolResult(recorded(&answer, &found))),
    });
    Ok(Resolved::Turn(items.collect()))
}

/// Answers that move a run on, and what the user says behind them.
type Acting<'a> = (Vec<&'a Answer>, Vec<Message>);

/// Picks the answers to calls that a run still waits for, with what the user says behind them. None where there are none, or
/// the conversation has gone on since.
fn acting<'a>(entries: &'a [Entry], found: &Found) -> Result<Option<Acting<'a>>, Problem> {
    let is_open = |answer: &Answer| {
        let Some(Some((record, _))) = found.get(&answer.run) else { return false };
        let pending = record.result.as_ref().map(|result| result.pending.as_slice()).unwrap_or_default();
        record.status.is_paused() && pending.iter().any(|call| call.tool_call_id == answer.call_id)
    };
    let answers: Vec<(usize, &Answer)> = entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| match entry {
            Entry::Answer(answer) if is_open(answer) => Some((index, answer)),
            _ => None,
        })
        .collect();
    let Some((last, Answer { run, .. })) = answers.last() else { return Ok(None) };
    let mut messages = Vec::new();
    for entry in entries.iter().skip(last + 1) {
        match entry {
            Entry::Item(Item::Message(message)) if message.role == Role::User => {
                if matches!(message.content, Content::Parts(_)) {
                    let text = "What is said together with an answer to a call must be text alone. Send images and files with the next turn.";
                    return Err(Problem::invalid_input("messages", text));
                }
                messages.push(message.clone());
            }
            Entry::Answer(_) => {}
            Entry::Item(_) => return Ok(None),
        }
    }
    let acting = answers.iter().map(|(_, answer)| *answer).filter(|answer| answer.run == *run);
    Ok(Some((acting.collect(), messages)))
}

/// Returns what is on record of a call that was answered; where nothing is, what the request says of it.
fn recorded(answer: &Answer, found: &Found) -> ToolResult {
    let record = found.get(&answer.run).and_then(Option::as_ref).map(|(record, _)| record);
    let transcript = record.and_then(|record| record.result.as_ref()).map(|result| &result.transcript);
    let result = transcript.into_iter().flatten().find_map(|item| match item {
        Item::ToolResult(result) if result.call_id == answer.call_id => Some(result.clone()),
        _ => None,
    });
    result.unwrap_or_else(|| ToolResult {
        call_id: answer.call_id.clone(),
        name: String::new(),
        output: match &answer.given {
            Given::Text(text) => text.clone(),
            Given::Decision { choice: Choice::Approve { .. }, .. } => "approve".to_owned(),
            Given::Decision { choice: Choice::Reject { .. }, .. } => "reject".to_owned(),
        },
        is_error: false,
        attachments: Vec::new(),
    })
}

impl Asking<'_> {
    /// Submits answers. All of them are read before the first does anything. Where the run refuses one after that, those before it
    /// stay taken, and are a repetition when the request comes again.
    async fn submit(
        &self,
        answers: Vec<&Answer>,
        messages: Vec<Message>,
        found: &Found,
    ) -> Result<Continued, Problem> {
        let Some(Some((record, seal))) = answers.first().and_then(|answer| found.get(&answer.run)) else {
            return Err(Problem::internal());
        };
        let seal = seal.clone().ok_or_else(|| {
            Problem::new(Code::ResumeFailed, "What is stored of the run cannot be read, so it cannot go on.")
        })?;
        let pending = record.result.as_ref().map(|result| result.pending.as_slice()).unwrap_or_default();
        let mut results: Vec<ResultIn> = Vec::new();
        let mut submissions = Vec::new();
        for answer in answers {
            let call = pending.iter().find(|call| call.tool_call_id == answer.call_id);
            match call.and_then(|call| call.approval_id) {
                Some(approval) => submissions.push(self.decision(approval, answer)?),
                None => results.push(ResultIn {
                    call_id: answer.call_id.clone(),
                    output: match &answer.given {
                        Given::Text(text) => text.clone(),
                        Given::Decision { .. } => {
                            let message = "This call waits for its result, not for a decision.";
                            return Err(Problem::new(Code::InvalidDecision, message).at(answer.at.clone()));
                        }
                    },
                    is_error: false,
                    at: answer.at.clone(),
                }),
            }
        }
        if !results.is_empty() {
            submissions.push(Submission::Results { results, messages: Vec::new() });
        }
        if let Some(
            Submission::Results { messages: behind, .. } | Submission::Decision { messages: behind, .. },
        ) = submissions.last_mut()
        {
            *behind = messages;
        }
        let mut from = record.next_seq;
        let last = submissions.len().saturating_sub(1);
        for (index, submission) in submissions.into_iter().enumerate() {
            // The key stands for all of them, so it comes with the last.
            let key = self.key.filter(|_| index == last);
            let submitted = self.app.engine.submit(self.project, record.id, submission, key).await?;
            if let Some(submitted) = submitted {
                // What came before the last of them is told by its pause.
                from = submitted.from;
            }
        }
        Ok(Continued { record: record.clone(), seal, from })
    }

    fn decision(&self, approval: ApprovalId, answer: &Answer) -> Result<Submission, Problem> {
        self.caller.allow(Permission::ApprovalsWrite)?;
        let (choice, reason) = match &answer.given {
            Given::Text(text) => read_decision(text)
                .ok_or_else(|| Problem::new(Code::InvalidDecision, UNCLEAR).at(answer.at.clone()))?,
            Given::Decision { choice, reason } => (choice.clone(), reason.clone()),
        };
        Ok(Submission::Decision { approval, choice, actor: self.actor(), reason, messages: Vec::new() })
    }

    /// Returns who decides, for the record.
    fn actor(&self) -> String {
        let Actor { kind, id, token_id, .. } = self.caller.actor();
        if kind == ActorKind::Smith { id } else { token_id }
    }

    /// Finds from where on a run is to be told again to somebody who decides once more about a call that waits for its result by
    /// now. Their ids are one, and a decision that is repeated must not be taken for what came of the call.
    async fn decided_before(&self, answer: &Answer, found: &Found) -> Result<Option<Continued>, Problem> {
        let record = found.get(&answer.run).and_then(Option::as_ref).map(|(record, _)| record);
        let pending =
            record.and_then(|record| record.result.as_ref()).map(|result| result.pending.as_slice());
        let mut pending = pending.unwrap_or_default().iter();
        let waits_for_result =
            pending.any(|call| call.tool_call_id == answer.call_id && call.approval_id.is_none());
        if !waits_for_result || decision_in(answer).is_none() {
            return Ok(None);
        }
        self.taken_before(answer, found).await
    }

    /// Finds from where on a run is to be told again to somebody who repeats an answer that was taken.
    async fn told_again(&self, answer: &Answer, found: &Found) -> Result<Continued, Problem> {
        let taken = self.taken_before(answer, found).await?;
        taken.ok_or_else(|| {
            let message = "The run does not wait for an answer to this call.";
            Problem::new(Code::RunNotPaused, message).at(answer.at.clone())
        })
    }

    /// Finds where in a run an answer like this was taken, if it was. The opposite of what was decided is refused.
    async fn taken_before(&self, answer: &Answer, found: &Found) -> Result<Option<Continued>, Problem> {
        let Some(Some((record, _))) = found.get(&answer.run) else {
            return Err(Problem::not_found("run").at(answer.at.clone()));
        };
        let saved = self.project.saved_run(record.id).await?.ok_or_else(|| Problem::not_found("run"))?;
        let mut from = None;
        let mut before = 0;
        let mut asked: Vec<ApprovalId> = Vec::new();
        for entry in &saved.journal {
            match &entry.input {
                Input::Replied { reply } => {
                    let calls = reply.tool_calls.iter().zip(&reply.plans);
                    let of_call = calls.filter(|(call, _)| call.id == answer.call_id);
                    asked.extend(of_call.filter_map(|(_, plan)| plan.gate.map(|gated| gated.approval)));
                }
                Input::Asked { call_id, questions, .. } if *call_id == answer.call_id => {
                    asked.extend(questions.iter().map(|question| question.approval));
                }
                Input::Decided { approval, choice, .. } if asked.contains(approval) => {
                    check_same(choice, answer)?;
                    from = Some(before);
                }
                Input::Delivered { results, .. }
                    if results.iter().any(|result| result.call_id == answer.call_id) =>
                {
                    from = Some(before);
                }
                _ => {}
            }
            before = entry.next_seq;
        }
        Ok(from.map(|from| Continued { record: saved.record, seal: saved.seal, from }))
    }
}

const UNCLEAR: &str = "The call waits for a decision: `approve`, `reject`, or JSON `{\"decision\": \"approve\" | \"reject\", \"reason\", \"content\"}`.";

/// Reads a decision that was given as text.
fn read_decision(text: &str) -> Option<(Choice, Option<String>)> {
    let approve = |content: Option<Value>| Choice::Approve { args: None, content };
    match text.trim() {
        "approve" => return Some((approve(None), None)),
        "reject" => return Some((Choice::Reject { reason: None }, None)),
        _ => {}
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let reason = match value.get("reason") {
        None | Some(Value::Null) => None,
        Some(reason) => Some(reason.as_str()?.to_owned()),
    };
    match value.get("decision")?.as_str()? {
        "approve" => {
            let content = value.get("content").filter(|content| !content.is_null()).cloned();
            Some((approve(content), reason))
        }
        "reject" => Some((Choice::Reject { reason: reason.clone() }, reason)),
        _ => None,
    }
}

/// Returns the decision that an answer gives, if it can be read as one.
fn decision_in(answer: &Answer) -> Option<Choice> {
    match &answer.given {
        Given::Text(text) => read_decision(text).map(|(choice, _)| choice),
        Given::Decision { choice, .. } => Some(choice.clone()),
    }
}

/// Refuses to take back a decision.
fn check_same(taken: &Choice, answer: &Answer) -> Result<(), Problem> {
    let is_approval = |choice: &Choice| matches!(choice, Choice::Approve { .. });
    if decision_in(answer).is_some_and(|again| is_approval(&again) != is_approval(taken)) {
        let message = "The call was decided otherwise already; that is not taken back.";
        return Err(Problem::new(Code::RunNotPaused, message).at(answer.at.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::ids::Id as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_of_a_pending_call_is_split_at_its_first_colons() {
        let run = RunId::from_bytes([1; 16]);
        assert_eq!(composite(&format!("{run}::call::1")), Some((run, "call::1")));
        for own in ["call_1", "a::b", "run_x::c", ""] {
            assert_eq!(composite(own), None, "{own}");
        }
    }

    #[test]
    fn a_decision_is_a_word_or_an_object() {
        let approved = |content: Option<Value>| Choice::Approve { args: None, content };
        assert_eq!(read_decision(" approve\n"), Some((approved(None), None)));
        assert_eq!(read_decision("reject"), Some((Choice::Reject { reason: None }, None)));
        let reason = Some("too much".to_owned());
        let rejected = json!({"decision": "reject", "reason": "too much"}).to_string();
        assert_eq!(read_decision(&rejected), Some((Choice::Reject { reason: reason.clone() }, reason)));
        let elicited = json!({"decision": "approve", "content": {"city": "Bern"}}).to_string();
        assert_eq!(read_decision(&elicited), Some((approved(Some(json!({"city": "Bern"}))), None)));
        for unclear in
            ["yes", "", "{}", "[]", r#"{"decision":"maybe"}"#, r#"{"decision":"reject","reason":7}"#]
        {
            assert_eq!(read_decision(unclear), None, "{unclear}");
        }
    }
}
