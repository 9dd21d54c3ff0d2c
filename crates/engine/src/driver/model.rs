//! Calling the model: what it says is applied while commits of what it said before are under way.

use domain::items::{Item, ToolCall};
use domain::overlay::ToolChoice;
use domain::run::{Input, Reply, StopReason, Verdict};
use domain::usage::Tokens;
use domain::{Code, Problem};
use futures::{FutureExt as _, StreamExt as _};
use models::{Event, Failure, FailureKind};
use tokio::time::sleep_until;

use super::commit::{Commit, News};
use super::first_word::FirstWord;
use super::{Driver, Stop};
use crate::toolbox::{Offer, Repetition, tell_apart};
use crate::{Options, context, structured};

/// How many calls of one answer are kept at all, counted in what it may ask for. The model is told of each that is not made.
const KEPT_CALLS: usize = 8;

/// With whom and what a model is called, or why it cannot be.
pub(super) type Prepared = Result<(models::Credentials, models::Request), Problem>;

#[derive(Default)]
struct Answer {
    text: String,
    tool_calls: Vec<ToolCall>,
    /// How many bytes of thinking came before it and beside it.
    reasoned: usize,
    /// The bytes of those calls.
    call_bytes: usize,
}

impl Answer {
    fn asks_for(&mut self, call: ToolCall) {
        let brought = call.provider_data.as_ref().map_or(0, |data| data.to_string().len());
        let bytes = [call.id.len(), call.name.len(), call.arguments.len(), brought];
        self.call_bytes = bytes.into_iter().fold(self.call_bytes, usize::saturating_add);
        self.tool_calls.push(call);
    }

    fn bytes(&self) -> usize {
        self.text.len().saturating_add(self.call_bytes).saturating_add(self.reasoned)
    }

    /// Says what is too much about the answer, if something is.
    fn excess(&self, options: &Options) -> Option<String> {
        let (bytes, calls) = (options.max_answer_bytes, options.max_calls_per_answer);
        if self.bytes() > bytes {
            return Some(format!(
                "The answer grew over {bytes} bytes and was cut. Ask for less, or raise engine.max_answer_bytes."
            ));
        }
        let most = calls.saturating_mul(KEPT_CALLS);
        (self.tool_calls.len() > most).then(|| {
            format!(
                "The answer asked for more than {most} calls of tools and was cut. Ask for less, or raise \
                 engine.max_calls_per_answer."
            )
        })
    }
}

fn cut_off() -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        message: "The provider's stream ended without an end. Try again.".to_owned(),
    }
}

impl Driver {
    fn call_failed(&mut self, code: Code, message: String, transient: bool) -> Result<(), Stop> {
        let said = self.machine.saying().to_owned();
        self.apply(Input::CallFailed { code, message, transient, said })
    }

