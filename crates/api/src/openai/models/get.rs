//! `GET /v1/models/{model}`

use axum::Json;
use axum::extract::State;
use domain::Problem;

use super::{ModelOut, usable};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{ActingSmith, Caller, PathParams};

/// Shows a model of the list. It may be named as `provider/model` too, with the slash encoded or as it is.
#[utoipa::path(
    get,
    path = "/v1/models/{model}",
    operation_id = "models.get",
    tag = "OpenAI-compatible",
    params(("model" = String, Path, description = "The model's id.")),
    responses((status = 200, description = "The model.", body = ModelOut))
)]
pub(crate) async fn get(
    caller: Caller,
    acting: ActingSmith,
    State(app): State<App>,
    path: PathParams,
) -> Result<Json<ModelOut>, ApiError> {
    let models = usable(&app, &caller, &acting).await?;
    let name = name(&path);
    let found = models.into_iter().find(|model| model.is_meant_by(&name));
    Ok(Json(found.ok_or_else(|| Problem::not_found("model").at("model"))?))
}

fn name(path: &PathParams) -> String {
    match path.text("rest") {
        "" => path.text("model").to_owned(),
        rest => format!("{}/{rest}", path.text("provider")),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn an_id_with_a_slash_may_be_sent_encoded_or_as_it_is() {
        // The contract has an id as one segment only. Where it is two, the answer is the same as to one that was checked.
        both(async |server| {
            let server = server.with_extra_routes(&["/v1/models/*"]);
            let admin = server.admin_token().await;
            let get = async |path: &str| server.call(&admin, Method::GET, path, Value::Null).await;
            let expected = json!({"id": "scripted/demo", "object": "model", "created": 1_777_593_600, "owned_by": "scripted"});
            for path in ["/v1/models/scripted/demo", "/v1/models/scripted%2Fdemo", "/v1/models/scripted%2fdemo"] {
                assert_eq!(get(path).await.body, expected, "{path}");
            }
            let put = json!({"api_key": "sk"});
            assert_eq!(server.call(&admin, Method::PUT, "/v1/tenant/model_keys/openai", put).await.status, 200);
            let expected = get("/v1/models/gpt-5").await.body;
            assert_eq!(expected["id"], "gpt-5");
            for path in ["/v1/models/openai/gpt-5", "/v1/models/openai%2Fgpt-5"] {
                assert_eq!(get(path).await.body, expected, "{path}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn what_cannot_be_run_or_is_not_listed_is_not_there() {
        both(async |server| {
            let admin = server.admin_token().await;
            for path in [
                "/v1/models/gpt-5",
                "/v1/models/openai/gpt-5",
                "/v1/models/scripted",
                "/v1/models/scripted/",
                "/v1/models/scripted/demo/x",
                "/v1/models/anthropic/demo",
                "/v1/models/%FF",
                "/v1/models/a/%FF",
            ] {
                let answer = server.call(&admin, Method::GET, path, Value::Null).await;
                assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{path}");
            }
        })
        .await;
    }
}
