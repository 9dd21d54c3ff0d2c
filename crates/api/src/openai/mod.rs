//! The OpenAI surface: what clients of OpenAI call after nothing but their base URL was changed.

mod chat;
mod conversations;
mod embeddings;
mod identity;
mod item_ids;
mod labels;
mod models;
mod pages;
mod responses;
mod turn;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// Collects the routes. Every one of them wants a bearer; the version of the API may be left out.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(chat::routes())
        .merge(conversations::routes())
        .merge(embeddings::routes())
        .merge(models::routes())
        .merge(responses::routes())
}

/// What every list of this surface says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ListObject {
    List,
}
