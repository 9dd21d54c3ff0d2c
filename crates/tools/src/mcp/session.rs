//! Sessions, which revisions before 2026-07-28 begin with a handshake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::ids::{Id, RunId};
use http::HeaderValue;
use moka::sync::Cache;
use rmcp::model::{ClientCapabilities, InitializeRequestParams, ProtocolVersion};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use super::Server;
use super::dialect::{self, Dialect};
use super::link::{self, Link, Request};
use super::message;
use super::options::Options;
use super::patience::Patience;
use super::trouble::Trouble;

/// How long a message at parting may take.
const PARTING: Duration = Duration::from_secs(5);

/// A session with a server. The server is told when nobody holds it any more.
pub(crate) struct Session {
    link: Link,
    server: Server,
    /// None: the server keeps nothing between requests.
    id: Option<HeaderValue>,
    version: ProtocolVersion,
    has_ended: AtomicBool,
}

impl Session {
    /// Shakes hands with a server.
    pub(crate) async fn open(link: &Link, server: &Server, patience: &mut Patience) -> Result<Self, Trouble> {
        let mut params = InitializeRequestParams::new(ClientCapabilities::default(), dialect::client_info());
        params.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        let params = match serde_json::to_value(params) {
            Ok(Value::Object(params)) => params,
            _ => Map::new(),
        };
        let request = Request::new(link, "initialize", params);
        let reply = link.ask(server, Dialect::Handshake, request, patience).await?;
        let version = reply.result.get("protocolVersion").cloned().unwrap_or(Value::Null);
        let version: Option<ProtocolVersion> = serde_json::from_value(version).ok();
        let version = version
            .filter(|version| version.has_initialize() && ProtocolVersion::KNOWN_VERSIONS.contains(version))
            .ok_or(Trouble::Nonsense("speaks no revision of the protocol that this server speaks"))?;
        let session = Self {
            link: link.clone(),
            server: server.clone(),
            id: dialect::session_id(&reply.headers),
            version,
            has_ended: AtomicBool::new(false),
        };
        let ready = message::notification("notifications/initialized", None);
        link.tell(server, Dialect::Session(&session), &ready, patience).await?;
        Ok(session)
    }

    pub(crate) const fn id(&self) -> Option<&HeaderValue> {
        self.id.as_ref()
    }

    pub(crate) fn version(&self) -> &str {
        self.version.as_str()
    }

    /// Notes that the server does not know the session any more.
    pub(crate) fn forget(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Sends a message when there is time, without waiting for it.
    pub(crate) fn tell_later(&self, body: Value) {
        let part = self.part();
        self.link.farewells.send(async move {
            let patience = Patience::of(PARTING);
            drop(part.link.tell(&part.server, Dialect::Session(&part), &body, &patience).await);
        });
    }

    /// Tells the server that nobody waits for the answer to a request any more.
    pub(crate) fn cancel(&self, id: u64) {
        let params = json!({"requestId": id, "reason": "The call was cancelled."});
        self.tell_later(message::notification("notifications/cancelled", Some(params)));
    }

    /// Returns what is needed to speak for the session; it does not count as one who holds it.
    fn part(&self) -> Self {
        Self {
            link: self.link.clone(),
            server: self.server.clone(),
            id: self.id.clone(),
            version: self.version.clone(),
            has_ended: AtomicBool::new(true),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.id.is_none() || self.has_ended.load(Ordering::Relaxed) {
            return;
        }
        let part = self.part();
        self.link.farewells.send(async move {
            let patience = Patience::of(PARTING);
            drop(part.link.end(&part.server, Dialect::Session(&part), &patience).await);
        });
    }
}

/// Tells a server apart from others, by its address and the credentials that it is called with.
pub(crate) type ServerKey = [u8; 32];

pub(crate) fn key_of(server: &Server, run: Option<RunId>) -> ServerKey {
    let mut hash = Sha256::new();
    hash.update(server.url.as_str());
    hash.update([0]);
    if let Some(bearer) = &server.bearer {
        hash.update(Sha256::digest(bearer.expose_secret()));
    }
    for (name, value) in &server.headers {
        hash.update([1]);
        hash.update(Sha256::digest(name.as_str()));
        hash.update(Sha256::digest(value.expose_secret()));
    }
    hash.update([0]);
    if let Some(run) = run {
        hash.update(run.as_bytes());
    }
    hash.finalize().into()
}

/// The sessions that are kept: one for each server and run.
///
/// A server may keep anything in a session, a logged-in browser for instance, so that one is never shared between runs,
/// which may be of different people. The calls of one run share theirs: what an earlier call has left there, a later one
/// may need.
#[derive(Clone)]
pub(crate) struct Sessions {
    kept: Cache<ServerKey, Arc<Mutex<Option<Arc<Session>>>>>,
}

impl Sessions {
    pub(crate) fn new(options: &Options) -> Self {
        let most = u64::try_from(options.max_sessions).unwrap_or(u64::MAX);
        Self { kept: Cache::builder().max_capacity(most).time_to_idle(options.session_idle).build() }
    }

    /// Returns the session of a run, and whether it was there before.
    pub(crate) async fn of_run(
        &self,
        link: &Link,
        server: &Server,
        run: RunId,
        patience: &mut Patience,
    ) -> Result<(Arc<Session>, IsNew), Trouble> {
        let place = self.kept.get_with(key_of(server, Some(run)), Arc::default);
        // Calls of a run that begin together wait here for the handshake of the first.
        let mut place = timeout_at(patience.until(), place.lock()).await.map_err(|_| link::late())?;
        if let Some(session) = place.as_ref().filter(|session| !session.has_ended.load(Ordering::Relaxed)) {
            return Ok((Arc::clone(session), IsNew(false)));
        }
        let session = Arc::new(Session::open(link, server, patience).await?);
        *place = Some(Arc::clone(&session));
        Ok((session, IsNew(true)))
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// Whether a session was begun for the call that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsNew(pub(crate) bool);

/// Cancels a call of an older revision when its future is dropped: there, a closed connection does not say so.
pub(crate) struct Cancelling {
    session: Arc<Session>,
    id: u64,
    is_due: bool,
}

impl Cancelling {
    pub(crate) const fn of(session: Arc<Session>, id: u64) -> Self {
        Self { session, id, is_due: true }
    }

    /// The server has answered: there is nothing to cancel.
    pub(crate) const fn answered(&mut self) {
        self.is_due = false;
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        if self.is_due {
            self.session.cancel(self.id);
        }
    }
}
