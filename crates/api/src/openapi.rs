//! The OpenAPI document, finished: what all operations of a kind have in common is added here, so that no handler repeats it.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::API_VERSION;
use crate::errors::ErrorOut;

const BEARER: &str = "bearerAuth";

/// Starts the document.
pub(crate) fn start() -> OpenApi {
    let info = InfoBuilder::new().title("Ingram").version(API_VERSION).build();
    let mut components = Components::new();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let mut schemas = vec![(ErrorOut::name().into_owned(), ErrorOut::schema())];
    ErrorOut::schemas(&mut schemas);
    components.schemas.extend(schemas);
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Says of all operations that they want a bearer, and how they refuse.
pub(crate) fn with_bearer(mut document: OpenApi) -> OpenApi {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![SecurityRequirement::new::<_, _, String>(BEARER, [])]);
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            // An absent body is an empty object.
            body.required = Some(Required::False);
        }
        for (status, description) in
            [("401", "No token, or none that is accepted."), ("default", "A refusal.")]
        {
            operation.responses.responses.entry(status.to_owned()).or_insert_with(|| {
                let content = Content::new(Some(Ref::from_schema_name(ErrorOut::name())));
                ResponseBuilder::new()
                    .description(description)
                    .content("application/json", content)
                    .build()
                    .into()
            });
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().filter_map(Option::as_mut)
}
