//! `PUT /v1/tenant/tools/{name}`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::tools::MOST_PROJECT_TOOLS;
use store::project_tools::PutToolError;
use vault::SigningSecret;

use super::body::{self, ToolIn};
use super::render::ToolOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, JsonBody, PathParams};

/// Registers a tool of the project's own, in the place of one of the same name.
///
/// A webhook tool is called over HTTP; an external one is handed to whoever calls the run. The secret that signs the calls
/// of a webhook tool is in the answer that made it, and stays when the tool is registered again.
#[utoipa::path(
    put,
    path = "/v1/tenant/tools/{name}",
    operation_id = "tenant.custom.put",
    tag = "Tools",
    params(("name" = String, Path, description = "1 to 64 letters, digits, `_` and `-`.")),
    request_body = ToolIn,
    responses((status = 200, description = "The tool as it is registered.", body = ToolOut))
)]
pub(crate) async fn put(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    body: JsonBody,
) -> Result<Json<ToolOut>, ApiError> {
    let project = caller.administered(&app)?;
    let new = body::read(&app, path.text("name"), &body.fields())?;
    let secret = SigningSecret::generate(&app.ids);
    match project.put_project_tool(&new, secret.expose()).await {
        Ok(registered) => {
            let shown = registered.takes_secret.then(|| secret.expose().to_owned());
            Ok(Json(ToolOut::from(registered.record.tool).with_secret(shown)))
        }
        Err(PutToolError::TooMany) => {
            let message = format!(
                "A project may have {MOST_PROJECT_TOOLS} tools. Delete one, or replace one by its name."
            );
            Err(Problem::invalid_input("name", message).into())
        }
        Err(PutToolError::Store(error)) => Err(error.into()),
    }
}
