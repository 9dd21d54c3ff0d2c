//! What a chat is answered with: a completion once the run rests, or its chunks as they come.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use domain::Problem;
use domain::frames::Frame;
use domain::ids::RunId;
use engine::{Follower, Mode, Seat};
use futures::stream;
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

use super::chunks::{Chunks, failure};
use super::completion::{Rest, pending_of, render};
use crate::app::App;
use crate::errors::ApiError;
use crate::native::runs::reply::{goes_on, name_run};
use crate::native::runs::stream::{COMMENT, SILENCE, event_stream};
use crate::openai::turn::CancelOnDrop;

/// How the caller wants to hear of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Completion,
    Chunks { include_usage: bool },
}

/// The run that a request is about.
pub(super) struct Told {
    pub(super) run: RunId,
    pub(super) seal: SmithSeal,
    pub(super) thread_id: String,
    pub(super) model: String,
    /// Unix seconds.
    pub(super) created: i64,
    /// From which seq on the caller is told of it.
    pub(super) from: u64,
}

/// Answers with what a run says from a seq on. The guard cancels the run when its client goes away.
pub(super) async fn answer(
    app: &App,
    project: &ProjectStore,
    told: Told,
    wanted: Wanted,
    seat: Seat,
    mut guard: CancelOnDrop,
) -> Result<Response, Problem> {
    let (run, thread_id) = (told.run, told.thread_id.clone());
    let mut response = match wanted {
        Wanted::Completion => {
            let completion = complete(app, project, &told, seat).await;
            // Whatever it is, the client is there and is told.
            guard.release();
            // An error is named like an answer: there is a run behind it.
            completion.map_or_else(
                |problem| ApiError::from(problem).into_response(),
                |completion| completion.into_response(),
            )
        }
        Wanted::Chunks { include_usage } => {
            let follower =
                app.engine.follow(seat, project.clone(), told.seal.clone(), run, told.from, Mode::Follow);
            let chunks = Chunks::new(run, told.created, told.model.clone(), include_usage);
            let telling = Telling { app: app.clone(), told, follower, chunks, guard };
            event_stream(Body::from_stream(telling.stream()))
        }
    };
    name_run(&mut response, run, &thread_id);
    Ok(response)
}

async fn complete(
    app: &App,
    project: &ProjectStore,
    told: &Told,
    seat: Seat,
) -> Result<Json<serde_json::Value>, Problem> {
    let mut follower =
        app.engine.follow(seat, project.clone(), told.seal.clone(), told.run, told.from, Mode::Unhurried);
    let record = follower.rest().await.map_err(|problem| goes_on(problem, told.run))?;
    let rest = Rest::of(&record).map_err(Problem::after_work)?;
    let text = if told.from == 0 {
        record.result.as_ref().map(|result| result.content.clone()).unwrap_or_default()
    } else {
        said_until(record.next_seq, told.from, follower).await.map_err(Problem::after_work)?
    };
    Ok(Json(render(&record, &text, rest)))
}

/// Reads what a run has said from `next`, where its follower stands, up to the frame `end`. A run that was paused there may go on
/// meanwhile, which is no part of this answer.
async fn said_until(end: u64, mut next: u64, mut follower: Follower) -> Result<String, Problem> {
    let mut said: Vec<(u64, String)> = Vec::new();
    while next < end {
        let Some(frames) = follower.next().await? else { break };
        for published in frames {
            // What is missing before a later one is lost, and will not come.
            next = published.seq.saturating_add(1);
            if next > end {
                break;
            }
            match &published.frame {
                Frame::Delta { delta } => said.push((published.seq, delta.clone())),
                Frame::Resumed { discard_after, .. } => said.retain(|(seq, _)| seq <= discard_after),
                _ => {}
            }
        }
    }
    Ok(said.into_iter().map(|(_, text)| text).collect())
}

/// A stream of chunks under way.
struct Telling {
    app: App,
    told: Told,
    follower: Follower,
    chunks: Chunks,
    guard: CancelOnDrop,
}

/// The ways a stream goes on.
enum State {
    Opening(Box<Telling>),
    Following(Box<Telling>),
}

impl Telling {
    fn stream(self) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
        stream::unfold(Some(State::Opening(Box::new(self))), |state| async move {
            let mut telling = match state? {
                State::Opening(telling) => {
                    let opening = [COMMENT.as_ref(), &telling.chunks.opening()].concat();
                    return Some((Ok(Bytes::from(opening)), Some(State::Following(telling))));
                }
                State::Following(telling) => telling,
            };
            loop {
                let Ok(next) = tokio::time::timeout(SILENCE, telling.follower.next()).await else {
                    return Some((Ok(COMMENT), Some(State::Following(telling))));
                };
                let (bytes, is_over) = telling.told_by(next).await;
                if is_over {
                    telling.guard.release();
                    return Some((Ok(Bytes::from(bytes)), None));
                }
                if !bytes.is_empty() {
                    return Some((Ok(Bytes::from(bytes)), Some(State::Following(telling))));
                }
            }
        })
    }

    /// Tells what came next, and whether that was the end.
    async fn told_by(
        &mut self,
        next: Result<Option<Vec<std::sync::Arc<engine::Published>>>, Problem>,
    ) -> (Vec<u8>, bool) {
        let frames = match next {
            Ok(Some(frames)) => frames,
            // The run rests without a frame that says so, or the server goes.
            Ok(None) => return (self.end(None).await, true),
            Err(problem) => return (failure(&problem.after_work()), true),
        };
        let mut bytes = Vec::new();
        for published in frames {
            match self.chunks.frame(published.seq, &published.frame) {
                Ok(chunks) => bytes.extend(chunks),
                Err(problem) => {
                    bytes.extend(failure(&problem));
                    return (bytes, true);
                }
            }
            if published.frame.is_terminal() || matches!(published.frame, Frame::Paused { .. }) {
                bytes.extend(self.end(Some((published.seq, &published.frame))).await);
                return (bytes, true);
            }
        }
        (bytes, false)
    }

    /// Tells how the run has come to rest.
    async fn end(&self, last: Option<(u64, &Frame)>) -> Vec<u8> {
        if last.is_none() && self.app.engine.is_closing() {
            let message = format!(
                "The server shuts down before the run {} has ended. The run goes on; read its record.",
                self.told.run
            );
            return failure(&Problem::new(domain::Code::InternalError, message).after_work());
        }
        let record = self.follower.record().await;
        match record.and_then(|record| Self::rest(&record, last)) {
            Ok((seq, rest)) => self.chunks.rest(seq, &rest),
            Err(problem) => failure(&problem.after_work()),
        }
    }

    fn rest(record: &RunRecord, last: Option<(u64, &Frame)>) -> Result<(u64, Rest), Problem> {
        match last {
            // The run may have gone on since: whoever follows it from this pause on answers to it as it was.
            Some((seq, Frame::Paused { tool_calls, .. })) => Ok((seq, pending_of(record, tool_calls))),
            Some((seq, _)) => Ok((seq, Rest::of(record)?)),
            None => Ok((record.next_seq.saturating_sub(1), Rest::of(record)?)),
        }
    }
}
