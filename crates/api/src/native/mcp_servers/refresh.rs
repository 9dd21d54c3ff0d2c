//! `POST /v1/tenant/mcp/{name}/refresh`

use axum::extract::State;
use axum::response::Response;
use domain::tools::McpServer;
use domain::{Code, Problem};
use http::StatusCode;
use store::ProjectStore;

use super::discovery::discover;
use super::no_server;
use super::render::McpServerOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathParams};

/// Lists the tools of an MCP server again.
///
/// Where that fails, the list that is there stays, and the failure is shown with the server.
#[utoipa::path(
    post,
    path = "/v1/tenant/mcp/{name}/refresh",
    operation_id = "tenant.mcp.refresh",
    tag = "MCP",
    params(("name" = String, Path, description = "The server's name.")),
    responses((status = 200, description = "The server with its tools as they are now.", body = McpServerOut))
)]
pub(crate) async fn refresh(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let name = path.text("name");
    let server = project.mcp_server(name).await?.ok_or_else(no_server)?;
    once.alone(&app, Box::pin(list_again(app.clone(), project, name.to_owned(), server))).await
}

async fn list_again(
    app: App,
    project: ProjectStore,
    name: String,
    (server, secret): (McpServer, Option<String>),
) -> Result<Answer, Problem> {
    let at = app.ids.now();
    let Some(discovered) = discover(&app, &server.url, server.auth.kind, secret.as_deref()).await else {
        let message =
            "The server wants OAuth, so that its tools can be listed only through a person's connection.";
        return Err(Problem::new(Code::DiscoveryFailed, message));
    };
    let failure = discovered.as_ref().err().cloned();
    // A registration that was replaced meanwhile has been asked for its tools by whoever replaced it.
    project.keep_manifest(&name, server.version, discovered, at).await?;
    if let Some(failure) = failure {
        let message = format!("The tools of the server could not be listed. {failure}");
        return Err(Problem::new(Code::DiscoveryFailed, message));
    }
    let (server, _) = project.mcp_server(&name).await?.ok_or_else(no_server)?;
    Ok(Answer::json(StatusCode::OK, &McpServerOut::from(server)))
}
