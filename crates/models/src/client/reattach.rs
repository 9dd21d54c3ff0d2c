//! Answers that OpenAI stored.

use egress::Client;
use egress::reqwest::{Method, Response};
use http::StatusCode;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::after;
use super::attempt::{prepare, read_json};
use crate::call::{Credentials, Event};
use crate::openai::{Stored, retrieve, stored};
use crate::options::Options;

/// Fetches the answer, and waits for it as long as it is being made.
pub(crate) async fn fetch(
    options: &Options,
    client: &Client,
    credentials: &Credentials,
    reference: &str,
) -> Option<Vec<Event>> {
    // The reference came from the provider; it must not lead to another path.
    let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    if reference.is_empty() || !reference.chars().all(is_name) {
        return None;
    }
    let deadline = after(options.reattach);
    loop {
        match look(options, client, credentials, reference, deadline).await {
            Stored::Answer(events) => return Some(events),
            Stored::Lost => return None,
            Stored::Pending => {}
        }
        let next = after(options.reattach_interval);
        if next >= deadline {
            return None;
        }
        sleep_until(next).await;
    }
}

/// Looks once. What may pass, such as a provider that is busy, is worth another look: the answer was paid for.
async fn look(
    options: &Options,
    client: &Client,
    credentials: &Credentials,
    reference: &str,
    deadline: Instant,
) -> Stored {
    let wire = retrieve(reference, credentials);
    let Ok(request) = prepare(client, credentials, Method::GET, &wire) else {
        return Stored::Lost;
    };
    let Ok(Ok(response)) = timeout_at(deadline, request.send()).await else { return Stored::Pending };
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Stored::Pending;
    }
    if status != StatusCode::OK {
        return Stored::Lost;
    }
    read(response, options.max_answer_bytes, deadline).await
}

async fn read(response: Response, max_bytes: u64, deadline: Instant) -> Stored {
    match timeout_at(deadline, read_json(response, max_bytes)).await {
        Ok(Some(value)) => stored(&value),
        Ok(None) | Err(_) => Stored::Lost,
    }
}
