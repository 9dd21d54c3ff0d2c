//! Calling tools: side by side, each intended on disk before it is made and settled as soon as it is over.

use std::sync::Arc;

use domain::content::{Part, Source as FileSource};
use domain::frames::Warning;
use domain::items::ToolResult;
use domain::run::{Call, Elicitation, Input, Settlement};
use domain::tools::CallError;
use store::ProjectStore;
use store::files::StoredFile;
use tools::{Answer, Outcome, Person, Reply};

use super::under_way::{Done, UnderWay};
use super::{Driver, Stop};
use crate::Inner;
use crate::fault::{self, Point};
use crate::toolbox::{Gathered, Offer, Requested, Source, Toolbox};

impl Driver {
    /// Returns the tools of the run, gathered once by each driver.
    pub(super) async fn toolbox(&mut self) -> Result<Arc<Toolbox>, store::Error> {
        if let Some(toolbox) = &self.toolbox {
            return Ok(Arc::clone(toolbox));
        }
        let engine = &self.engine;
        let project = engine.store.project(self.record.project);
        let request = Requested::of(&self.record.request);
        let gathered = Gathered::of_run(engine, &project, &self.config.config, request).await?;
        let Gathered { toolbox, warnings } = gathered;
        self.found_missing = warnings;
        let toolbox = Arc::new(toolbox);
        self.toolbox = Some(Arc::clone(&toolbox));
        Ok(toolbox)
    }

    /// Makes calls and waits for all of them. Each result is on disk as soon as it is there.
    pub(super) async fn call_tools(&mut self, calls: Vec<Call>) -> Result<(), Stop> {
        fault::panic_at(Point::InDriver);
        let toolbox = self.toolbox().await.map_err(|error| self.broken(&error))?;
        self.tell_missing()?;
        let project = self.engine.store.project(self.record.project);
        let person = self.person(&project, &toolbox, &calls).await.map_err(|error| self.broken(&error))?;
        let mut waiting = calls.into_iter();
        let mut under_way = UnderWay::default();
        let stop = self.stop.clone();
        let drained = self.engine.drained.clone();
        loop {
            let places = self.engine.options.max_parallel_calls.max(1).saturating_sub(under_way.len());
            let next: Vec<Call> = waiting.by_ref().take(places).collect();
            if !next.is_empty() {
                fault::reach(Point::BeforeIntent);
                self.apply(Input::Intended {
                    calls: next.iter().map(|call| call.call.id.clone()).collect(),
                })?;
                // No call is made before its intent is on disk.
                self.flush().await?;
                fault::reach(Point::AfterIntent);
            }
            for call in next {
                let id = call.call.id.clone();
                let offer = match self.tool_of(&toolbox, &call) {
                    Ok(offer) => offer.clone(),
                    Err(why) => {
                        under_way.spawn(id, async move { Outcome::Answered(Answer::error(why)) });
                        continue;
                    }
                };
                let engine = Arc::clone(&self.engine);
                let call = self.call(&call, &offer, person.clone());
                let project = project.clone();
                // On its own, so that no call waits for the commit of another.
                under_way.spawn(id, async move {
                    let outcome = carry_out(&engine, &project, &offer, &call).await;
                    fault::panic_at(Point::InCall);
                    fault::reach(Point::AfterCall);
                    outcome
                });
            }
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Stop::Superseded),
                // What is under way is cut: whoever takes the run up finds its intent.
                () = drained.cancelled() => return Err(Stop::HandOver),
                first = under_way.next() => first,
            };
            let Some(first) = first else { return Ok(()) };
            let mut done = Some(first);
            while let Some(Done { call, outcome }) = done.take() {
                match outcome {
                    Some(outcome) => self.came_back(&project, &call, outcome).await?,
                    None => self.broke(&call)?,
                }
                done = under_way.try_next();
            }
            if !under_way.is_empty() {
                // Others are still under way: what is settled is safe from their fate.
                self.flush().await?;
            }
        }
    }

    /// Notes that a call broke in this server. Nobody knows how far it had come, and what broke once is not tried again.
    fn broke(&mut self, id: &str) -> Result<(), Stop> {
        tracing::error!(run.id = %self.record.id, "The task of a call of a tool panicked; its outcome is unknown.");
        let call = self.machine.step().and_then(|step| step.call(id)).ok_or(Stop::Unreadable)?;
        let result = call.unknown();
        let warning = Warning {
            code: "outcome_unknown".to_owned(),
            message: format!(
                "The server failed in the middle of the call {id} of `{}`. Whether it was carried out is not known; it was \
                 not repeated.",
                result.name
            ),
        };
        // First, as the result may be the last that the run had to wait for.
        self.apply(Input::Warned { warnings: vec![warning] })?;
        self.apply(Input::Settled { settlement: Settlement { result, suggested_replies: Vec::new() } })
    }

    /// Notes what came of a call.
    async fn came_back(&mut self, project: &ProjectStore, id: &str, outcome: Outcome) -> Result<(), Stop> {
        fault::reach(Point::BeforeResult);
        match outcome {
            Outcome::Answered(answer) => {
                let settlement =
                    self.settlement(project, id, answer).await.map_err(|error| self.broken(&error))?;
                self.apply(Input::Settled { settlement })?;
            }
            Outcome::Asks { questions, request_state } => {
                let gate = self.asks_of(id);
                let ids = self.engine.store.ids();
                let questions = questions
                    .into_iter()
                    .map(|question| Elicitation {
                        approval: ids.mint(),
                        key: question.key,
                        message: question.message,
                        requested_schema: question.requested_schema,
                    })
                    .collect();
                self.apply(Input::Asked { call_id: id.to_owned(), questions, gate, request_state })?;
            }
        }
        if fault::is_set(Point::AfterResult) {
            self.flush().await?;
            fault::reach(Point::AfterResult);
        }
        Ok(())
    }

    /// Finds the tool of a call, or says why it cannot be made any more.
    fn tool_of<'a>(&self, toolbox: &'a Toolbox, call: &Call) -> Result<&'a Offer, String> {
        match toolbox.of(call) {
            Some(offer) if self.has_planned => Ok(offer),
            _ => toolbox.take_up(call),
        }
    }

    fn asks_of(&self, id: &str) -> domain::tools::Gate {
        let call = self.machine.step().and_then(|step| step.call(id));
        let offer = self.toolbox.as_ref().zip(call).and_then(|(toolbox, call)| toolbox.of(call));
        offer.map(|offer| offer.asks).unwrap_or_default()
    }

    /// Makes the result that the model gets of an answer, its attachments put into file storage.
    async fn settlement(
        &self,
        project: &ProjectStore,
        id: &str,
        answer: Answer,
    ) -> Result<Settlement, store::Error> {
        let name = self.machine.step().and_then(|step| step.call(id)).map(|call| call.call.name.clone());
        let mut files = Vec::new();
        let mut attachments = Vec::new();
        for attachment in answer.attachments {
            let file = StoredFile {
                id: self.engine.store.ids().mint(),
                media_type: attachment.media_type,
                filename: attachment.filename,
                bytes: attachment.bytes.to_vec(),
            };
            let source = FileSource { file_id: Some(file.id), ..FileSource::default() };
            let is_image = file.media_type.starts_with("image/");
            attachments.push(if is_image { Part::Image(source) } else { Part::File(source) });
            files.push(file);
        }
        if !files.is_empty() {
            project.keep_files(self.record.smith, &self.seal, &files).await?;
        }
        let result = ToolResult {
            call_id: id.to_owned(),
            name: name.unwrap_or_default(),
            output: cut(answer.output, self.engine.options.max_tool_result_bytes),
            is_error: answer.is_error,
            attachments,
        };
        Ok(Settlement { result, suggested_replies: answer.suggested_replies })
    }

    fn call(&self, call: &Call, offer: &Offer, person: Person) -> tools::Call {
        let id = &call.call.id;
        let resumption = call.resumption.as_ref().map(|resumption| tools::Resumption {
            request_state: resumption.request_state.clone(),
            replies: resumption
                .replies
                .iter()
                .map(|(key, reply)| {
                    let reply = reply.clone().map_or(Reply::Decline, Reply::Accept);
                    (key.clone(), reply)
                })
                .collect(),
        });
        tools::Call {
            tool: offer.source.tool().to_owned(),
            args: call.args.clone(),
            call_id: id.clone(),
            idempotency_key: format!("{}::{id}", self.record.id),
            run: self.record.id,
            smith: self.record.smith,
            thread_id: self.record.thread_id.clone(),
            resumption,
            person,
        }
    }

    /// Finds what tools may know of the person, where one of the calls has use for it.
    async fn person(
        &self,
        project: &ProjectStore,
        toolbox: &Toolbox,
        calls: &[Call],
    ) -> Result<Person, store::Error> {
        let uses = |call: &Call| {
            toolbox.of(call).is_some_and(|offer| match &offer.source {
                Source::Webhook { .. } => true,
                Source::Hosted { function } => function == "current_time",
                Source::External { .. }
                | Source::Client { .. }
                | Source::Mcp { .. }
                | Source::Request { .. } => false,
            })
        };
        if !calls.iter().any(uses) {
            return Ok(Person::default());
        }
        let smith = project.smith(self.record.smith).await?;
        Ok(smith.map_or_else(Person::default, |smith| Person {
            external_id: smith.external_id,
            locale: smith.profile.locale,
            timezone: smith.profile.timezone,
        }))
    }
}

