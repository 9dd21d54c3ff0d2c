//! `PATCH /v1/smiths/{pid}`

use axum::Json;
use axum::extract::State;
use domain::ids::SmithId;
use domain::{Code, Problem};
use store::smiths::{ChangeError, SmithEdit};

use super::SmithOut;
use super::body::{agent, customer, no_agent, no_version, pin, smith_body, unpublished};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, JsonBody, PathId};

smith_body! {
    /// What is to change. What is not named stays.
    SmithPatch {}
}

/// Changes a smith. A field of the configuration becomes an override, null inherits again.
#[utoipa::path(
    patch,
    path = "/v1/smiths/{pid}",
    operation_id = "smiths.update",
    tag = "Smiths",
    params(("pid" = String, Path, description = "The smith's id.")),
    request_body = SmithPatch,
    responses((status = 200, description = "The smith after the change.", body = SmithOut))
)]
pub(crate) async fn update(
    caller: Caller,
    State(app): State<App>,
    PathId(smith): PathId<SmithId>,
    body: JsonBody,
) -> Result<Json<SmithOut>, ApiError> {
    let project = caller.administered(&app)?;
    let change = |edit: &mut SmithEdit| {
        edit.author = Some(caller.actor());
        apply(&body, edit)
    };
    match project.change_smith(smith, change).await {
        Ok(changed) => Ok(Json(SmithOut::of(changed, app.ids.now()))),
        Err(error) => Err(refusal(error).into()),
    }
}

fn apply(body: &JsonBody, edit: &mut SmithEdit) -> Result<(), Problem> {
    let fields = body.fields();
    let mut said = customer(&fields)?;
    said |= edit.profile.apply(&body.0)?;
    said |= edit.overrides.apply(&body.0)?;
    said |= fields.has("agent_id");
    if let Some(agent) = agent(&fields)?
        && agent != edit.agent
    {
        edit.agent = agent;
        // Versions are numbered per agent.
        edit.pin = None;
    }
    if let Some(pin) = pin(&fields)?.change() {
        edit.pin = pin;
        said = true;
    }
    if said {
        return Ok(());
    }
    Err(Problem::new(Code::EmptyPatch, "The body changes nothing. Name at least one field of a smith."))
}

fn refusal(error: ChangeError) -> Problem {
    match error {
        ChangeError::NoSmith => Problem::not_found("smith"),
        ChangeError::NoAgent => no_agent(),
        ChangeError::NoVersion => no_version(),
        ChangeError::Unpublished => unpublished(),
        ChangeError::PairTaken => {
            let message = "The agent has a smith of this external id already. Archive one of the two, or use another agent.";
            Problem::new(Code::SmithExists, message).at("agent_id")
        }
        ChangeError::Refused(problem) => problem,
        ChangeError::Store(error) => error.into(),
    }
}
