//! `GET /v1/tenant/hosted_tools`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::Caller;

/// A tool that runs inside the server.
#[derive(Serialize, ToSchema)]
struct HostedToolOut {
    /// What `enabled_hosted_tools` of a configuration names.
    name: &'static str,
    title: &'static str,
    description: &'static str,
}

/// The hosted tools that this server offers; there are no pages.
#[derive(Serialize, ToSchema)]
pub(crate) struct HostedToolsListOut {
    data: Vec<HostedToolOut>,
}

/// Lists the tools that run inside this server and that its operator has set up.
#[utoipa::path(
    get,
    path = "/v1/tenant/hosted_tools",
    operation_id = "tenant.tools.list",
    tag = "Tenant",
    responses((status = 200, description = "The hosted tools.", body = HostedToolsListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
) -> Result<Json<HostedToolsListOut>, ApiError> {
    caller.administered(&app)?;
    let tools = app.tools.hosted.catalogue().into_iter();
    let data =
        tools.map(|tool| HostedToolOut { name: tool.name, title: tool.title, description: tool.description });
    Ok(Json(HostedToolsListOut { data: data.collect() }))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::Value;

    use crate::testing::both;

    #[tokio::test]
    async fn the_hosted_tools_are_those_that_are_set_up() {
        both(async |server| {
            let admin = server.admin_token().await;
            let listed = server.call(&admin, Method::GET, "/v1/tenant/hosted_tools", Value::Null).await;
            assert_eq!(listed.status, 200);
            let tools = listed.body["data"].as_array().unwrap();
            let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["web_fetch", "calculator", "reasoning", "current_time", "suggest_replies"]);
        })
        .await;
    }
}
