//! Clients for outgoing HTTP, each with its guard and its time-outs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Name, Resolve};
use reqwest::redirect;
use reqwest::{Method, RequestBuilder};
use rustls::ClientConfig;
use url::{Host, Url};

use crate::guard::{Guard, GuardedResolver, SystemResolver};
use crate::policy::{Policy, Refusal};
use crate::tls;

const USER_AGENT: &str = concat!("ingram/", env!("CARGO_PKG_VERSION"));

/// How long a connection may lie unused before it is closed; shorter than what common load balancers allow, so that a
/// request rarely meets a connection that the other side is closing.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// How long the steps of a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving the name, connecting and the TLS handshake together.
    pub connect: Duration,
    /// The longest silence while an answer is awaited or read. None: the caller bounds it.
    pub idle: Option<Duration>,
    /// The whole exchange, to the last byte of the answer. None: no bound, as for a stream.
    pub total: Option<Duration>,
}

/// A client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the TLS settings for outgoing requests are not usable: {0}")]
    Tls(#[from] rustls::Error),
    #[error("a client for outgoing requests could not be built: {0}")]
    Client(#[from] reqwest::Error),
}

/// An address that somebody else is to call did not pass, or could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("The host `{host}` could not be looked up in time. Retry shortly.")]
    TimedOut { host: String },
}

/// Look-ups at once of the hosts that are called, and of those that others are to call: these are many names in one request,
/// and must not keep the others waiting.
const CALLED: usize = 128;
const NAMED: usize = 16;

/// Builds clients. Made once at start, because it reads the system's trust store.
#[derive(Clone)]
pub struct Egress {
    tls: ClientConfig,
    names: Arc<dyn Resolve>,
    /// For names that somebody else is to call.
    names_of_others: Arc<dyn Resolve>,
}

impl Egress {
    pub fn new() -> Result<Self, BuildError> {
        let names_of_others = Arc::new(SystemResolver::new(NAMED));
        Ok(Self { tls: tls::config()?, names: Arc::new(SystemResolver::new(CALLED)), names_of_others })
    }

    /// Takes names from `names` instead of the operating system. What it answers passes the guard all the same.
    pub fn with_resolver(names: Arc<dyn Resolve>) -> Result<Self, BuildError> {
        Ok(Self { tls: tls::config()?, names: Arc::clone(&names), names_of_others: names })
    }

    /// Builds a client that calls what the policy allows.
    pub fn client(&self, policy: Policy, timeouts: Timeouts) -> Result<Client, BuildError> {
        let guard = Guard::new(policy);
        #[expect(clippy::disallowed_methods, reason = "this is the one place that clients are built in")]
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(GuardedResolver { guard, names: Arc::clone(&self.names) })
            .redirect(redirect::Policy::none())
            // A proxy would connect on our behalf, past the guard.
            .no_proxy()
            .tcp_nodelay(true)
            .user_agent(USER_AGENT)
            .pool_idle_timeout(POOL_IDLE)
            .connect_timeout(timeouts.connect);
        if let Some(idle) = timeouts.idle {
            builder = builder.read_timeout(idle);
        }
        if let Some(total) = timeouts.total {
            builder = builder.timeout(total);
        }
        let names = Names(Arc::clone(&self.names_of_others));
        Ok(Client { http: builder.build()?, guard, names, patience: timeouts.connect })
    }
}

/// An HTTP client that calls only what its policy allows. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
    /// For look-ups only; the connections have their own.
    names: Names,
    /// How long the look-up of a name is waited for.
    patience: Duration,
}

#[derive(Clone)]
struct Names(Arc<dyn Resolve>);

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Names")
    }
}

impl Client {
    /// Starts a request, unless the URL already tells that it leads where this client may not go.
    ///
    /// A name that resolves to a refused address makes the sending fail; [`Refusal::behind`] finds the reason then.
    pub fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Refusal> {
        self.guard.check_url(url)?;
        Ok(self.http.request(method, url.clone()))
    }

    /// Checks an address that somebody else will call: also where its name leads to, as far as a look-up tells.
    ///
    /// A name that is not found now is let through: whoever calls it will say so. One about which nothing is said in time is not.
    pub async fn look_up(&self, url: &Url) -> Result<(), LookUpError> {
        self.guard.check_url(url)?;
        let Some(Host::Domain(host)) = url.host().filter(|_| !self.guard.allows_all()) else { return Ok(()) };
        let Ok(name) = host.parse::<Name>() else { return Ok(()) };
        match tokio::time::timeout(self.patience, self.names.0.resolve(name)).await {
            Ok(Ok(addresses)) => Ok(self.guard.check_all(host, addresses)?),
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(LookUpError::TimedOut { host: host.to_owned() }),
        }
    }

    pub const fn guard(&self) -> Guard {
        self.guard
    }
}

#[cfg(test)]
pub(crate) mod tests;
