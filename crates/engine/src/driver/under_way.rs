//! The calls that are under way, each in a task of its own.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};
use tools::Outcome;

/// The tasks of calls, and which call each makes: a task that panics cannot say.
#[derive(Default)]
pub(super) struct UnderWay {
    tasks: JoinSet<Outcome>,
    calls: HashMap<Id, String>,
}

/// What came of a call.
pub(super) struct Done {
    /// The id of the call.
    pub(super) call: String,
    /// None: the task that made it panicked.
    pub(super) outcome: Option<Outcome>,
}

impl UnderWay {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn spawn(&mut self, call: String, making: impl Future<Output = Outcome> + Send + 'static) {
        let task = self.tasks.spawn(making);
        self.calls.insert(task.id(), call);
    }

    /// Waits for the next call to be over. None: none is under way.
    pub(super) async fn next(&mut self) -> Option<Done> {
        let ended = self.tasks.join_next_with_id().await?;
        Some(self.done(ended))
    }

    /// Returns a call that is over, if there is one.
    pub(super) fn try_next(&mut self) -> Option<Done> {
        let ended = self.tasks.try_join_next_with_id()?;
        Some(self.done(ended))
    }

    fn done(&mut self, ended: Result<(Id, Outcome), JoinError>) -> Done {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, Some(outcome)),
            Err(error) => (error.id(), None),
        };
        Done { call: self.calls.remove(&task).unwrap_or_default(), outcome }
    }
}

#[cfg(test)]
mod tests {
    use tools::Answer;

    use super::*;

    #[tokio::test]
    async fn a_call_whose_task_panics_is_known_by_its_id() {
        let mut under_way = UnderWay::default();
        under_way.spawn("good".into(), async { Outcome::Answered(Answer::text("done")) });
        under_way.spawn("bad".into(), async { panic!("a mistake") });
        let mut ended = Vec::new();
        while let Some(done) = under_way.next().await {
            ended.push((done.call, done.outcome.is_some()));
        }
        ended.sort();
        assert_eq!(ended, [("bad".to_owned(), false), ("good".to_owned(), true)]);
        assert!(under_way.is_empty() && under_way.calls.is_empty());
    }
}
