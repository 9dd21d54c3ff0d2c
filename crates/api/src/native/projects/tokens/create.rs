//! `POST /v1/organization/projects/{pid}/tokens`

use axum::extract::State;
use axum::response::Response;
use domain::Problem;
use domain::ids::ProjectId;
use http::StatusCode;
use store::tokens::Minted;
use utoipa::ToSchema;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathId};
use crate::native::projects::find;
use crate::native::tokens::{LONGEST_LIFE, minted_token_out, new_token};

/// What the token is to be.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct ProjectTokenIn {
    /// Seconds until the token expires; it does not by default.
    #[schema(minimum = 1, maximum = 315_360_000)]
    ttl_seconds: Option<u32>,
    name: Option<String>,
}

minted_token_out! {
    /// A tenant-admin token with its text, which is shown this once only.
    ProjectTokenOut
}

/// Mints a tenant-admin token for a project.
#[utoipa::path(
    post,
    path = "/v1/organization/projects/{pid}/tokens",
    operation_id = "organization.projects.tokens.create",
    tag = "Projects",
    params(("pid" = String, Path, description = "The project's id.")),
    request_body = ProjectTokenIn,
    responses((status = 201, description = "The token; its text is shown this once only.", body = ProjectTokenOut))
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    PathId(project): PathId<ProjectId>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let organization = caller.organized(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let project = app.store.project(find(&organization, project).await?.id);
    let new = new_token(&body.fields(), LONGEST_LIFE)?;
    let answer = |minted: &Minted| Answer::json(StatusCode::CREATED, &ProjectTokenOut::of(minted, "admin"));
    let remember = once.remembering(&answer);
    let minted = project.mint_admin_token(&new, remember.as_ref().map(|remember| remember as _)).await;
    once.made(minted, &answer, || Problem::not_found("project")).await
}
