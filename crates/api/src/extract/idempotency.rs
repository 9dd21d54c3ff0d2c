//! `Idempotency-Key`: a request that is repeated with its key has its effect once, and gets the same answer.
//!
//! A handler asks [`Once::earlier`] first, does its work in one batch with [`Once::remembering`], and hands a failure of
//! that batch to [`Once::lost`], because the same request may have been faster elsewhere. What has its effect outside of the
//! database is done [`Once::alone`].

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use domain::ids::{Id as _, RunId, SmithId};
use domain::principals::Principal;
use domain::{Code, Problem, Timestamp};
use engine::Engine;
use futures::FutureExt as _;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderName, StatusCode};
use serde::Serialize;
use store::Store;
use store::idempotency::{GUARD, IdempotencyKey, Remember, Remembered};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::app::App;
use crate::errors::ApiError;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LONGEST: usize = 255;
/// How long what is done under a key may take: less than [`store::idempotency::AT_WORK`], when the key is given away.
const LONGEST_WORK: Duration = Duration::from_secs(14 * 60);

/// The key that a request came with, if it came with one, and the route that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Idempotency {
    key: Option<String>,
    route: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut keys = parts.headers.get_all(KEY).iter();
        let key = keys.next().map(|key| read(key).filter(|_| keys.next().is_none()).ok_or_else(malformed));
        // The concrete path: the same key for another smith is another request.
        let route = format!("{} {}", parts.method, parts.uri.path());
        Ok(Self { key: key.transpose()?, route })
    }
}

fn read(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    ((1..=LONGEST).contains(&text.len()) && is_printable).then(|| text.to_owned())
}

fn malformed() -> Problem {
    let message =
        format!("`Idempotency-Key` must be sent once, with 1 to {LONGEST} printable ASCII characters.");
    Problem::new(Code::InvalidRequest, message).at("Idempotency-Key")
}

impl Idempotency {
    /// Ties the key to who sent it and to what was sent with it.
    pub(crate) fn once(self, app: &App, caller: &Principal, fingerprint: [u8; 32]) -> Once {
        let tenant = match caller {
            Principal::Tenant { project, .. } | Principal::Smith { project, .. } => project.as_bytes(),
            Principal::Organization { organization, .. } => organization.as_bytes(),
        };
        let key =
            self.key.map(|key| IdempotencyKey::new(tenant, caller.subject(), &self.route, &key, fingerprint));
        Once { key, store: app.store.clone() }
    }
}

/// What is to happen once, however often it is asked for.
#[derive(Clone)]
pub(crate) struct Once {
    key: Option<IdempotencyKey>,
    store: Store,
}

/// What an earlier request with the same key has led to.
pub(crate) enum Earlier {
    /// The answer to send again, marked as replayed.
    Answer(Response),
    /// The run that it started.
    Run(RunId),
}

impl Once {
    /// Returns the key to store with the effect.
    pub(crate) fn key(&self) -> Option<IdempotencyKey> {
        self.key
    }

    /// Finds what an earlier request with the same key has led to. Refuses a key that came with another body.
    pub(crate) async fn earlier(&self) -> Result<Option<Earlier>, Problem> {
        let Some(key) = self.key else { return Ok(None) };
        let Some(remembered) = self.store.server().remembered(&key).await? else { return Ok(None) };
        if remembered.fingerprint != key.fingerprint {
            let message =
                "This `Idempotency-Key` was used with another body within the last day. Use a new key.";
            return Err(Problem::new(Code::IdempotencyKeyReused, message).at("Idempotency-Key"));
        }
        earlier(remembered).map(Some)
    }

    /// Finds the answer to send again. For routes that start no run.
    pub(crate) async fn replay(&self) -> Result<Option<Response>, Problem> {
        match self.earlier().await? {
            Some(Earlier::Answer(response)) => Ok(Some(response)),
            // The route is part of the key: this one has never kept a run.
            Some(Earlier::Run(_)) => Err(Problem::internal()),
            None => Ok(None),
        }
    }

