//! `PUT /v1/tenant/mcp/{name}`

use axum::Json;
use axum::extract::State;
use domain::tools::{AuthKind, MOST_MCP_SERVERS, McpServer, check_name};
use domain::{Code, Problem};
use egress::Url;
use store::mcp_servers::{NewMcpServer, PutServerError};

use super::body::{self, McpServerIn, Wanted};
use super::discovery::discover;
use super::render::McpServerOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, JsonBody, PathParams};

/// How often a registration is tried again that another one got in the way of.
const RACES: usize = 4;

/// Registers an MCP server, in the place of one of the same name. Its tools are listed during the call.
///
/// A server whose tools cannot be listed is registered all the same, as `degraded`.
#[utoipa::path(
    put,
    path = "/v1/tenant/mcp/{name}",
    operation_id = "tenant.mcp.put",
    tag = "MCP",
    params(("name" = String, Path, description = "1 to 64 letters, digits, `_` and `-`.")),
    request_body = McpServerIn,
    responses((status = 200, description = "The server as it is registered, with its tools.", body = McpServerOut))
)]
pub(crate) async fn put(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    body: JsonBody,
) -> Result<Json<McpServerOut>, ApiError> {
    let project = caller.administered(&app)?;
    let name = path.text("name");
    check_name(name)?;
    let wanted = body::read(&app, &body.fields())?;
    for _ in 0..RACES {
        let (seen, kept) = project.mcp_server(name).await?.unzip();
        let secret = secret(&wanted, seen.as_ref(), kept.flatten())?;
        let discovered = discover(&app, &wanted.url, wanted.auth.kind, secret.as_deref()).await;
        let new = NewMcpServer {
            name: name.to_owned(),
            url: wanted.url.clone(),
            auth: wanted.auth.clone(),
            secret,
            catalog_slug: wanted.catalog_slug.clone(),
            allowlist: wanted.allowlist.clone(),
            approval_policy: wanted.approval_policy.clone(),
            discovered,
        };
        match project.put_mcp_server(new, seen.as_ref()).await {
            Ok(server) => return Ok(Json(server.into())),
            // What was seen decides about the secret: it has to be looked at again.
            Err(PutServerError::Changed) => {}
            Err(PutServerError::TooMany) => {
                let message = format!(
                    "A project may have {MOST_MCP_SERVERS} MCP servers. Delete one, or replace one by its name."
                );
                return Err(Problem::invalid_input("name", message).into());
            }
            Err(PutServerError::Store(error)) => return Err(error.into()),
        }
    }
    let message = "Others register a server of this name at the same time. Nothing was done; retry shortly.";
    Err(Problem::new(Code::ServiceOverloaded, message).into())
}

/// Finds the secret that the server is called with: the one given, or the one kept for the same host.
fn secret(
    wanted: &Wanted,
    seen: Option<&McpServer>,
    kept: Option<String>,
) -> Result<Option<String>, Problem> {
    if wanted.auth.kind != AuthKind::Bearer {
        return Ok(None);
    }
    if wanted.secret.is_some() {
        return Ok(wanted.secret.clone());
    }
    // A secret that nobody can read must not be sent to another host because the address was changed.
    let stays = seen.is_some_and(|seen| is_same_host(&seen.url, &wanted.url));
    kept.filter(|_| stays).map(Some).ok_or_else(|| {
        let message = "With `bearer`, `auth.secret` must hold what is sent. It may be left out only where a server with a secret \
            is registered again at the same host.";
        Problem::new(Code::SecretRequired, message).at("auth.secret")
    })
}

fn is_same_host(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => one.origin() == other.origin(),
        _ => false,
    }
}
