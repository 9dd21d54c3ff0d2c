//! Webhook tools: a call is a signed POST to an address of the project.

mod attempt;
#[cfg(test)]
mod tests;

use std::time::Duration;

use domain::ids::{RunId, SmithId};
use egress::reqwest::Method;
use egress::reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use egress::{BuildError, Client, Egress, Policy, Timeouts, Url};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;
use vault::{Ids, Signatures, SigningSecret};

use crate::options::Options;
use crate::{Answer, Call};
use attempt::Failure;

/// Whom to call, and how.
#[derive(Clone, Debug)]
pub struct Target {
    pub url: String,
    /// What requests are signed with.
    pub secret: SigningSecret,
    /// How long one attempt may take, to the last byte of its answer.
    pub timeout: Duration,
    /// Whether a call that failed may be made again.
    pub is_repeatable: bool,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookAnswer {
    pub answer: Answer,
    /// The HTTP status of the last attempt; none where nothing was answered.
    pub status: Option<u16>,
    /// From the first attempt to the end of the last.
    pub duration: Duration,
}

/// Calls webhook tools. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    client: Client,
    max_bytes: usize,
    attempts: u32,
    backoff: Duration,
    /// The time of signatures, and chance for the waits.
    ids: Ids,
}

#[derive(Serialize)]
struct Body<'a> {
    tool: &'a str,
    args: &'a Map<String, Value>,
    tool_call_id: &'a str,
    run_id: RunId,
    smith_id: SmithId,
    external_id: Option<&'a str>,
    thread_id: &'a str,
}

/// A request that is ready to be signed and sent, as often as it takes.
struct Request<'a> {
    url: Url,
    headers: HeaderMap,
    /// The idempotency key, in a form that a header can hold.
    id: String,
    body: Vec<u8>,
    target: &'a Target,
}

impl Webhooks {
    /// Sets the client up. `policy` is for the addresses that projects give.
    pub fn new(egress: &Egress, policy: Policy, options: &Options, ids: Ids) -> Result<Self, BuildError> {
        let timeouts = Timeouts { connect: options.connect, idle: None, total: None };
        Ok(Self {
            client: egress.client(policy, timeouts)?,
            max_bytes: options.webhook_max_bytes,
            attempts: options.webhook_attempts,
            backoff: options.webhook_backoff,
            ids,
        })
    }

    /// Makes a call. Whatever goes wrong is in the answer.
    pub async fn call(&self, target: &Target, call: &Call, traceparent: Option<&str>) -> WebhookAnswer {
        let started = Instant::now();
        let result = match Request::new(target, call, traceparent) {
            Ok(request) => self.carry_out(&request).await,
            Err(failure) => Err(failure),
        };
        let (answer, status) = match result {
            Ok((status, output)) => (Answer::text(output), Some(status)),
            Err(failure) => (failure.answer(), failure.status()),
        };
        WebhookAnswer { answer, status, duration: started.elapsed() }
    }

    async fn carry_out(&self, request: &Request<'_>) -> Result<(u16, String), Failure> {
        let attempts = if request.target.is_repeatable { self.attempts.max(1) } else { 1 };
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(request).await {
                Ok(answered) => return Ok(answered),
                Err(failure) => failure,
            };
            if attempt >= attempts || !failure.may_pass() {
                return Err(failure);
            }
            tokio::time::sleep(self.wait(attempt)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// Signs and sends the request once.
    async fn attempt(&self, request: &Request<'_>) -> Result<(u16, String), Failure> {
        let secrets = std::slice::from_ref(&request.target.secret);
        let signatures = Signatures::sign(secrets, &request.id, self.ids.now(), &request.body);
        let mut headers = request.headers.clone();
        for (name, value) in signatures.headers() {
            put(&mut headers, name, value)?;
        }
        let sending = self.client.request(Method::POST, &request.url).map_err(Failure::Refused)?;
        let sending = sending.headers(headers).timeout(request.target.timeout).body(request.body.clone());
        let response = sending.send().await?;
        attempt::read(response, self.max_bytes).await
    }

    /// Returns the wait after an attempt: twice the one before, up to half of it taken away by chance, so that calls which
    /// failed together are not repeated together.
    fn wait(&self, attempt: u32) -> Duration {
        let longest = self.backoff.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        let chance = f64::from(u32::from_be_bytes(self.ids.random())) / f64::from(u32::MAX);
        longest.mul_f64(1.0 - chance / 2.0)
    }
}

impl<'a> Request<'a> {
    fn new(target: &'a Target, call: &Call, traceparent: Option<&str>) -> Result<Self, Failure> {
        let url = Url::parse(&target.url).map_err(|_| Failure::Unusable)?;
        let body = Body {
            tool: &call.tool,
            args: &call.args,
            tool_call_id: &call.call_id,
            run_id: call.run,
            smith_id: call.smith,
            external_id: call.person.external_id.as_deref(),
            thread_id: &call.thread_id,
        };
        let body = serde_json::to_vec(&body).map_err(|_| Failure::Unusable)?;
        let id = printable(&call.idempotency_key);
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        put(&mut headers, "idempotency-key", &id)?;
        if let Some(traceparent) = traceparent {
            put(&mut headers, "traceparent", traceparent)?;
        }
        Ok(Self { url, headers, id, body, target })
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Failure> {
    let value = HeaderValue::from_str(value).map_err(|_| Failure::Unusable)?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// Writes what no header can hold as `%` and two digits for each byte. Ids of calls come from models' providers, whose
/// characters nobody has promised.
fn printable(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    let mut printable = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            printable.push(char::from(byte));
        } else {
            printable.push_str(&format!("%{byte:02X}"));
        }
    }
    printable
}
