//! `POST /v1/smiths/{pid}/erase`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::Problem;
use domain::ids::SmithId;
use http::StatusCode;
use serde::Serialize;
use store::belongings::Receipt;
use utoipa::ToSchema;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathId};

/// The receipt of an erasure. Asked again, it is the same.
#[derive(Serialize, ToSchema)]
pub(crate) struct SmithEraseOut {
    #[schema(value_type = String)]
    smith_id: SmithId,
    /// When the smith's data key was destroyed.
    erased_at: String,
    /// What is kept: usage that leads back to nobody, and this receipt.
    kept: Vec<&'static str>,
}

impl From<Receipt> for SmithEraseOut {
    fn from(receipt: Receipt) -> Self {
        Self { smith_id: receipt.smith, erased_at: receipt.erased_at.to_string(), kept: receipt.kept }
    }
}

/// Erases a smith, live or archived, for good: its runs are cancelled, its data key is destroyed, and its rows and files are
/// deleted.
///
/// It cannot be undone. Usage that leads back to nobody stays.
#[utoipa::path(
    post,
    path = "/v1/smiths/{pid}/erase",
    operation_id = "smiths.erase",
    tag = "Smiths",
    params(("pid" = String, Path, description = "The smith's id.")),
    responses((status = 200, description = "The receipt.", body = SmithEraseOut))
)]
pub(crate) async fn erase(
    caller: Caller,
    State(app): State<App>,
    PathId(smith): PathId<SmithId>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let receipt = app.engine.erase(&project, smith).await?.ok_or_else(|| Problem::not_found("smith"))?;
    // The receipt is about nobody any more: it stays for as long as others do.
    let answer = Answer::json(StatusCode::OK, &SmithEraseOut::from(receipt));
    // A repetition that comes before this is kept gets the same receipt all the same.
    if let Err(error) = once.keep(&answer).await {
        tracing::warn!(error = %error, "An erasure's key could not be kept.");
    }
    Ok(answer.into_response())
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn an_erased_smith_is_gone_and_its_receipt_stays() {
        both(async |server| {
            let admin = server.admin_token().await;
            let made = server.call(&admin, Method::POST, "/v1/smiths", json!({"external_id": "ana"})).await;
            let smith = format!("/v1/smiths/{}", made.body["id"].as_str().unwrap());
            let erase = format!("{smith}/erase");
            let receipt = server.call(&admin, Method::POST, &erase, Value::Null).await;
            assert_eq!(receipt.status, 200);
            assert_eq!(receipt.body["smith_id"], made.body["id"]);
            assert_eq!(receipt.body["kept"], json!(["receipt", "anonymous_usage"]));
            let again = server.call(&admin, Method::POST, &erase, Value::Null).await;
            assert_eq!((again.status.as_u16(), &again.body), (200, &receipt.body));
            let gone = (404, "not_found".to_owned(), String::new());
            for (method, path) in [
                (Method::GET, smith.clone()),
                (Method::DELETE, smith.clone()),
                (Method::GET, format!("{smith}/export")),
            ] {
                assert_eq!(server.refused(&admin, method, &path, Value::Null).await, gone, "{path}");
            }
        })
        .await;
    }
}