    /// Returns what the store is to remember of the request, once it is known how it is answered.
    pub(crate) fn remembering<'a, T>(
        &self,
        answer: &'a (dyn Fn(&T) -> Answer + Send + Sync),
    ) -> Option<impl Fn(&T) -> Result<Remember, store::Error> + Send + Sync + 'a> {
        let key = self.key?;
        Some(move |effect: &T| {
            let Answer { status, body, smith } = answer(effect);
            Ok(Remember::answer(key, status.as_u16(), body).of_smith(smith))
        })
    }

    /// Answers once it is known what came of the batch with the effect: with what was made, or with `nobody` where whom it was
    /// to be made for is gone.
    pub(crate) async fn made<T>(
        &self,
        made: Result<Option<T>, store::Error>,
        answer: impl Fn(&T) -> Answer,
        nobody: impl FnOnce() -> Problem,
    ) -> Result<Response, ApiError> {
        match made {
            Ok(Some(made)) => Ok(answer(&made).into_response()),
            Ok(None) => Err(nobody().into()),
            Err(error) => self.lost(error).await,
        }
    }

    /// Answers after the batch with the effect has failed: with what a faster request with the same key has led to, else
    /// with the error.
    pub(crate) async fn lost(&self, error: store::Error) -> Result<Response, ApiError> {
        if error.is_guard(GUARD)
            && let Some(response) = self.replay().await?
        {
            return Ok(response);
        }
        Err(error.into())
    }

    /// Does what has its effect outside of the database, and no second time while it is at work, here or elsewhere. A
    /// failure is not kept: the same request may be tried again.
    pub(crate) async fn alone(
        self,
        app: &App,
        work: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let Some(key) = self.key else { return Ok(work.await?.into_response()) };
        let place = app.shared.outside.enter()?;
        let (tell, told) = oneshot::channel();
        let engine = app.engine.clone();
        // In a task of its own: what was begun comes to its end, also when its caller goes away.
        app.engine.spawn(async move {
            let _place = place;
            // Nobody may be listening any more.
            let _ = tell.send(Box::pin(self.done(&engine, key, work)).await);
        });
        told.await.map_err(|_| Problem::internal())?
    }

    async fn done(
        &self,
        engine: &Engine,
        key: IdempotencyKey,
        work: impl Future<Output = Result<Answer, Problem>>,
    ) -> Result<Response, ApiError> {
        let server = self.store.server();
        let begun_at = self.store.ids().now();
        let begun = match server.begin(&key, begun_at).await {
            Ok(false) => {
                // Where the other request has come to nothing since then, this one would have to be sent again anyway.
                return Ok(self.replay().await?.ok_or_else(at_work)?);
            }
            Ok(true) if engine.is_drained() => {
                let message = "The server is shutting down. Retry shortly.";
                Err(Problem::new(Code::ServiceOverloaded, message))
            }
            // Whether it was taken may not be known.
            begun => begun.map_err(Problem::from),
        };
        if let Err(problem) = begun {
            self.free(&key, begun_at).await;
            return Err(problem.into());
        }
        let work = AssertUnwindSafe(timeout(LONGEST_WORK, work)).catch_unwind();
        let outcome = tokio::select! {
            biased;
            worked = work => match worked {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(broken_off()),
                // The panic has been told where it happened.
                Err(_) => Err(Problem::internal()),
            },
            () = engine.drained() => Err(broken_off()),
        };
        match &outcome {
            Ok(answer) => {
                // What was done is done: a database that fails now must not make it look as if it had not been.
                if let Err(error) = self.keep(answer).await {
                    tracing::error!(error = %error, "An answer could not be kept for its idempotency key.");
                }
            }
            Err(_) => self.free(&key, begun_at).await,
        }
        Ok(outcome?.into_response())
    }

    /// Frees a key whose request came to nothing. Where that fails, time does it.
    async fn free(&self, key: &IdempotencyKey, begun_at: Timestamp) {
        if let Err(error) = self.store.server().give_up(key, begun_at).await {
            tracing::error!(error = %error, "An idempotency key could not be freed.");
        }
    }

    /// Keeps the answer to a request whose effect was stored without it, or that had none.
    pub(crate) async fn keep(&self, answer: &Answer) -> Result<(), store::Error> {
        let Some(key) = self.key else { return Ok(()) };
        let remember = Remember::answer(key, answer.status.as_u16(), answer.body.clone());
        let remember = remember.of_smith(answer.smith);
        match self.store.server().remember(&remember).await {
            // The same request was faster elsewhere, with the same effect; or whom it was about is erased by now.
            Err(error) if error.is_guard(GUARD) || error.is_reference() => Ok(()),
            other => other,
        }
    }
}

