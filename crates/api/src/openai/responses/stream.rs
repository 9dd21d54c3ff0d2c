//! Streams of a response: the projection of a run's frames as they come.

use axum::body::{Body, Bytes};
use axum::response::Response;
use domain::Problem;
use domain::ids::RunId;
use engine::{Follower, Mode};
use futures::stream;
use store::ProjectStore;
use store::runs::Saved;

use super::facts::Facts;
use super::projection::{Event, Projection};
use super::{object, reading};
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
pub(super) async fn follow(
    app: &App,
    project: ProjectStore,
    saved: Saved,
    from: From,
) -> Result<Response, Problem> {
    let (seal, run) = reading::parts(&saved);
    // The numbers of events are known by those before them, so the log is read from its beginning.
    let follower = app.engine.follow(project.clone(), seal, run, 0, Mode::Follow)?;
    let facts = reading::facts(&project, &saved).await?;
    let projection = Projection::new(run, object::shell(&saved.record));
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
    Ok(event_stream(Body::from_stream(events)))
}

impl Told {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let Some(frames) = self.follower.next().await? else { return Ok(None) };
            let last = frames.iter().rev().find(|frame| Projection::needs_facts(&frame.frame));
            if last.is_some_and(|last| last.seq >= self.facts.next_seq) {
                let saved = reading::saved(&self.project, self.run).await?;
                self.facts = reading::facts(&self.project, &saved).await?;
            }
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
}

/// Appends an event. LF only, one `data:` line, ended by a blank line.
fn encode(event: &Event, into: &mut Vec<u8>) {
    let Event { number, kind, data, .. } = event;
    into.extend_from_slice(format!("event: {kind}\nid: {number}\ndata: {data}\n\n").as_bytes());
}
