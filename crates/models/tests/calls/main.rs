//! Calls of models, end to end against an upstream that does what upstreams do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of this is a test, its helpers too"
)]

mod bounds;
mod embeddings;
mod failures;
mod reattach;
mod streams;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use domain::models::Provider;
use egress::{Egress, Policy};
use futures::StreamExt;
use models::scripted::Scripts;
use models::{Credentials, Event, Failure, Models, Options, Origin, Request, Turn};

/// Must be found in no message.
pub(crate) const KEY: &str = "sk-live-canary-0123456789";

pub(crate) fn models(options: Options) -> Models {
    let egress = Egress::new().unwrap();
    let scripts = Scripts::bundled();
    Models::new(options, &egress, Policy::Public, scripts, Arc::new(|| 0.5)).unwrap()
}

/// Options that do not make a test wait between attempts.
pub(crate) fn quick() -> Options {
    Options {
        backoff_base: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        reattach_interval: Duration::from_millis(1),
        ..Options::default()
    }
}

pub(crate) fn credentials(provider: Provider, base_url: &str) -> Credentials {
    Credentials { provider, api_key: KEY.into(), base_url: Some(base_url.into()), origin: Origin::Operator }
}

pub(crate) fn request() -> Request {
    let turn = Turn::User { text: "Hello".into(), attachments: vec![] };
    Request { model: "some-model".into(), turns: vec![turn], ..Request::default() }
}

/// What a call gave: its events, and the failure if it ended in one.
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    pub(crate) failure: Option<Failure>,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.failure.is_none() && matches!(self.events.last(), Some(Event::Finished { .. }))
    }

    pub(crate) fn failure(self) -> Failure {
        self.failure.expect("the call fails")
    }
}

pub(crate) async fn call(models: &Models, credentials: &Credentials) -> Outcome {
    let mut stream = models.call(credentials, request());
    let mut outcome = Outcome { events: Vec::new(), failure: None };
    while let Some(event) = stream.next().await {
        assert!(outcome.failure.is_none(), "nothing follows a failure");
        match event {
            Ok(event) => outcome.events.push(event),
            Err(failure) => {
                assert!(!failure.message.contains(KEY), "{}", failure.message);
                outcome.failure = Some(failure);
            }
        }
    }
    outcome
}