fn earlier(remembered: Remembered) -> Result<Earlier, Problem> {
    if let Some(run) = remembered.run {
        return Ok(Earlier::Run(run));
    }
    let Some((status, body)) = remembered.answer else { return Err(at_work()) };
    let status = StatusCode::from_u16(status).map_err(|_| Problem::internal())?;
    let mut response = Answer { status, body, smith: None }.into_response();
    mark_as_replayed(&mut response);
    Ok(Earlier::Answer(response))
}

fn at_work() -> Problem {
    let message = "The request with this key is still at work. Ask again shortly.";
    Problem::new(Code::IdempotencyInProgress, message).at("Idempotency-Key")
}

fn broken_off() -> Problem {
    let message =
        "The call took too long, or the server was stopped meanwhile: whether it was done is not known.";
    Problem::new(Code::InternalError, message)
}

/// Says in an answer's head that its request had its effect earlier.
pub(crate) fn mark_as_replayed(response: &mut Response) {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
}

/// An answer that can be kept: a status and JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// Whose smith the answer is about: what is kept of it is erased with that smith.
    smith: Option<SmithId>,
}

impl Answer {
    /// Renders an answer. What cannot be rendered is a bug, and answered as one.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self { status, body, smith: None },
            Err(error) => {
                tracing::error!(error = %error, "An answer could not be rendered.");
                Self { status: StatusCode::INTERNAL_SERVER_ERROR, body: Vec::new(), smith: None }
            }
        }
    }

    /// Says whose smith the answer is about.
    #[must_use]
    pub(crate) fn about(mut self, smith: Option<SmithId>) -> Self {
        self.smith = smith;
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR && self.body.is_empty() {
            return ApiError(Problem::internal()).into_response();
        }
        let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        (self.status, json, self.body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn extract(keys: &[&[u8]]) -> Result<Idempotency, ApiError> {
        let mut request = http::Request::post("/v1/smiths");
        for key in keys {
            request = request.header(KEY, HeaderValue::from_bytes(key).unwrap());
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Idempotency::from_request_parts(&mut parts, &()).await
    }

    #[test]
    fn work_ends_before_its_key_is_given_away() {
        assert!(i64::try_from(LONGEST_WORK.as_secs()).unwrap() < store::idempotency::AT_WORK);
    }

    #[tokio::test]
    async fn a_key_is_1_to_255_printable_ascii_characters() {
        assert_eq!(extract(&[]).await.unwrap().key, None);
        assert_eq!(extract(&[b"a b~"]).await.unwrap().key.as_deref(), Some("a b~"));
        assert!(extract(&[&[b'a'; 255]]).await.is_ok());
        for keys in [&[&b""[..]][..], &[&[b'a'; 256]], &["ä".as_bytes()], &[b"a\tb"], &[b"a", b"a"]] {
            let ApiError(problem) = extract(keys).await.unwrap_err();
            assert_eq!(
                (problem.code, problem.param.as_deref()),
                (Code::InvalidRequest, Some("Idempotency-Key"))
            );
        }
    }
}
