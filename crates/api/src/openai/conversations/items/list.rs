//! `GET /v1/conversations/{cnvId}/items`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::principals::Permission;
use http::HeaderMap;
use store::ProjectStore;
use store::conversations::Order;
use store::runs::ThreadRun;
use store::smiths::SmithRecord;
use utoipa::ToSchema;

use super::items_of;
use super::render::ItemOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams, Query};
use crate::openai::ListObject;
use crate::openai::conversations::{named, no_conversation};
use crate::openai::identity::acting_smith;
use crate::openai::item_ids::runs_of;
use crate::openai::labels::Labels;
use crate::openai::pages::{Page, Window, names_nothing};

/// How many runs are read at a time.
const RUNS: usize = 20;
/// How many runs may share what is left of their ids in an item's id.
const NAMESAKES: usize = 4;

/// A page of items.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the list envelope in the OpenAPI document")]
struct ConversationItemListOut {
    #[schema(inline)]
    object: ListObject,
    data: Vec<ItemOut>,
    /// Null for an empty page, like `last_id`.
    #[schema(required)]
    first_id: Option<String>,
    #[schema(required)]
    last_id: Option<String>,
    has_more: bool,
}

/// Lists what was said and done in a conversation. It is read off its runs, and cannot be written.
#[utoipa::path(
    get,
    path = "/v1/conversations/{cnvId}/items",
    operation_id = "conversations.items.list",
    tag = "Conversations",
    params(
        ("cnvId" = String, Path, description = "The conversation's id."),
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 20 unless set."),
        ("order" = Option<String>, Query, description = "`desc`, newest first, or `asc`."),
        ("after" = Option<String>, Query, description = "The `last_id` of the page before.")
    ),
    responses((status = 200, description = "A page.", body = ConversationItemListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    headers: HeaderMap,
    path: PathParams,
    query: Query,
) -> Result<Json<Page<ItemOut>>, ApiError> {
    let project = caller.permitted(&app, Permission::ConversationsRead)?;
    let window = Window::of(&query)?;
    let smith = acting_smith(&project, &caller, &headers, None, None).await?;
    let conversation = project.conversation(&smith, named(&path)?).await?.ok_or_else(no_conversation)?;
    let id = conversation.id.to_string();
    let items = Thread { project: &project, smith: &smith, id }.items(&window).await?;
    Ok(Json(window.page(items, |item| item.id.clone())))
}

/// The thread of a conversation.
struct Thread<'a> {
    project: &'a ProjectStore,
    smith: &'a SmithRecord,
    id: String,
}

impl Thread<'_> {
    /// Reads as many items as the page wants, and one more if there is one.
    async fn items(&self, window: &Window) -> Result<Vec<ItemOut>, Problem> {
        let (mut items, mut from) = (Vec::new(), None);
        if let Some(after) = &window.after {
            let (turn, behind) = self.behind(after, window.order).await?;
            items = behind;
            from = next(turn, window.order);
        }
        // A turn to go on from, or the end to begin at.
        let mut is_more = window.after.is_none() || from.is_some();
        while is_more && items.len() <= window.limit {
            let runs = self.project.thread_runs(self.smith, &self.id, window.order, from, RUNS).await?;
            items.extend(self.shown(&runs, window.order).await?);
            from = runs.last().filter(|_| runs.len() == RUNS).and_then(|run| next(run.turn, window.order));
            is_more = from.is_some();
        }
        items.truncate(window.fetch());
        Ok(items)
    }

    /// Finds the item that a page goes on behind. Returns the turn that it belongs to, and what else of that turn follows it.
    async fn behind(&self, after: &str, order: Order) -> Result<(u64, Vec<ItemOut>), Problem> {
        let range = runs_of(after).ok_or_else(names_nothing)?;
        let found = self.project.thread_runs_between(self.smith, &self.id, range, NAMESAKES).await?;
        for (_, turn) in found {
            let run = self.project.thread_runs(self.smith, &self.id, order, Some(turn), 1).await?;
            let mut items = self.shown(&run, order).await?;
            if let Some(place) = items.iter().position(|item| item.id == after) {
                return Ok((turn, items.split_off(place.saturating_add(1))));
            }
        }
        Err(names_nothing())
    }

    /// Shows the items of runs, which come in an order of their own.
    async fn shown(&self, runs: &[ThreadRun], order: Order) -> Result<Vec<ItemOut>, Problem> {
        let tools = runs.iter().flat_map(|run| run.plans.values()).filter_map(|plan| plan.tool.as_ref());
        let labels = Labels::find(self.project, tools).await?;
        let mut items = Vec::new();
        for run in runs {
            let mut of_run = items_of(run, &labels);
            if order == Order::NewestFirst {
                of_run.reverse();
            }
            items.append(&mut of_run);
        }
        Ok(items)
    }
}

/// Returns the turn behind a turn, if there can be one.
fn next(turn: u64, order: Order) -> Option<u64> {
    match order {
        Order::NewestFirst => turn.checked_sub(1),
        Order::OldestFirst => turn.checked_add(1),
    }
}
