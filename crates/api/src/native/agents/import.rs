//! `POST /v1/agents/import`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::Problem;
use domain::ids::SmithId;
use store::agents::{CreateError, NewAgent};
use utoipa::ToSchema;

use super::AgentOut;
use super::body::required_name;
use super::create::{created, slug_taken};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Idempotency, JsonBody};

/// Whose configuration the agent is to have.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct ImportIn {
    /// The id of a smith of the project.
    from_smith: String,
    name: String,
}

/// Makes an agent whose draft is what a smith runs: its agent's version with its overrides laid over it. The smith stays where it
/// is.
#[utoipa::path(
    post,
    path = "/v1/agents/import",
    operation_id = "agents.import",
    tag = "agents",
    request_body = ImportIn,
    responses((status = 201, description = "The new agent.", body = AgentOut))
)]
pub(crate) async fn import(
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
    let fields = body.fields();
    let name = required_name(&fields)?.to_owned();
    let smith: SmithId = fields.required_text("from_smith")?.parse().map_err(|_| no_smith())?;
    let smith = project.smith(smith).await?.ok_or_else(no_smith)?;
    let new = NewAgent { name, slug: None, draft: smith.effective() };
    let remember = once.remembering(&created);
    match project.create_agent(&new, remember.as_ref().map(|remember| remember as _)).await {
        Ok(record) => Ok(created(&record).into_response()),
        Err(CreateError::SlugTaken) => Err(slug_taken().into()),
        Err(CreateError::Store(error)) => once.lost(error).await,
    }
}

fn no_smith() -> Problem {
    Problem::not_found("smith").at("from_smith")
}
