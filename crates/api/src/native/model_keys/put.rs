//! `PUT /v1/tenant/model_keys/{provider}`, `PUT /v1/smiths/{pid}/model_keys/{provider}`

use axum::Json;
use axum::extract::State;
use domain::models::Provider;
use domain::principals::Permission;
use domain::{Code, Problem};
use egress::Url;
use serde::Serialize;
use store::ProjectStore;
use store::model_keys::KeyOwner;
use utoipa::ToSchema;

use super::{of_smith, provider};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Fields, JsonBody, PathParams};

const LONGEST_KEY: usize = 4_096;
const LONGEST_URL: usize = 2_048;

/// The key. It is never shown again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct ModelKeyIn {
    /// An endpoint that wants no key takes any text.
    api_key: String,
    /// Where the provider is called instead of its own address; required for `openai_compatible`.
    base_url: Option<String>,
    /// Not supported; leave it out.
    workspace_id: Option<String>,
}

/// That the key is set.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelKeyConfiguredOut {
    provider: &'static str,
    configured: bool,
    #[schema(required)]
    base_url: Option<String>,
    /// Always null.
    #[schema(required)]
    workspace_id: Option<String>,
}

/// Sets the project's key for a provider.
#[utoipa::path(
    put,
    path = "/v1/tenant/model_keys/{provider}",
    operation_id = "tenant.models.keys.put",
    tag = "Tenant",
    params(("provider" = String, Path, description = "The provider's name.")),
    request_body = ModelKeyIn,
    responses((status = 200, description = "The key is set.", body = ModelKeyConfiguredOut))
)]
pub(crate) async fn project(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    body: JsonBody,
) -> Result<Json<ModelKeyConfiguredOut>, ApiError> {
    let project = caller.administered(&app)?;
    put(&app, &project, KeyOwner::Project, provider(&path)?, &body).await
}

/// Sets a smith's own key for a provider.
#[utoipa::path(
    put,
    path = "/v1/smiths/{pid}/model_keys/{provider}",
    operation_id = "smiths.models.keys.put",
    tag = "Smiths",
    params(
        ("pid" = String, Path, description = "The smith's id."),
        ("provider" = String, Path, description = "The provider's name.")
    ),
    request_body = ModelKeyIn,
    responses((status = 200, description = "The key is set.", body = ModelKeyConfiguredOut))
)]
pub(crate) async fn smith(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    body: JsonBody,
) -> Result<Json<ModelKeyConfiguredOut>, ApiError> {
    let (project, owner) = of_smith(&app, &caller, &path, Permission::ModelKeysWrite).await?;
    put(&app, &project, owner, provider(&path)?, &body).await
}

async fn put(
    app: &App,
    project: &ProjectStore,
    owner: KeyOwner,
    provider: Provider,
    body: &JsonBody,
) -> Result<Json<ModelKeyConfiguredOut>, ApiError> {
    let fields = body.fields();
    let key = api_key(&fields)?;
    let base_url = base_url(app, &fields)?;
    if base_url.is_none() && provider == Provider::OpenaiCompatible {
        let message = "`openai_compatible` needs the `base_url` of its endpoint, such as https://host/v1.";
        return Err(Problem::new(Code::UrlRequired, message).at("base_url").into());
    }
    if fields.text("workspace_id")?.is_some_and(|workspace| !workspace.is_empty()) {
        let message = "`workspace_id` is not supported. Leave it out.";
        return Err(Problem::new(Code::WorkspaceIdUnsupported, message).at("workspace_id").into());
    }
    if !project.put_model_key(owner, provider, key, base_url).await? {
        return Err(Problem::not_found("smith").into());
    }
    let base_url = base_url.map(str::to_owned);
    Ok(Json(ModelKeyConfiguredOut {
        provider: provider.as_str(),
        configured: true,
        base_url,
        workspace_id: None,
    }))
}

/// Reads the key: white space around it is a mistake of copying, and what no header can hold is no key.
fn api_key<'a>(fields: &Fields<'a>) -> Result<&'a str, Problem> {
    let key = fields.text("api_key")?.unwrap_or_default().trim();
    if key.is_empty() {
        return Err(Problem::new(Code::EmptyKey, "`api_key` must hold the provider's key.").at("api_key"));
    }
    if key.len() > LONGEST_KEY || !key.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        let expected = format!("a key: at most {LONGEST_KEY} printable ASCII characters without spaces");
        return Err(fields.refuse("api_key", &expected));
    }
    Ok(key)
}

/// Reads the address, and refuses one that would not be called. The messages do not repeat it: it may hold a secret.
fn base_url<'a>(app: &App, fields: &Fields<'a>) -> Result<Option<&'a str>, Problem> {
    let text = fields.text("base_url")?.map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    let invalid = |message: String| Problem::new(Code::InvalidUrl, message).at("base_url");
    let url = Url::parse(text).ok().filter(|url| text.len() <= LONGEST_URL && url.has_host());
    let Some(url) = url else {
        return Err(invalid(format!(
            "`base_url` must be an http or https URL of at most {LONGEST_URL} bytes, such as https://host/v1."
        )));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "`base_url` must hold no user and no password. Put the key into `api_key`.".to_owned(),
        ));
    }
    app.engine.models().check_address(&url).map_err(|refusal| invalid(refusal.to_string()))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
