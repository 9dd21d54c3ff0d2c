//! `GET /openapi.json`

use axum::Extension;
use axum::body::Bytes;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

/// The rendered OpenAPI document.
#[derive(Clone, Debug)]
pub(crate) struct Document(pub(crate) Bytes);

/// Describes the API that this server has, as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "Operations",
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
pub(crate) async fn openapi(Extension(Document(document)): Extension<Document>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document)
}
