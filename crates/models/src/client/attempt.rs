//! A call, tried as often as it may be.

use std::sync::Arc;

use async_stream::stream;
use domain::models::Provider;
use egress::Client;
use egress::reqwest::{Method, RequestBuilder, Response};
use futures::Stream;
use http::HeaderValue;
use http::header::ACCEPT;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::Answer;
use super::{Jitter, Models, after, base_url, broken, reattach, retry, status};
use crate::call::{Credentials, Event, Failure, FailureKind, Request};
use crate::options::Options;
use crate::trouble::Trouble;
use crate::wire::{Decode, WireRequest};
use crate::{anthropic, gemini, openai, openai_chat, parts};

/// How much of an error answer is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A call of a provider, ready to be sent.
pub(crate) struct Call {
    options: Arc<Options>,
    client: Client,
    jitter: Jitter,
    credentials: Credentials,
    request: Request,
    wire: WireRequest,
}

impl Call {
    pub(crate) fn new(models: &Models, credentials: &Credentials, request: Request) -> Self {
        let request = parts::fitted(request, credentials.provider);
        let wire = match credentials.provider {
            Provider::Anthropic => {
                anthropic::encode(&request, credentials, models.options.anthropic_max_tokens)
            }
            Provider::Gemini => gemini::encode(&request, credentials),
            Provider::Openai => openai::encode(&request, credentials),
            Provider::OpenaiCompatible | Provider::Scripted => openai_chat::encode(&request, credentials),
        };
        Self {
            options: Arc::clone(&models.options),
            client: models.client(credentials).clone(),
            jitter: Arc::clone(&models.jitter),
            credentials: credentials.clone(),
            request,
            wire,
        }
    }

    /// Tries until something can be passed on, then passes on what comes.
    pub(crate) fn run(self) -> impl Stream<Item = Result<Event, Failure>> + Send + 'static {
        stream! {
            let deadline = after(self.options.total);
            let mut attempt = 1;
            loop {
                let mut passed_on = false;
                let mut accepted = None;
                let trouble = match self.open(deadline).await {
                    Ok(mut answer) => loop {
                        match answer.next().await {
                            Ok(Some(event)) => {
                                match &event {
                                    Event::Accepted { reference } => accepted = Some(reference.clone()),
                                    _ => passed_on = true,
                                }
                                yield Ok(event);
                            }
                            Ok(None) => return,
                            Err(trouble) => break trouble,
                        }
                    },
                    Err(trouble) => trouble,
                };
                let may_pass = !passed_on && trouble.kind == FailureKind::Unavailable;
                // An answer that was accepted is paid for; it may be there although its stream broke.
                if let Some(reference) = accepted.filter(|_| may_pass)
                    && let Some(events) = self.reattach(&reference, deadline).await
                {
                    for event in events {
                        yield Ok(event);
                    }
                    return;
                }
                let wait = retry::wait(&self.options, attempt, trouble.retry_after, (self.jitter)());
                let gives_up = !may_pass
                    || attempt >= self.options.attempts
                    || after(wait) >= deadline;
                if gives_up {
                    let provider = self.credentials.provider;
                    yield Err(trouble.into_failure(provider, &self.credentials.api_key, attempt));
                    return;
                }
                tracing::info!(
                    provider = self.credentials.provider.as_str(),
                    attempt,
                    wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    "a call of a model failed and is tried again"
                );
                sleep(wait).await;
                attempt = attempt.saturating_add(1);
            }
        }
    }

    async fn reattach(&self, reference: &str, deadline: Instant) -> Option<Vec<Event>> {
        let fetch = reattach::fetch(&self.options, &self.client, &self.credentials, reference);
        timeout_at(deadline, fetch).await.ok().flatten()
    }

    /// Sends the request and waits for an answer that is a stream.
    async fn open(&self, deadline: Instant) -> Result<Answer, Trouble> {
        let request = prepare(&self.client, &self.credentials, Method::POST, &self.wire)?
            .header(ACCEPT, "text/event-stream")
            .json(&self.wire.body);
        let first_byte = after(self.options.first_byte).min(deadline);
        let late = || Trouble::unavailable("did not begin to answer in time");
        let response = timeout_at(first_byte, request.send())
            .await
            .map_err(|_| late())?
            .map_err(|error| broken(&error))?;
        if !response.status().is_success() {
            return Err(refusal(response, first_byte).await);
        }
        Ok(Answer::new(response, self.decoder(), Arc::clone(&self.options), first_byte, deadline))
    }

    fn decoder(&self) -> Box<dyn Decode> {
        match self.credentials.provider {
            Provider::Anthropic => Box::new(anthropic::Decoder::new(&self.request)),
            Provider::Gemini => Box::new(gemini::Decoder::new(&self.request)),
            Provider::Openai => Box::new(openai::Decoder::default()),
            Provider::OpenaiCompatible | Provider::Scripted => {
                let server = openai_chat::server(&self.credentials);
                Box::new(openai_chat::Decoder::new(&self.request, server))
            }
        }
    }
}

/// Addresses a request, through the guard, with its headers.
pub(crate) fn prepare(
    client: &Client,
    credentials: &Credentials,
    method: Method,
    wire: &WireRequest,
) -> Result<RequestBuilder, Trouble> {
    let url = address(credentials, wire)?;
    let mut builder =
        client.request(method, &url).map_err(|refusal| Trouble::forbidden(&refusal.to_string()))?;
    for (name, value) in &wire.headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Trouble::refused("was not called: its key holds characters that no key has", "Set the key again.")
        })?;
        value.set_sensitive(true);
        builder = builder.header(name, value);
    }
    Ok(builder)
}

fn address(credentials: &Credentials, wire: &WireRequest) -> Result<egress::Url, Trouble> {
    let unusable = || {
        Trouble::refused(
            "was not called: its address is not usable",
            "Set a base_url such as https://host/v1.",
        )
    };
    let base = match &credentials.base_url {
        Some(base) => base.trim(),
        None => base_url(credentials.provider).ok_or_else(unusable)?,
    };
    let mut url = egress::Url::parse(base).map_err(|_| unusable())?;
    url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().extend(&wire.path);
    if let Some((name, value)) = wire.query {
        url.query_pairs_mut().append_pair(name, value);
    }
    Ok(url)
}

/// Reads what a provider has refused a call with.
pub(crate) async fn refusal(mut response: Response, until: Instant) -> Trouble {
    let status = response.status();
    let asked = retry::asked(response.headers());
    let mut body = Vec::new();
    // The status says enough; the body only adds the provider's words, so that what breaks it off is no matter.
    while let Ok(Ok(Some(bytes))) = timeout_at(until, response.chunk()).await {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ERROR_BYTES {
            break;
        }
    }
    status::trouble(status, &String::from_utf8_lossy(&body), asked)
}

/// Reads a whole answer as JSON, if it is one and not too large.
pub(crate) async fn read_json(mut response: Response, max_bytes: u64) -> Option<Value> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.ok()? {
        body.extend_from_slice(&bytes);
        if u64::try_from(body.len()).is_ok_and(|size| size > max_bytes) {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}
