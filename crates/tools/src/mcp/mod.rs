//! Tools of MCP servers, over streamable HTTP.
//!
//! The client speaks revision 2026-07-28, in which each request stands for itself, and falls back to the handshake of
//! 2025-11-25 and older. The types of the protocol are those of the official SDK (`rmcp`). Its client is not used: that is
//! a task and a channel for each server, which sends requests again by itself and reconnects in the background. Here a
//! call is one future on one connection of the guarded client, dropping it ends it, nothing is kept for a server that
//! nobody calls, and a call is sent again only where the server has certainly not carried it out.

mod call;
mod dialect;
mod elicitation;
mod failure;
mod farewells;
mod link;
mod manifest;
mod message;
mod options;
mod parameters;
mod patience;
mod result;
mod revision;
mod schema;
mod session;
mod stream;
mod trouble;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use domain::tools::Manifest;
use egress::{BuildError, Egress, Policy, Timeouts, Url};
use http::HeaderName;
use moka::sync::Cache;
pub use secrecy::SecretString;

use self::dialect::Dialect;
pub use self::failure::{Failure, FailureKind};
use self::link::Link;
use self::manifest::Listing;
pub use self::options::Options;
use self::parameters::Mirrored;
use self::patience::Patience;
use self::revision::Revision;
use self::session::{ServerKey, Session, Sessions};
use self::trouble::Trouble;
use crate::call::{Call, Outcome};

/// The most servers whose wishes for headers are kept in mind.
const MAX_MIRRORED: u64 = 1_024;

/// A server, as a project has registered it.
#[derive(Clone)]
pub struct Server {
    pub url: Url,
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<SecretString>,
    /// Sent as they are. None of them is one of the protocol's or of the connection's, see [`is_free_header`].
    pub headers: Vec<(HeaderName, SecretString)>,
    /// The revision that its last manifest names. None: the server is asked first.
    pub protocol: Option<String>,
}

/// Tells whether a header may be sent to a server in somebody's name: whether it is none of those by which the protocol or
/// the connection works.
pub fn is_free_header(name: &HeaderName) -> bool {
    const TAKEN: [&str; 16] = [
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "last-event-id",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    // What tells a server where a request comes from is nobody's to say but the connection's.
    const PREFIXES: [&str; 3] = ["mcp-", "proxy-", "x-forwarded-"];
    let name = name.as_str();
    !TAKEN.contains(&name) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest of an address may hold a secret.
        let mut server = formatter.debug_struct("Server");
        server.field("host", &self.url.host_str()).field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Calls MCP servers. Cheap to clone; clones share connections and sessions.
#[derive(Clone, Debug)]
pub struct Mcp {
    link: Link,
    sessions: Sessions,
    /// By server, the arguments of its tools that it wants repeated in headers.
    mirrored: Cache<ServerKey, Arc<HashMap<String, Vec<Mirrored>>>>,
}

impl Mcp {
    /// Builds the client. The policy is that for addresses that tenants give.
    pub fn new(egress: &Egress, policy: Policy, options: Options) -> Result<Self, BuildError> {
        // The waits after the connection are bounded here, where progress can put their ends off.
        let timeouts = Timeouts { connect: options.connect, idle: None, total: None };
        let client = egress.client(policy, timeouts)?;
        Ok(Self {
            sessions: Sessions::new(&options),
            mirrored: Cache::new(MAX_MIRRORED),
            link: Link::new(client, options),
        })
    }

    /// Lists the tools of a server.
    ///
    /// Tools that cannot be offered to a model are left out: those whose arguments are no object, whose schema refers to
    /// another document, or whose name is taken.
    pub async fn discover(&self, server: &Server) -> Result<Manifest, Failure> {
        let mut patience = Patience::of(self.link.options.discovery);
        let listing = self.list(server, &mut patience).await.map_err(|trouble| trouble.failure(server))?;
        self.keep_mirrored(server, listing.mirrored);
        Ok(listing.manifest)
    }

    /// Calls a tool.
    ///
    /// Whatever goes wrong is an answer. Dropping the future cancels the call: at once where the server speaks revision
    /// 2026-07-28, and by a message, sent once and without waiting, where it speaks an older one.
    pub async fn call(&self, server: &Server, call: &Call) -> Outcome {
        let options = &self.link.options;
        let mut patience = Patience::with_progress(options.call, options.call_total);
        let made = Box::pin(call::make(self, server, call, &mut patience)).await;
        made.unwrap_or_else(|trouble| Outcome::Answered(trouble.answer(server)))
    }

    /// Checks an address, as far as it can be told before it is called.
    pub fn check_address(&self, url: &Url) -> Result<(), egress::Refusal> {
        self.link.client.guard().check_url(url)
    }

    /// Waits for messages under way that nobody else waits for, such as cancellations: some seconds at most.
    pub async fn finish(&self) {
        self.link.farewells.finish().await;
    }

    async fn list(&self, server: &Server, patience: &mut Patience) -> Result<Listing, Trouble> {
        let known = server.protocol.as_deref().and_then(Revision::of);
        if let Some(revision) = known {
            match self.list_in(revision, server, patience).await {
                // The server may have changed its revision.
                Err(trouble) if trouble.is_turned_away() => {}
                listed => return listed,
            }
        }
        let revision = revision::probe(&self.link, server, patience).await?;
        self.list_in(revision, server, patience).await
    }

    async fn list_in(
        &self,
        revision: Revision,
        server: &Server,
        patience: &mut Patience,
    ) -> Result<Listing, Trouble> {
        match revision {
            Revision::Stateless => manifest::list(&self.link, server, Dialect::Stateless, patience).await,
            Revision::Initialized => {
                let session = Session::open(&self.link, server, patience).await?;
                manifest::list(&self.link, server, Dialect::Session(&session), patience).await
            }
        }
    }

    fn keep_mirrored(&self, server: &Server, mirrored: HashMap<String, Vec<Mirrored>>) {
        let key = session::key_of(server, None);
        if mirrored.is_empty() {
            self.mirrored.invalidate(&key);
        } else {
            self.mirrored.insert(key, Arc::new(mirrored));
        }
    }
}
