//! The catalog: presets of public MCP servers.

mod get;
mod list;
mod render;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(get::get))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn the_catalog_lists_its_presets_and_shows_one() {
        both(async |server| {
            let admin = server.admin_token().await;
            let listed = server.call(&admin, Method::GET, "/v1/catalog", Value::Null).await;
            let presets = listed.body["data"].as_array().unwrap();
            assert!(presets.len() >= 12);
            for preset in presets {
                let path = format!("/v1/catalog/{}", preset["slug"].as_str().unwrap());
                assert_eq!(server.call(&admin, Method::GET, &path, Value::Null).await.body, *preset);
            }
            let github = presets.iter().find(|preset| preset["slug"] == "github").unwrap();
            assert_eq!(github["auth"], json!({"kind": "bearer", "provider": null, "client_mode": "tenant"}));
            assert_eq!(github["default_allowlist"], Value::Null);
            assert_eq!(github["default_approval_policy"][0]["require"], "approval");
            let refused = server.refused(&admin, Method::GET, "/v1/catalog/nope", Value::Null).await;
            assert_eq!((refused.0, refused.1.as_str()), (404, "not_found"));
        })
        .await;
    }
}
