//! Submissions: decisions and results that move a paused run on, whichever node they reach.

mod fit;

use std::sync::Arc;

use domain::content::Message;
use domain::ids::{ApprovalId, RunId};
use domain::run::{Choice, Input, Limits, Run, Status};
use domain::{Code, Problem, Timestamp};
use store::ProjectStore;
use store::approvals::{ApprovalChanges, Decided, Decision, Resolution};
use store::idempotency::{IdempotencyKey, Remember};
use store::runs::{Append, Appended, End, JournalEntry, NewFrames, Saved, Standing};

use crate::{Driver, Engine, Origin, driver, structured};

use fit::{Before, find, not_paused, open_question, results_for};

/// How often a submission is tried again because another one came in between.
const RACES: usize = 16;

/// What is submitted to a paused run.
#[derive(Clone, Debug, PartialEq)]
pub enum Submission {
    /// Results of calls that the caller carried out.
    Results { results: Vec<ResultIn>, messages: Vec<Message> },
    Decision {
        approval: ApprovalId,
        choice: Choice,
        /// Who decided, for the record.
        actor: String,
        reason: Option<String>,
        /// What came with the decision for the model to read behind the results of the calls.
        messages: Vec<Message>,
    },
    /// Nobody decided in time.
    Expiry(ApprovalId),
}

/// The result of a call that the caller carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultIn {
    pub call_id: String,
    /// What the model reads.
    pub output: String,
    pub is_error: bool,
    /// Where in the request it stands, for errors.
    pub at: String,
}

/// A submission that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    pub thread_id: String,
    /// The seq from which on the frames are that follow it.
    pub from: u64,
    /// Whether it was taken before, so that nothing was done now.
    pub repeats: bool,
}

/// What becomes of one try.
enum Tried {
    Taken(Submitted),
    /// Somebody else came in between.
    Raced,
    /// The same was faster elsewhere.
    Done,
}

impl Engine {
    /// Submits something to a paused run. Returns None when a request with the same idempotency key was faster.
    pub async fn submit(
        &self,
        project: &ProjectStore,
        run: RunId,
        submission: Submission,
        key: Option<IdempotencyKey>,
    ) -> Result<Option<Submitted>, Problem> {
        let (engine, project) = (self.clone(), project.clone());
        // In a task of its own: a caller that goes away must not leave a run that was taken up without a driver.
        let submitted = self
            .inner
            .tasks
            .spawn(async move { Box::pin(engine.submit_here(&project, run, &submission, key)).await });
        submitted.await.map_err(|_| Problem::internal())?
    }

    pub(crate) async fn submit_here(
        &self,
        project: &ProjectStore,
        run: RunId,
        submission: &Submission,
        key: Option<IdempotencyKey>,
    ) -> Result<Option<Submitted>, Problem> {
        if self.inner.closing.is_cancelled() {
            return Err(Problem::new(Code::ServiceOverloaded, "The server is shutting down. Retry shortly."));
        }
        for _ in 0..RACES {
            let saved = match project.saved_run(run).await {
                Ok(Some(saved)) => saved,
                Ok(None) => return Err(Problem::not_found("run")),
                Err(error) if error.is_damage() && matches!(submission, Submission::Expiry(_)) => {
                    self.cancel_unreadable(project, run, Some(Resolution::Expired.as_str())).await?;
                    return Ok(None);
                }
                Err(error) if error.is_damage() => return Err(unreadable()),
                Err(error) => return Err(error.into()),
            };
            match self.try_to_submit(project, saved, submission, key).await {
                Ok(Tried::Taken(submitted)) => return Ok(Some(submitted)),
                Ok(Tried::Done) => return Ok(None),
                Ok(Tried::Raced) => {}
                // A journal that makes no sense is damage, too. What nobody decides about must not wait for ever.
                Err(problem)
                    if problem.code == Code::ResumeFailed && matches!(submission, Submission::Expiry(_)) =>
                {
                    self.cancel_unreadable(project, run, Some(Resolution::Expired.as_str())).await?;
                    return Ok(None);
                }
                Err(problem) => return Err(problem),
            }
        }
        Err(Problem::new(Code::ServiceOverloaded, "The run is too busy to take this just now. Retry."))
    }

    async fn try_to_submit(
        &self,
        project: &ProjectStore,
        saved: Saved,
        submission: &Submission,
        key: Option<IdempotencyKey>,
    ) -> Result<Tried, Problem> {
        let inner = &self.inner;
        let machine = fold(&saved)?;
        let record = &saved.record;
        let now = inner.store.ids().now();
        let input = match submission {
            Submission::Results { results, messages } => {
                let results = results_for(&machine, record, results, inner.options.max_tool_result_bytes)?;
                Input::Delivered { results, messages: messages.clone() }
            }
            Submission::Decision { approval, choice, messages, .. } => {
                let expires_at = match self.before(project, record, *approval, choice).await? {
                    Before::Decided(submitted) => return Ok(Tried::Taken(submitted)),
                    Before::Open { expires_at } => expires_at,
                };
                let question = open_question(&machine, record, *approval)?;
                if expires_at <= now {
                    // The rounds have not come to it yet.
                    return self.expired_first(saved, machine, *approval, now).await;
                }
                self.check(project, &saved, &machine, question, choice).await?;
                Input::Decided { approval: *approval, choice: choice.clone(), messages: messages.clone() }
            }
            Submission::Expiry(approval) => {
                let open = find(&machine, *approval).filter(|question| question.choice.is_none());
                if open.is_none() || !machine.status().is_paused() {
                    return Ok(Tried::Done);
                }
                expired(*approval)
            }
        };
        self.keep(saved, machine, input, submission, key, now).await
    }

