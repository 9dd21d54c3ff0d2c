//! `GET /v1/tenant/models`

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use domain::catalog::MODELS;
use domain::models::Provider;
use engine::keys::KeySource;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::Caller;

/// A model that is known by name.
#[derive(Serialize, ToSchema)]
struct ModelOut {
    id: String,
    provider: &'static str,
    label: String,
    /// Whether a key for its provider resolves.
    available: bool,
    /// Whose key that is.
    #[schema(required)]
    source: Option<ModelSource>,
}

/// Whose key a model is called with: the project's own (`byok`) or the server's (`hosted`).
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ModelSource {
    Byok,
    Hosted,
}

/// A provider that this server can call.
#[derive(Serialize, ToSchema)]
struct ModelProviderOut {
    id: &'static str,
    label: &'static str,
    /// Whether a key for it needs a `base_url`.
    base_url: bool,
    /// Whether the server has a key of its own for it.
    hosted: bool,
}

/// Everything that can be chosen; there are no pages.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelsListOut {
    data: Vec<ModelOut>,
    providers: Vec<ModelProviderOut>,
}

/// Lists the known models with whether the project can use them. Others can be used just as well.
#[utoipa::path(
    get,
    path = "/v1/tenant/models",
    operation_id = "tenant.models.list",
    tag = "Tenant",
    responses((status = 200, description = "The models and the providers.", body = ModelsListOut))
)]
pub(crate) async fn list(caller: Caller, State(app): State<App>) -> Result<Json<ModelsListOut>, ApiError> {
    let project = caller.administered(&app)?;
    let keys = app.engine.keys();
    let available = keys.available(&project, None).await?;
    let known = MODELS.iter().map(|model| {
        let source = source(&available, model.provider);
        ModelOut {
            id: model.id.to_owned(),
            provider: model.provider.as_str(),
            label: model.label.to_owned(),
            available: source.is_some(),
            source,
        }
    });
    let scripted = app.engine.models().scripts().names().map(|name| ModelOut {
        id: format!("{}/{name}", Provider::Scripted.as_str()),
        provider: Provider::Scripted.as_str(),
        label: format!("Scripted: {name}"),
        available: true,
        source: Some(ModelSource::Hosted),
    });
    let providers = Provider::ALL.iter().map(|provider| ModelProviderOut {
        id: provider.as_str(),
        label: provider.label(),
        base_url: *provider == Provider::OpenaiCompatible,
        hosted: !provider.needs_key() || keys.is_hosted(*provider),
    });
    Ok(Json(ModelsListOut { data: known.chain(scripted).collect(), providers: providers.collect() }))
}

fn source(available: &HashMap<Provider, KeySource>, provider: Provider) -> Option<ModelSource> {
    available.get(&provider).map(|source| match source {
        KeySource::Tenant => ModelSource::Byok,
        KeySource::Hosted => ModelSource::Hosted,
    })
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn a_model_is_available_once_a_key_resolves() {
        both(async |server| {
            let admin = server.admin_token().await;
            let find = async |id: &str| {
                let listed = server.call(&admin, Method::GET, "/v1/tenant/models", Value::Null).await.body;
                let models = listed["data"].as_array().unwrap().clone();
                let model = models.into_iter().find(|model| model["id"] == id).unwrap();
                (model["available"].clone(), model["source"].clone())
            };
            assert_eq!(find("gpt-5").await, (json!(false), Value::Null));
            assert_eq!(find("scripted/demo").await, (json!(true), json!("hosted")));
            let put = server
                .call(&admin, Method::PUT, "/v1/tenant/model_keys/openai", json!({"api_key": "sk"}))
                .await;
            assert_eq!(put.status, 200);
            assert_eq!(find("gpt-5").await, (json!(true), json!("byok")));
        })
        .await;
    }
}
