//! Conversations: titled handles on threads of the acting smith.

mod create;
mod delete;
mod get;
mod items;
mod list;
mod render;
mod update;

use domain::ids::ConversationId;
use domain::{Code, Problem};
use store::ProjectStore;
use store::conversations::Conversation;
use store::smiths::SmithRecord;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::extract::PathParams;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, update::update, delete::delete))
        .routes(routes!(items::list::list))
}

/// Reads the conversation that a path names. Text that is no id is as unknown as an id that the smith has not got.
fn named(path: &PathParams) -> Result<ConversationId, Problem> {
    path.text("cnvId").parse().map_err(|_| no_conversation())
}

/// How names of threads begin that are conversations.
pub(crate) const PREFIX: &str = "cnv_";

/// Finds a conversation of the acting smith by its id.
pub(crate) async fn find(
    project: &ProjectStore,
    smith: &SmithRecord,
    id: &str,
) -> Result<Conversation, Problem> {
    let id = id.parse().map_err(|_| no_conversation())?;
    project.conversation(smith, id).await?.ok_or_else(no_conversation)
}

/// The refusal of a conversation that the acting smith has not got.
pub(crate) fn no_conversation() -> Problem {
    let message = "The smith has no such conversation. Check the id, and which smith the request acts as.";
    Problem::new(Code::ConversationNotFound, message)
}