    /// Appends what was submitted, and drives the run on if that is what it leads to.
    async fn keep(
        &self,
        mut saved: Saved,
        mut machine: Run,
        input: Input,
        submission: &Submission,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Tried, Problem> {
        let inner = &self.inner;
        let withdrawn = fit::approved(&machine);
        let frames = machine.apply(input.clone()).map_err(|_| not_paused(saved.record.status))?;
        let entry = JournalEntry { input, next_seq: machine.next_seq() };
        let node = inner.node();
        let (standing, place) = match machine.status() {
            Status::Running => (Standing::TakenUp(node), Some(inner.place()?)),
            status if status.is_paused() => (Standing::Pauses(driver::pause_of(&machine)), None),
            _ => {
                let Some(ending) = machine.ending().cloned() else { return Err(Problem::internal()) };
                let result = driver::result_of(&machine);
                (Standing::Ends(End { ending, tokens: machine.tokens(), result }), None)
            }
        };
        let ends = matches!(standing, Standing::Ends(_));
        let (run, project) = (saved.record.id, saved.record.project);
        let (smith, from) = (saved.record.smith, saved.record.next_seq);
        let position = u64::try_from(saved.journal.len()).unwrap_or(u64::MAX);
        let append = Append {
            run,
            seal: &saved.seal,
            fence: saved.record.fence,
            expected_seq: from,
            takes_over: false,
            frames: NewFrames { from, frames: frames.clone() },
            journal: (position, vec![entry.clone()]),
            standing,
            approvals: ApprovalChanges {
                decided: decided(submission),
                closes: Some(Resolution::RunEnded),
                withdrawn,
                ..ApprovalChanges::default()
            },
            remember: key.map(|key| Remember::run(key, run).of_smith(Some(smith))),
            meanwhile: false,
            announce: inner.store.server().shares_database(),
            at: now,
        };
        match inner.store.server().append_to_run(&append).await? {
            Appended::Lost => return Ok(Tried::Raced),
            Appended::KeyTaken => return Ok(Tried::Done),
            Appended::Kept | Appended::KeptAndAnotherWaits => {}
        }
        let submitted = Submitted { thread_id: saved.record.thread_id.clone(), from, repeats: false };
        if let Some(place) = place {
            saved.record.status = Status::Running;
            saved.record.owner = Some(node);
            saved.record.fence = saved.record.fence.saturating_add(1);
            saved.record.next_seq = machine.next_seq();
            saved.record.crashes = 0;
            saved.journal.push(entry);
            let registration = inner.register(run);
            let driver = Driver::resume(Arc::clone(inner), saved, Origin::Lane, registration.stop.clone())?;
            inner.spawn(driver, registration, place);
        } else if ends {
            let status = machine.status().as_str();
            metrics::counter!("ingram_runs_ended_total", "status" => status).increment(1);
            inner.hub.wake(run);
            inner.move_on(project, smith, &submitted.thread_id).await;
        } else {
            inner.hub.wake(run);
        }
        Ok(Tried::Taken(submitted))
    }

    /// Rejects a question whose time is over before anything else is said about it.
    async fn expired_first(
        &self,
        saved: Saved,
        machine: Run,
        approval: ApprovalId,
        now: Timestamp,
    ) -> Result<Tried, Problem> {
        let expiry = Submission::Expiry(approval);
        match self.keep(saved, machine, expired(approval), &expiry, None, now).await? {
            Tried::Raced => Ok(Tried::Raced),
            Tried::Taken(_) | Tried::Done => {
                let message = "The approval has expired; it counts as rejected.";
                Err(Problem::new(Code::RunNotPaused, message).at("approval_id"))
            }
        }
    }
}

fn fold(saved: &Saved) -> Result<Run, Problem> {
    let content_type = structured::content_type(saved.record.request.response_format.as_ref());
    let limits = Limits { model_calls: saved.config.max_model_calls };
    let entries = saved.journal.iter().map(|entry| (entry.input.clone(), entry.next_seq));
    let mut machine = Run::replay(limits, content_type, entries).map_err(|_| unreadable())?;
    machine.frames_end_at(saved.record.next_seq);
    Ok(machine)
}

fn unreadable() -> Problem {
    Problem::new(
        Code::ResumeFailed,
        "What is stored of the run cannot be read, so it cannot go on. Cancel it.",
    )
}

fn expired(approval: ApprovalId) -> Input {
    let reason = Some(Resolution::Expired.as_str().to_owned());
    Input::Decided { approval, choice: Choice::Reject { reason }, messages: Vec::new() }
}

fn decided(submission: &Submission) -> Option<Decided> {
    match submission {
        Submission::Results { .. } => None,
        Submission::Expiry(approval) => Some(Decided::Expired(*approval)),
        Submission::Decision { approval, choice, actor, reason, .. } => {
            let decision =
                |edited_args| Decision { actor: Some(actor.clone()), reason: reason.clone(), edited_args };
            Some(match choice {
                Choice::Approve { args, .. } => Decided::Approved(*approval, decision(args.clone())),
                Choice::Reject { .. } => Decided::Rejected(*approval, decision(None)),
            })
        }
    }
}
