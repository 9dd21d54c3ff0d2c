//! Streams of a response: the projection of a run's frames as they come.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use domain::Problem;
use domain::ids::RunId;
use engine::{Follower, Mode, Published, Seat};
use futures::stream;
use serde_json::{Map, Value};
use store::{ProjectStore, SmithSeal};

use super::facts::Facts;
use super::projection::{Event, Projection};
use super::reading;
use crate::app::App;
use crate::native::runs::stream::{COMMENT, SILENCE, event_stream};

/// From where on a reader wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Behind the event of this number.
    Number(Option<u64>),
    /// With the events of this frame.
    Seq(u64),
}

impl From {
    fn wants(self, event: &Event) -> bool {
        match self {
            Self::Number(seen) => seen.is_none_or(|seen| event.number > seen),
            Self::Seq(from) => event.seq >= from,
        }
    }
}

/// The response that a stream tells, as far as it is known when the stream opens.
pub(super) struct Opened {
    pub(super) run: RunId,
    pub(super) seal: SmithSeal,
    pub(super) shell: Map<String, Value>,
    pub(super) facts: Facts,
}

struct Told {
    project: ProjectStore,
    run: RunId,
    follower: Follower,
    projection: Projection,
    facts: Facts,
    from: From,
    is_open: bool,
}

/// Answers with the events of a response as they come, until its run rests.
pub(super) fn follow(app: &App, project: ProjectStore, opened: Opened, from: From, seat: Seat) -> Response {
    let Opened { run, seal, shell, facts } = opened;
    // The numbers of events are known by those before them, so the log is read from its beginning.
    let follower = app.engine.follow(seat, project.clone(), seal, run, 0, Mode::Follow);
    let projection = Projection::new(run, shell);
    let told = Told { project, run, follower, projection, facts, from, is_open: false };
    let events = stream::unfold(Some(Box::new(told)), |told| async move {
        let mut told = told?;
        if !told.is_open {
            told.is_open = true;
            return Some((Ok(COMMENT), Some(told)));
        }
        match tokio::time::timeout(SILENCE, told.next()).await {
            Err(_) => Some((Ok(COMMENT), Some(told))),
            Ok(Ok(Some(bytes))) => Some((Ok(bytes), Some(told))),
            Ok(Ok(None)) => None,
            // The head is out already: a stream that breaks off tells its reader to come back.
            Ok(Err(problem)) => Some((Err(std::io::Error::other(problem.code.as_str())), None)),
        }
    });
    event_stream(Body::from_stream(events))
}

impl Told {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let Some(frames) = self.follower.next().await? else { return Ok(None) };
            self.learn(&frames).await?;
            let mut bytes = Vec::new();
            for frame in frames {
                for event in self.projection.apply(frame.seq, &frame.frame, &self.facts) {
                    if self.from.wants(&event) {
                        encode(&event, &mut bytes);
                    }
                }
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes.into()));
            }
        }
    }

    /// Finds out what the frames are told with that they do not say themselves.
    async fn learn(&mut self, frames: &[Arc<Published>]) -> Result<(), Problem> {
        let new = || frames.iter().filter(|frame| frame.seq >= self.facts.next_seq).map(|frame| &frame.frame);
        if !new().any(Projection::needs_facts) {
            return Ok(());
        }
        let has_calls = self.facts.has_calls() || new().any(Projection::tells_calls);
        self.facts = match self.follower.ended().filter(|_| !has_calls) {
            Some(record) => Facts::of_ended(&record),
            None => {
                let saved = reading::saved(&self.project, self.run).await?;
                reading::facts(&self.project, &saved).await?
            }
        };
        Ok(())
    }
}

/// Appends an event. LF only, one `data:` line, ended by a blank line.
fn encode(event: &Event, into: &mut Vec<u8>) {
    let Event { number, kind, data, .. } = event;
    into.extend_from_slice(format!("event: {kind}\nid: {number}\ndata: ").as_bytes());
    into.extend_from_slice(data);
    into.extend_from_slice(b"\n\n");
}