    pub(super) async fn call_model(&mut self) -> Result<(), Stop> {
        let prepared = self.prepared().await?;
        self.tell_missing()?;
        let (credentials, request) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => {
                self.settle_start().await?;
                // The run can wait for the database; only what the database has nothing to do with ends it.
                return match problem.code {
                    Code::StorageUnavailable => Err(Stop::Broken),
                    code => self.call_failed(code, problem.message, false),
                };
            }
        };
        // Text that has to have a form, or must be none, is passed on once it is known to be what was asked for.
        let hold = self.record.request.response_format.is_some()
            || matches!(self.tool_choice(), ToolChoice::Required | ToolChoice::Named(_));
        let mut stream = self.engine.models.call(&credentials, request).boxed();
        let mut answer = Answer::default();
        let mut held_back = Vec::new();
        let stop = self.stop.clone();
        let drained = self.engine.drained.clone();
        let mut commit: Option<(Commit, News)> = None;
        let mut first_word = FirstWord::default();
        loop {
            if commit.is_none() && self.is_due() {
                // The first word is waited for; behind it, the next ones are to be read.
                let meanwhile = first_word.sent(&self.pending.frames);
                commit = Some(self.start_commit(meanwhile));
            }
            let lingers = self.pending.due.filter(|_| commit.is_none() && self.may_commit());
            // Reading on would take processors from the embedded database, and nothing would be told earlier.
            let is_near = self.engine.store.server().commits_in_order();
            let is_awaited = first_word.is_on_its_way() && is_near && self.topic.is_watched();
            let is_full = self.pending.bytes > self.engine.options.max_pending_bytes;
            let rests = is_full || is_awaited || self.holds_back();
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.settle_start().await?;
                    return Err(Stop::Superseded);
                }
                () = drained.cancelled() => {
                    self.settle(&mut commit).await?;
                    self.flush().await?;
                    return Err(Stop::HandOver);
                }
                outcome = async { match self.starting.as_mut() { Some(starting) => starting.outcome().await, None => std::future::pending().await } } => {
                    if let Some(starting) = self.starting.take() {
                        self.stored(starting, outcome)?;
                    }
                    None
                }
                kept = async { match commit.as_mut() { Some((commit, _)) => commit.await, None => std::future::pending().await } } => {
                    let news = commit.take().map(|(_, news)| news).unwrap_or_default();
                    self.settle_start().await?;
                    self.kept(kept, news)?;
                    first_word.kept();
                    None
                }
                () = self.topic.watched(), if lingers.is_some() => None,
                () = async { match lingers { Some(due) => sleep_until(due).await, None => std::future::pending().await } } => None,
                event = stream.next(), if !rests => Some(event),
            };
            // Whatever the provider has sent already goes into one commit.
            let mut next = event;
            while let Some(event) = next.take() {
                let end = match event {
                    Some(Ok(Event::Finished { stop, tokens })) => Some(Ok((stop, tokens))),
                    Some(Ok(event)) => {
                        self.said(event, &mut answer, hold, &mut held_back)?;
                        None
                    }
                    Some(Err(failure)) => Some(Err(failure)),
                    None => Some(Err(cut_off())),
                };
                if let Some(end) = end {
                    drop(stream);
                    // The end of a short answer follows the run to the disk at once.
                    if commit.is_some() || !self.may_commit() {
                        self.settle(&mut commit).await?;
                    }
                    return self.answered(answer, end, held_back);
                }
                if let Some(message) = answer.excess(&self.engine.options) {
                    drop(stream);
                    self.settle(&mut commit).await?;
                    return self.call_failed(Code::RunFailed, message, false);
                }
                if self.pending.bytes <= self.engine.options.max_pending_bytes && !self.holds_back() {
                    next = stream.next().now_or_never();
                }
            }
        }
    }

    /// Tells whether the model has said its first word while the run is still being stored, or what could follow that to the
    /// disk is on its way. More of it would not be told earlier, and reading it takes processors from those who store.
    fn holds_back(&self) -> bool {
        let is_read_on = self.may_commit() && !self.topic.is_watched();
        self.starting.is_some() && !self.pending.frames.is_empty() && !is_read_on
    }

    /// Waits for the commit under way, if there is one.
    async fn settle(&mut self, commit: &mut Option<(Commit, News)>) -> Result<(), Stop> {
        self.settle_start().await?;
        let Some((commit, news)) = commit.take() else { return Ok(()) };
        let kept = commit.await;
        self.kept(kept, news)
    }

    /// Finds with whom and what the model is called.
    pub(super) async fn prepare(&mut self) -> Prepared {
        let project = self.engine.store.project(self.record.project);
        let past = match &self.record.request.response_format {
            // A structured answer is one stateless shot.
            Some(_) => Vec::new(),
            None if self.is_fresh_thread => Vec::new(),
            None => context::past(&project, &self.record, &self.seal, &self.engine.options).await?,
        };
        let toolbox = self.toolbox().await?;
        // After what may take long: a key that was taken back meanwhile is not called with.
        let choice = self.choose().await?;
        let items = context::conversation(&self.record, past, &self.machine);
        let limit = self.engine.options.max_attachment_bytes;
        let provider = choice.route.provider;
        let turns =
            context::Files::new(&project, &self.record, &self.seal, provider, limit).turns(items).await?;
        let overlay = &self.record.request.overlay;
        let request = models::Request {
            model: choice.route.model,
            instructions: [self.config.instructions(), &overlay.instructions]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("\n\n"),
            turns,
            tools: toolbox.offers().iter().map(Offer::as_model_sees_it).collect(),
            tool_choice: self.tool_choice(),
            response_format: self.record.request.response_format.clone(),
            reasoning_effort: overlay.reasoning_effort,
            reasoning_summary: overlay.reasoning_summary,
            max_output_tokens: overlay.max_output_tokens,
            sampling: overlay.sampling.clone(),
            // Runs of one smith begin with the same instructions.
            cache_key: Some(self.record.smith.to_string()),
        };
        Ok((choice.credentials, request))
    }

    /// Returns what the model must call. What the request wants called is called once; then the model is free to say what came
    /// of it.
    fn tool_choice(&self) -> ToolChoice {
        let choice = &self.record.request.overlay.tool_choice;
        let has_called = self.machine.transcript().iter().any(|item| matches!(item, Item::ToolCall(_)));
        match choice {
            ToolChoice::Required | ToolChoice::Named(_) if has_called => ToolChoice::Auto,
            choice => choice.clone(),
        }
    }

    fn said(
        &mut self,
        event: Event,
        answer: &mut Answer,
        hold: bool,
        held_back: &mut Vec<String>,
    ) -> Result<(), Stop> {
        match event {
            Event::Accepted { reference } => self.apply(Input::Accepted { reference }),
            Event::Text(text) if text.is_empty() => Ok(()),
            Event::Text(text) => {
                answer.text.push_str(&text);
                if hold {
                    held_back.push(text);
                    return Ok(());
                }
                self.apply(Input::Delta { text })
            }
            Event::ToolCall(call) => {
                answer.asks_for(call);
                Ok(())
            }
            Event::Reasoning(text) if text.is_empty() => Ok(()),
            // It is no part of what has to have a form, so it need not wait for that.
            Event::Reasoning(text) => {
                answer.reasoned = answer.reasoned.saturating_add(text.len());
                self.apply(Input::Reasoning { text })
            }
            Event::Finished { .. } => Ok(()),
        }
    }

    fn answered(
        &mut self,
        answer: Answer,
        end: Result<(StopReason, Tokens), Failure>,
        held_back: Vec<String>,
    ) -> Result<(), Stop> {
        let (stop, tokens) = match end {
            Ok(end) => end,
            Err(failure) => {
                let transient = failure.kind == FailureKind::Unavailable;
                return self.call_failed(Code::ModelRequestFailed, failure.message, transient);
            }
        };
        let choice = self.tool_choice();
        let verdict = match &self.record.request.response_format {
            _ if !choice.is_met_by(answer.tool_calls.iter().map(|call| call.name.as_str())) => {
                let why = match choice {
                    ToolChoice::Named(name) => format!("`{name}` has to be called."),
                    _ => "a tool has to be called.".to_owned(),
                };
                Verdict::LacksCall { why }
            }
            Some(format) if answer.tool_calls.is_empty() => structured::judge(format, &answer.text),
            _ => Verdict::NotAsked,
        };
        if !matches!(verdict, Verdict::Misses { .. } | Verdict::LacksCall { .. }) {
            for text in held_back {
                self.apply(Input::Delta { text })?;
            }
        }
        let Answer { text, mut tool_calls, .. } = answer;
        let plans = match &self.toolbox {
            Some(toolbox) if !tool_calls.is_empty() => {
                tell_apart(&mut tool_calls, self.machine.transcript());
                let options = &self.engine.options;
                let limits = Repetition { calls: options.max_calls_per_answer, same: options.max_same_calls };
                let ids = self.engine.store.ids();
                self.has_planned = true;
                toolbox.plan(&tool_calls, self.machine.transcript(), limits, || ids.mint())
            }
            _ => Vec::new(),
        };
        self.apply(Input::Replied { reply: Reply { text, tool_calls, plans, stop, tokens, verdict } })
    }

    /// Fetches the answer of a call that a dead process had made, where the provider keeps it: nothing is paid twice.
    pub(super) async fn reattached(&mut self) -> Result<bool, Stop> {
        // The answer may ask for calls. It may also be the last one, so what is missing is told before it.
        self.toolbox().await.map_err(|error| self.broken(&error))?;
        self.tell_missing()?;
        let Some(reference) = self.machine.reference().map(str::to_owned) else { return Ok(false) };
        let Ok(choice) = self.choose().await else { return Ok(false) };
        let stop = self.stop.clone();
        let drained = self.engine.drained.clone();
        let events = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Stop::Superseded),
            () = drained.cancelled() => return Err(Stop::HandOver),
            events = self.engine.models.reattach(&choice.credentials, &choice.route.model, &reference) => events,
        };
        let Some(events) = events else { return Ok(false) };
        let mut answer = Answer::default();
        let mut end = None;
        for event in events {
            match event {
                Event::Text(text) => answer.text.push_str(&text),
                Event::ToolCall(call) => answer.asks_for(call),
                Event::Finished { stop, tokens } => end = Some((stop, tokens)),
                Event::Accepted { .. } | Event::Reasoning(_) => {}
            }
        }
        let Some(end) = end else { return Ok(false) };
        let streamed = self.streamed().await?;
        let mut held_back = Vec::new();
        match answer.text.strip_prefix(streamed.as_str()) {
            // The stored answer goes on where the stream was cut.
            Some(rest) => {
                self.machine.recall_streamed(&streamed);
                if !rest.is_empty() {
                    held_back.push(rest.to_owned());
                }
            }
            None => {
                self.apply(Input::Resumed)?;
                held_back.push(answer.text.clone());
            }
        }
        match answer.excess(&self.engine.options) {
            Some(message) => self.call_failed(Code::RunFailed, message, false)?,
            None => self.answered(answer, Ok(end), held_back)?,
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_and_the_thinking_of_an_answer_are_counted_like_its_text() {
        let options = Options { max_answer_bytes: 100, max_calls_per_answer: 2, ..Options::default() };
        let call = |arguments: &str| ToolCall {
            id: "c1".into(),
            name: "look".into(),
            arguments: arguments.into(),
            provider_data: None,
        };
        let mut answer = Answer { text: "x".repeat(50), ..Answer::default() };
        answer.asks_for(call(&"y".repeat(44)));
        assert_eq!(answer.excess(&options), None);
        answer.asks_for(call(""));
        assert!(answer.excess(&options).unwrap().contains("engine.max_answer_bytes"));
        let thinking = Answer { text: "x".repeat(50), reasoned: 51, ..Answer::default() };
        assert!(thinking.excess(&options).is_some());
        let mut answer = Answer::default();
        for _ in 0..16 {
            assert_eq!(answer.excess(&options), None);
            answer.asks_for(ToolCall { id: String::new(), name: String::new(), ..call("") });
        }
        assert_eq!(answer.excess(&options), None);
        answer.asks_for(ToolCall { id: String::new(), name: String::new(), ..call("") });
        assert!(answer.excess(&options).unwrap().contains("more than 16 calls"));
    }
}
