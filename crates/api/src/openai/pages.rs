//! The lists of this surface: read from either end, and on from behind any entry by its id.

use domain::{Code, Problem};
use serde::Serialize;
use store::conversations::Order;

use super::ListObject;
use crate::extract::Query;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 200;

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) limit: usize,
    pub(super) order: Order,
    /// The id of the entry that the page before ended with.
    pub(super) after: Option<String>,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Page<T> {
    object: ListObject,
    data: Vec<T>,
    /// Null for an empty page, like `last_id`.
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

impl Window {
    pub(super) fn of(query: &Query) -> Result<Self, Problem> {
        let order = match query.text("order") {
            None | Some("desc") => Order::NewestFirst,
            Some("asc") => Order::OldestFirst,
            Some(_) => {
                let message = "`order` must be `asc` or `desc`.";
                return Err(Problem::new(Code::InvalidRequest, message).at("order"));
            }
        };
        let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
        Ok(Self { limit, order, after: query.text("after").map(str::to_owned) })
    }

    /// Returns how many entries to read: one more than the page has tells whether there is more.
    pub(super) const fn fetch(&self) -> usize {
        self.limit.saturating_add(1)
    }

    /// Makes the page of up to [`Self::fetch`] entries.
    pub(super) fn page<T>(&self, mut entries: Vec<T>, id: impl Fn(&T) -> String) -> Page<T> {
        let has_more = entries.len() > self.limit;
        entries.truncate(self.limit);
        Page {
            object: ListObject::List,
            first_id: entries.first().map(&id),
            last_id: entries.last().map(&id),
            data: entries,
            has_more,
        }
    }
}

/// The refusal of an `after` that names nothing of the list.
pub(super) fn names_nothing() -> Problem {
    let message =
        "`after` names nothing of this list. Use the `last_id` of the page before, or leave `after` out.";
    Problem::new(Code::InvalidCursor, message).at("after")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(query: &str) -> Result<Window, Problem> {
        Window::of(&Query::parse(query))
    }

    #[test]
    fn a_page_names_its_ends_and_tells_whether_there_is_more() {
        let window = window("limit=2").unwrap();
        let page = |entries: &[&str]| {
            let page = window.page(entries.to_vec(), |entry| format!("id_{entry}"));
            (page.data.len(), page.first_id, page.last_id, page.has_more)
        };
        let id = |entry: &str| Some(format!("id_{entry}"));
        assert_eq!(page(&["a", "b", "c"]), (2, id("a"), id("b"), true));
        assert_eq!(page(&["a"]), (1, id("a"), id("a"), false));
        assert_eq!(page(&[]), (0, None, None, false));
    }

    #[test]
    fn a_list_has_20_entries_newest_first_unless_asked_otherwise() {
        let expected = Window { limit: 20, order: Order::NewestFirst, after: None };
        assert_eq!(window("what=ever"), Ok(expected));
        let expected = Window { limit: 200, order: Order::OldestFirst, after: Some("x".into()) };
        assert_eq!(window("limit=200&order=asc&after=x"), Ok(expected));
        assert_eq!(window("limit=201").unwrap_err().code, Code::InvalidLimit);
        for query in ["order=", "order=ASC", "order=newest"] {
            let problem = window(query).unwrap_err();
            assert_eq!((problem.code, problem.param.as_deref()), (Code::InvalidRequest, Some("order")));
        }
    }
}
