//! `GET /ready`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;

/// When to look again whether the server is ready.
const RETRY_SECONDS: u32 = 1;

/// Whether the server can do its work.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyOut {
    ok: bool,
    service: &'static str,
    checks: ReadyChecks,
}

/// What was checked, each `ok` or what is wrong.
#[derive(Serialize, ToSchema)]
struct ReadyChecks {
    db: &'static str,
}

/// Asks the database for a sign of life. Not ready either: a server that is shutting down.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "ready",
    tag = "Operations",
    responses(
        (status = 200, description = "Requests can be served.", body = ReadyOut),
        (status = 503, description = "The database cannot be reached, or the server is shutting down.", body = ReadyOut)
    )
)]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let db = match app.store.db().ping().await {
        Ok(()) => "ok",
        Err(error) => {
            tracing::warn!(error = %error, "The database did not answer a readiness check.");
            "unreachable"
        }
    };
    let ok = db == "ok" && !app.shared.admission.is_closed();
    let checks = Json(ReadyOut { ok, service: "ingram", checks: ReadyChecks { db } });
    if ok {
        return checks.into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS))], checks)
        .into_response()
}
