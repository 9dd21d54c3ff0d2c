//! An answer that comes as a stream: notices of progress, perhaps questions, then the answer.

use std::time::Duration;

use egress::reqwest::Response;
use egress::sse::Parser;
use http::HeaderValue;
use serde_json::{Map, Value};
use tokio::time::timeout_at;

use super::Server;
use super::dialect::Dialect;
use super::link::{Link, answer_to, late, too_large};
use super::message::{self, Message};
use super::patience::Patience;
use super::trouble::Trouble;

/// How long a client waits before it connects again where the server does not say.
const RETRY: Duration = Duration::from_secs(1);

/// The longest wait before a client connects again, whatever the server says.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// Listens to the stream of one request, and to its continuations.
pub(crate) struct Listener<'a> {
    link: &'a Link,
    server: &'a Server,
    dialect: Dialect<'a>,
    id: u64,
    /// The token of the progress that puts the deadline off.
    token: Option<u64>,
    bytes: usize,
}

/// How a stream ended without the answer.
struct Broken {
    after: Option<HeaderValue>,
    retry: Duration,
}

impl<'a> Listener<'a> {
    pub(crate) const fn new(
        link: &'a Link,
        server: &'a Server,
        dialect: Dialect<'a>,
        id: u64,
        token: Option<u64>,
    ) -> Self {
        Self { link, server, dialect, id, token, bytes: 0 }
    }

    /// Listens until the answer comes. Where the server names its events, the rest of a broken stream is asked for.
    pub(crate) async fn listen(
        mut self,
        mut response: Response,
        patience: &mut Patience,
    ) -> Result<Map<String, Value>, Trouble> {
        let mut seen = None;
        loop {
            let broken = match self.listen_once(response, patience).await? {
                Ok(result) => return Ok(result),
                Err(broken) => broken,
            };
            // A continuation that brought nothing new would not bring it the next time.
            let Some(after) =
                broken.after.filter(|after| self.dialect.is_resumable() && seen.as_ref() != Some(after))
            else {
                return Err(Trouble::Lost("broke the connection before its answer was complete"));
            };
            seen = Some(after.clone());
            timeout_at(patience.until(), tokio::time::sleep(broken.retry)).await.map_err(|_| late())?;
            response =
                self.link.reopen(self.server, self.dialect, after, patience).await.map_err(|trouble| {
                    tracing::info!(?trouble, "the rest of the stream of an MCP server could not be had");
                    Trouble::Lost("broke the connection before its answer was complete")
                })?;
        }
    }

    async fn listen_once(
        &mut self,
        mut response: Response,
        patience: &mut Patience,
    ) -> Result<Result<Map<String, Value>, Broken>, Trouble> {
        let most = self.link.options.max_answer_bytes;
        let mut parser = Parser::new(most);
        loop {
            let chunk = timeout_at(patience.until(), response.chunk()).await.map_err(|_| late())?;
            // However a stream ends, it may be whole but for its last blank line.
            let Ok(Some(bytes)) = chunk else { break };
            self.bytes = self.bytes.saturating_add(bytes.len());
            if self.bytes > most {
                return Err(too_large());
            }
            for event in parser.push(&bytes).map_err(|_| too_large())? {
                if let Some(result) = self.hear(&event.data, patience) {
                    return result.map(Ok);
                }
            }
        }
        let after = parser.last_event_id().and_then(|id| HeaderValue::from_str(id).ok());
        let retry = parser.retry().unwrap_or(RETRY).min(MAX_RETRY);
        if let Some(event) = parser.finish()
            && let Some(result) = self.hear(&event.data, patience)
        {
            return result.map(Ok);
        }
        Ok(Err(Broken { after, retry }))
    }

    /// Takes an event, and returns the answer if it is that.
    fn hear(&self, data: &str, patience: &mut Patience) -> Option<Result<Map<String, Value>, Trouble>> {
        // Events without data only carry their ids; what makes no sense may still be followed by the answer.
        for message in message::parse(data.as_bytes()).unwrap_or_default() {
            match message {
                Message::Notification { method, params } => {
                    let is_ours =
                        self.token.is_some_and(|token| params.get("progressToken") == Some(&token.into()));
                    if method == "notifications/progress" && is_ours {
                        patience.extend();
                    }
                }
                Message::Request { id, method } => self.turn_down(&id, &method),
                answer @ Message::Answer { .. } => {
                    if let Some(result) = answer_to(self.id, answer) {
                        return Some(result);
                    }
                }
            }
        }
        None
    }

    /// Answers a question of the server, which would otherwise wait for it. Only older revisions have them.
    fn turn_down(&self, id: &Value, method: &str) {
        let Dialect::Session(session) = self.dialect else { return };
        session.tell_later(message::reply(id, method));
    }
}
