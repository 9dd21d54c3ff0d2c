//! The driver around the adapters: opens connections, bounds every wait, retries, and puts failures into words.

mod answer;
mod attempt;
mod embed;
mod reattach;
mod retry;
mod status;

use std::fmt;
use std::sync::Arc;

use domain::models::Provider;
use egress::{BuildError, Client, Egress, Policy, Timeouts};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::Instant;

use self::attempt::Call;
use crate::call::{Credentials, Event, Failure, Origin, Request};
use crate::embeddings::{EmbeddingRequest, Embeddings};
use crate::options::Options;
use crate::scripted::Scripts;
use crate::trouble::Trouble;
use crate::{anthropic, gemini, openai};

/// Where jitter comes from: a number from 0 to below 1, a new one with every call.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Calls models. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Models {
    options: Arc<Options>,
    /// Calls addresses that tenants gave.
    guarded: Client,
    /// Calls addresses that the operator gave.
    trusting: Client,
    scripts: Scripts,
    jitter: Jitter,
}

impl fmt::Debug for Models {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Models").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Models {
    /// Builds the clients. `tenants` is the policy for addresses that tenants give; the operator may give any.
    pub fn new(
        options: Options,
        egress: &Egress,
        tenants: Policy,
        scripts: Scripts,
        jitter: Jitter,
    ) -> Result<Self, BuildError> {
        // The waits after the connection are bounded here, where they can be told apart.
        let timeouts = Timeouts { connect: options.connect, idle: None, total: None };
        Ok(Self {
            guarded: egress.client(tenants, timeouts)?,
            trusting: egress.client(Policy::Any, timeouts)?,
            options: Arc::new(options),
            scripts,
            jitter,
        })
    }

    /// Calls a model and streams what it says.
    ///
    /// The stream ends after [`Event::Finished`] or the first failure. A call that failed is repeated only as long as
    /// nothing that the model said was passed on; every attempt may begin with an [`Event::Accepted`] of its own. Dropping
    /// the stream closes the connection, so that the provider stops.
    pub fn call(
        &self,
        credentials: &Credentials,
        request: Request,
    ) -> BoxStream<'static, Result<Event, Failure>> {
        if credentials.provider == Provider::Scripted {
            return self.scripts.call(request);
        }
        Call::new(self, credentials, request).run().boxed()
    }

    /// Asks for embeddings, as often as a call may be tried. Only OpenAI, and servers compatible with it, make them.
    pub async fn embed(
        &self,
        credentials: &Credentials,
        request: &EmbeddingRequest,
    ) -> Result<Embeddings, Failure> {
        embed::embed(self, credentials, request).await
    }

    /// Fetches the answer to a call whose stream broke, if the provider has kept it under `reference`.
    ///
    /// Returns the events that the whole stream would have had, deltas joined, without [`Event::Accepted`]. Waits a
    /// bounded time for an answer that is still being made. None: the answer is lost and the call has to be repeated.
    pub async fn reattach(
        &self,
        credentials: &Credentials,
        model: &str,
        reference: &str,
    ) -> Option<Vec<Event>> {
        if credentials.provider != Provider::Openai {
            return None;
        }
        let events = reattach::fetch(&self.options, self.client(credentials), credentials, reference).await;
        tracing::info!(model, found = events.is_some(), "looked for the stored answer of a broken call");
        events
    }

    /// Checks an address that a tenant gives, as far as it can be told before it is called.
    pub fn check_address(&self, url: &egress::Url) -> Result<(), egress::Refusal> {
        self.guarded.guard().check_url(url)
    }

    /// Checks an address that a tenant gives for a provider to call: also where its name leads to, as far as a look-up tells.
    pub async fn look_up(&self, url: &egress::Url) -> Result<(), egress::LookUpError> {
        self.guarded.look_up(url).await
    }

    /// Returns the scripts that answer as `scripted/<name>`.
    pub fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    fn client(&self, credentials: &Credentials) -> &Client {
        match credentials.origin {
            Origin::Tenant => &self.guarded,
            Origin::Operator => &self.trusting,
        }
    }
}

/// Returns where a provider is called unless another address is given.
pub const fn base_url(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::Openai => Some(openai::BASE_URL),
        Provider::Anthropic => Some(anthropic::BASE_URL),
        Provider::Gemini => Some(gemini::BASE_URL),
        Provider::OpenaiCompatible | Provider::Scripted => None,
    }
}

/// Returns the moment after which a wait is over.
fn after(wait: std::time::Duration) -> Instant {
    let now = Instant::now();
    // Options read from a file are bounded; those built by hand may not be.
    now.checked_add(wait).unwrap_or_else(|| now + std::time::Duration::from_secs(86_400))
}

/// Says why there is no connection, as far as it tells its reader what to look at.
fn unreached(error: &egress::reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "could not be reached in time";
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return "refused the connection";
        }
        // The TLS library's error, whose type is not ours to name.
        if error.to_string().contains("certificate") {
            return "showed a certificate that this server does not trust";
        }
        cause = error.source();
    }
    "could not be reached"
}

/// Turns a request that could not be sent, or an answer that broke off, into trouble.
fn broken(error: &egress::reqwest::Error) -> Trouble {
    if let Some(refusal) = egress::Refusal::behind(error) {
        return Trouble::forbidden(&refusal.to_string());
    }
    if error.is_connect() {
        return Trouble::unreachable(unreached(error));
    }
    if error.is_builder() {
        return Trouble::refused("could not be called with this key and address", "Set them again.");
    }
    Trouble::unavailable("broke the connection before the answer was complete")
}
