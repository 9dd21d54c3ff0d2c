//! `POST /v1/smiths`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::{Problem, Timestamp};
use http::StatusCode;
use store::smiths::{EnsureError, Ensured, NewSmith};

use super::SmithOut;
use super::body::{agent, customer, no_agent, no_version, pin, smith_body, unpublished};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Given, Idempotency, JsonBody};

const LONGEST_EXTERNAL_ID: usize = 255;

smith_body! {
    /// Whom the smith is for, and what it is to be.
    SmithCreate {
        /// The caller's own name for the person. A live smith of the same name and agent is answered as it is.
        external_id: Option<String>,
    }
}

/// Ensures a smith: the live one of this external id and agent, or a new one.
#[utoipa::path(
    post,
    path = "/v1/smiths",
    operation_id = "smiths.create",
    tag = "Smiths",
    request_body = SmithCreate,
    responses(
        (status = 200, description = "The smith that was there already, unchanged.", body = SmithOut),
        (status = 201, description = "The new smith.", body = SmithOut)
    )
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let new = NewSmith { author: Some(caller.actor()), ..read(&body)? };
    let now = app.ids.now();
    let answer = move |ensured: &Ensured| answer(ensured, now);
    let remember = once.remembering(&answer);
    match project.ensure_smith(&new, remember.as_ref().map(|remember| remember as _)).await {
        Ok(ensured) => Ok(answer(&ensured).into_response()),
        Err(EnsureError::NoAgent) => Err(no_agent().into()),
        Err(EnsureError::NoVersion) => Err(no_version().into()),
        Err(EnsureError::Unpublished) => Err(unpublished().into()),
        Err(EnsureError::Store(error)) => once.lost(error).await,
    }
}

fn answer(ensured: &Ensured, now: Timestamp) -> Answer {
    let status = if ensured.created { StatusCode::CREATED } else { StatusCode::OK };
    Answer::json(status, &SmithOut::of(ensured.smith.clone(), now)).about(Some(ensured.smith.id))
}

fn read(body: &JsonBody) -> Result<NewSmith, Problem> {
    let fields = body.fields();
    let external_id = fields.text_of("external_id", 1..=LONGEST_EXTERNAL_ID)?.map(str::to_owned);
    let pin = match pin(&fields)? {
        Given::Value(pin) => Some(pin),
        Given::Absent | Given::Null => None,
    };
    customer(&fields)?;
    let mut new = NewSmith { external_id, agent: agent(&fields)?, pin, ..NewSmith::default() };
    new.profile.apply(&body.0)?;
    new.overrides.apply(&body.0)?;
    Ok(new)
}

#[cfg(test)]
mod tests;