/// Carries a call out, wherever its tool lives. Trouble with the source is noted beside it.
async fn carry_out(engine: &Inner, project: &ProjectStore, offer: &Offer, call: &tools::Call) -> Outcome {
    let outcome = match &offer.source {
        Source::Hosted { .. } => Outcome::Answered(engine.tools.hosted.call(call).await),
        Source::Webhook { target, .. } => {
            let trace = call.traceparent();
            Outcome::Answered(engine.tools.webhooks.call(target, call, Some(&trace)).await.answer)
        }
        Source::Mcp { server, .. } | Source::Request { server, .. } => {
            engine.tools.mcp.call(server, call).await
        }
        Source::External { .. } | Source::Client { .. } => {
            Outcome::Answered(Answer::error("The tool is not carried out here."))
        }
    };
    if let Outcome::Answered(Answer { trouble: Some(message), .. }) = &outcome {
        let error = CallError { message: message.clone(), at: engine.store.ids().now() };
        let noted = match &offer.source {
            Source::Webhook { tool, .. } => project.note_project_tool_error(tool, &error).await,
            Source::Mcp { registration, .. } => project.note_mcp_error(registration, &error).await,
            Source::Hosted { .. }
            | Source::External { .. }
            | Source::Client { .. }
            | Source::Request { .. } => Ok(()),
        };
        if let Err(error) = noted {
            tracing::warn!(error = %error, "The last error of a tool could not be noted.");
        }
    }
    outcome
}

/// Cuts a text to at most `limit` bytes, and says so.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let whole = text.len();
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text.push_str(&format!("\n[Cut here: the result had {whole} bytes, and {end} of them are shown.]"));
    text
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_result_that_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("short".into(), 5), "short");
        let cut = cut("äöü".into(), 3);
        assert!(cut.starts_with("ä\n[Cut here: the result had 6 bytes, and 2"), "{cut}");
    }
}
