//! The routes, put together.

use axum::body::Bytes;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::errors::{no_such_method, no_such_route};
use crate::middleware::{frame, require_version};
use crate::open::Document;
use crate::{native, open, openai, openapi};

/// Builds the routes of the server.
///
/// A route exists only with its description, because both come from one place: what `native`, `openai` and `open` collect.
pub fn router(app: App) -> Router {
    assemble(app, parts())
}

fn assemble(app: App, Parts { native, openai, open, document }: Parts) -> Router {
    let rendered = serde_json::to_vec(&document).unwrap_or_else(|error| {
        tracing::error!(error = %error, "The OpenAPI document could not be rendered.");
        Vec::new()
    });
    // The fallback for methods comes before the layers, so that it passes them too.
    let native = native.method_not_allowed_fallback(no_such_method).layer(from_fn(require_version));
    let openai = openai.method_not_allowed_fallback(no_such_method);
    let open =
        open.method_not_allowed_fallback(no_such_method).layer(Extension(Document(Bytes::from(rendered))));
    native
        .merge(openai)
        .merge(open)
        .fallback(no_such_route)
        .layer(from_fn_with_state(app.clone(), frame))
        .with_state(app)
}

/// Describes the API.
pub fn document() -> OpenApi {
    parts().document
}

struct Parts {
    native: Router<App>,
    openai: Router<App>,
    open: Router<App>,
    document: OpenApi,
}

fn parts() -> Parts {
    Parts::of(native::routes(), openai::routes(), open::routes())
}

impl Parts {
    fn of(native: OpenApiRouter<App>, openai: OpenApiRouter<App>, open: OpenApiRouter<App>) -> Self {
        let (native, native_document) = native.split_for_parts();
        let (openai, openai_document) = openai.split_for_parts();
        let (open, open_document) = open.split_for_parts();
        let mut document = openapi::start();
        let documents =
            [openapi::with_bearer(native_document), openapi::with_bearer(openai_document), open_document];
        documents.into_iter().for_each(|part| document.merge(part));
        Self { native, openai, open, document }
    }
}

#[cfg(test)]
mod tests;
