//! The envelope of native lists.

use serde::Serialize;

use crate::cursor::{self, Position};

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<P> {
    /// Names the list, so that its cursors fit no other.
    pub(crate) kind: String,
    pub(crate) limit: usize,
    /// The entry that the page before ended with.
    pub(crate) before: Option<P>,
}

/// One page, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    /// Null exactly when there is no more.
    pub(crate) next_cursor: Option<String>,
    pub(crate) has_more: bool,
}

impl<P: Position> Page<P> {
    /// Returns how many entries to read: one more than the page has tells whether there is more.
    pub(crate) const fn fetch(&self) -> usize {
        self.limit.saturating_add(1)
    }

    /// Makes the page of up to [`Self::fetch`] entries. `position` places an entry, `render` shows it.
    pub(crate) fn list<R, T>(
        &self,
        mut entries: Vec<R>,
        position: impl Fn(&R) -> P,
        render: impl FnMut(R) -> T,
    ) -> List<T> {
        let has_more = entries.len() > self.limit;
        entries.truncate(self.limit);
        let last = entries.last().filter(|_| has_more);
        let next_cursor = last.map(|last| cursor::encode(&self.kind, position(last)));
        List { has_more: next_cursor.is_some(), next_cursor, data: entries.into_iter().map(render).collect() }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{Id as _, SmithId};

    use super::*;

    #[test]
    fn a_cursor_is_there_exactly_when_there_is_more() {
        let page = Page::<SmithId> { kind: "smiths".into(), limit: 2, before: None };
        let smiths: Vec<_> = (1..=3).rev().map(|byte| SmithId::from_bytes([byte; 16])).collect();
        let first = page.list(smiths.clone(), |id| *id, |id| id);
        assert!(first.has_more);
        assert_eq!(first.data, smiths[..2]);
        assert_eq!(cursor::decode("smiths", &first.next_cursor.unwrap()), Ok(smiths[1]));
        let last = page.list(smiths[2..].to_vec(), |id| *id, |id| id);
        assert_eq!((last.has_more, last.next_cursor), (false, None));
    }
}
