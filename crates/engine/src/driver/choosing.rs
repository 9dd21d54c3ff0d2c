//! How a run's model is called: found out anew again and again, as keys come and go, but not for each of many quick calls.

use std::time::Duration;

use domain::Problem;
use tokio::time::Instant;

use super::Driver;
use crate::keys::Choice;

/// How long what was found out is good for. A key that was taken back or replaced is used so much longer by a run under way.
const LASTS: Duration = Duration::from_secs(1);

pub(super) struct Chosen {
    choice: Choice,
    at: Instant,
}

impl Chosen {
    pub(super) fn now(choice: Choice) -> Self {
        Self { choice, at: Instant::now() }
    }

    fn current(&self) -> Option<&Choice> {
        (self.at.elapsed() < LASTS).then_some(&self.choice)
    }
}

impl Driver {
    /// Finds with which key the model is called, and where.
    pub(super) async fn choose(&mut self) -> Result<Choice, Problem> {
        if let Some(choice) = self.chosen.as_ref().and_then(Chosen::current) {
            return Ok(choice.clone());
        }
        let project = self.engine.store.project(self.record.project);
        let keys = &self.engine.keys;
        let choice = keys.choose(&project, Some(self.record.smith), &self.config.resolved_model).await?;
        self.chosen = Some(Chosen::now(choice.clone()));
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use domain::models::{Provider, Route};
    use models::{Credentials, Origin};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_looked_for_anew_after_a_second() {
        let credentials = Credentials {
            provider: Provider::Openai,
            api_key: "sk-test".into(),
            base_url: None,
            origin: Origin::Tenant,
        };
        let route = Route { provider: Provider::Openai, model: "gpt-5.5".to_owned() };
        let chosen = Chosen::now(Choice { model: "openai/gpt-5.5".to_owned(), route, credentials });
        assert!(chosen.current().is_some());
        tokio::time::advance(LASTS - Duration::from_millis(1)).await;
        assert!(chosen.current().is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(chosen.current().is_none());
    }
}
