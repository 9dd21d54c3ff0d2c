//! How a run's model is called: found out anew again and again, as keys come and go, but not for each of many quick calls.

use std::time::Duration;

use domain::Problem;
use tokio::time::Instant;

use super::Driver;
use crate::keys::Choice;

/// How long what was found out is good for. With a key that was taken back or replaced, a run under way begins calls for so much
/// longer.
const LASTS: Duration = Duration::from_secs(1);

/// How the model is called, and when that was asked.
pub(crate) struct Chosen {
    choice: Choice,
    asked: Instant,
}

impl Chosen {
    pub(crate) fn new(choice: Choice, asked: Instant) -> Self {
        Self { choice, asked }
    }

    fn current(&self) -> Option<&Choice> {
        (self.asked.elapsed() < LASTS).then_some(&self.choice)
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
        let asked = Instant::now();
        let choice = keys.choose(&project, Some(self.record.smith), &self.config.resolved_model).await?;
        self.chosen = Some(Chosen::new(choice.clone(), asked));
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
        let chosen =
            Chosen::new(Choice { model: "openai/gpt-5.5".to_owned(), route, credentials }, Instant::now());
        assert!(chosen.current().is_some());
        tokio::time::advance(LASTS - Duration::from_millis(1)).await;
        assert!(chosen.current().is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(chosen.current().is_none());
    }
}
