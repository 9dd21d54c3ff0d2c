//! `POST /v1/agents/{aid}/rollout`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::agents::Percent;
use domain::ids::AgentId;
use domain::{Code, Problem};
use http::StatusCode;
use serde_json::Value;
use store::agents::{AgentRecord, RolloutError};
use utoipa::ToSchema;

use super::AgentOut;
use super::body::no_agent;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Fields, Idempotency, JsonBody, PathId};

/// Which version is to run for how many of the smiths.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct RolloutIn {
    /// A published version; an older one rolls back.
    version: u32,
    /// 100 makes the version the active one, 1 to 99 roll it out beside the active one, 0 ends what is being rolled out.
    #[schema(required = false, default = 100, maximum = 100)]
    percent: u32,
}

/// Rolls a version out to a share of the agent's smiths, all of them unless told otherwise.
///
/// A smith that was reached stays reached while the share grows. What is so already is not changed.
#[utoipa::path(
    post,
    path = "/v1/agents/{aid}/rollout",
    operation_id = "agents.rollout",
    tag = "agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    request_body = RolloutIn,
    responses((status = 200, description = "The agent after the change.", body = AgentOut))
)]
pub(crate) async fn rollout(
    caller: Caller,
    State(app): State<App>,
    PathId(agent): PathId<AgentId>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let fields = body.fields();
    let (version, share) = (version(&fields)?, share(&fields)?);
    let answer = |record: &AgentRecord| Answer::json(StatusCode::OK, &AgentOut::from(record.clone()));
    let remember = once.remembering(&answer);
    match project.roll_out(agent, version, share, remember.as_ref().map(|remember| remember as _)).await {
        Ok(record) => Ok(answer(&record).into_response()),
        Err(RolloutError::NoAgent) => Err(no_agent().into()),
        Err(RolloutError::NoVersion) => Err(no_version().into()),
        Err(RolloutError::Store(error)) => once.lost(error).await,
    }
}

/// Reads the version. A number that no version can have is as unknown as one that none has.
fn version(fields: &Fields<'_>) -> Result<u32, Problem> {
    let version = fields.whole("version", 0..=u64::MAX)?;
    let version = version.ok_or_else(|| fields.refuse("version", "given, as a whole number"))?;
    u32::try_from(version).map_err(|_| no_version())
}

fn share(fields: &Fields<'_>) -> Result<Percent, Problem> {
    // A null is no absence here: whoever has lost count does not mean everybody.
    if !fields.has("percent") {
        return Ok(Percent::ALL);
    }
    let value = fields.value("percent").unwrap_or(&Value::Null);
    if !value.is_number() {
        return Err(fields.refuse("percent", "a whole number from 0 to 100"));
    }
    let percent = value.as_u64().and_then(|percent| u32::try_from(percent).ok());
    match percent {
        Some(percent) => Percent::new(percent),
        None => {
            let message = "`percent` must be a whole number from 0 to 100.";
            Err(Problem::new(Code::InvalidPercent, message).at("percent"))
        }
    }
}

fn no_version() -> Problem {
    Problem::not_found("version of the agent").at("version")
}
