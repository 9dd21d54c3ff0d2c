//! Embedding: a call whose answer comes as a whole.

use domain::models::Provider;
use egress::reqwest::{Method, Response};
use tokio::time::{Instant, sleep, timeout_at};

use super::attempt::{prepare, refusal};
use super::{Models, after, broken, retry};
use crate::call::{Credentials, Failure, FailureKind};
use crate::embeddings::{EmbeddingRequest, Embeddings, decode, encode};
use crate::trouble::Trouble;

/// Tries as often as it may be tried.
pub(crate) async fn embed(
    models: &Models,
    credentials: &Credentials,
    request: &EmbeddingRequest,
) -> Result<Embeddings, Failure> {
    let options = &models.options;
    let deadline = after(options.total);
    let mut attempt = 1;
    loop {
        let trouble = match once(models, credentials, request, deadline).await {
            Ok(embeddings) => return Ok(embeddings),
            Err(trouble) => trouble,
        };
        let wait = retry::wait(options, attempt, trouble.retry_after, (models.jitter)());
        let gives_up = trouble.kind != FailureKind::Unavailable
            || attempt >= options.attempts
            || after(wait) >= deadline;
        if gives_up {
            return Err(trouble.into_failure(credentials.provider, &credentials.api_key, attempt));
        }
        tracing::info!(
            provider = credentials.provider.as_str(),
            attempt,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "a call for embeddings failed and is tried again"
        );
        sleep(wait).await;
        attempt = attempt.saturating_add(1);
    }
}

async fn once(
    models: &Models,
    credentials: &Credentials,
    request: &EmbeddingRequest,
    deadline: Instant,
) -> Result<Embeddings, Trouble> {
    if !matches!(credentials.provider, Provider::Openai | Provider::OpenaiCompatible) {
        return Err(Trouble::refused("makes no embeddings here", "Use a key of OpenAI."));
    }
    let wire = encode(request, credentials);
    let call = prepare(models.client(credentials), credentials, Method::POST, &wire)?.json(&wire.body);
    let first_byte = after(models.options.first_byte).min(deadline);
    let response = timeout_at(first_byte, call.send()).await.map_err(|_| late())?;
    let response = response.map_err(|error| broken(&error))?;
    if !response.status().is_success() {
        return Err(refusal(response, first_byte).await);
    }
    decode(request, &read(models, response, deadline).await?)
}

/// Reads the answer, within bounds of time and size.
async fn read(models: &Models, mut response: Response, deadline: Instant) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    loop {
        let quiet_until = after(models.options.idle).min(deadline);
        let chunk = timeout_at(quiet_until, response.chunk()).await.map_err(|_| late())?;
        let Some(bytes) = chunk.map_err(|error| broken(&error))? else { return Ok(body) };
        body.extend_from_slice(&bytes);
        if u64::try_from(body.len()).map_or(true, |size| size > models.options.max_answer_bytes) {
            return Err(Trouble::unavailable("sent more than an answer may have"));
        }
    }
}

fn late() -> Trouble {
    Trouble::unavailable("did not answer in time")
}
