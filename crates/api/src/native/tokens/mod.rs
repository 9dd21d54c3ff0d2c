//! Tokens of a project.

mod create;
mod delete;
mod list;

use domain::Problem;
use store::tokens::NewToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::extract::Fields;

pub(crate) use create::minted_token_out;

/// The longest life of a token that has an end, in seconds: ten years.
pub(crate) const LONGEST_LIFE: u32 = 315_360_000;

const LONGEST_NAME: usize = 255;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list, create::create)).routes(routes!(delete::delete))
}

/// Reads `name` and `ttl_seconds`.
pub(crate) fn new_token(fields: &Fields<'_>, longest_life: u32) -> Result<NewToken, Problem> {
    let name = fields.text_of("name", 0..=LONGEST_NAME)?.map(str::to_owned);
    let ttl = fields.whole("ttl_seconds", 1..=u64::from(longest_life))?;
    Ok(NewToken { name, ttl_seconds: ttl.and_then(|ttl| u32::try_from(ttl).ok()) })
}
