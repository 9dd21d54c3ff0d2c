//! `GET /health`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Where the program was built from, if the build said so.
const COMMIT: Option<&str> = option_env!("GIT_COMMIT");

/// That the process serves.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthOut {
    ok: bool,
    service: &'static str,
    /// The commit that the program was built from, empty where the build did not say.
    commit: &'static str,
}

/// Answers while the process serves, and never asks the database.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "Operations",
    responses((status = 200, description = "The process serves.", body = HealthOut))
)]
pub(crate) async fn health() -> Json<HealthOut> {
    Json(HealthOut { ok: true, service: "ingram", commit: COMMIT.unwrap_or_default() })
}
