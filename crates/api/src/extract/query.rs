//! The query: unknown keys are ignored, malformed values are refused.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use domain::ids::Id;
use domain::{Code, Problem};
use http::request::Parts;

use crate::cursor::{self, Position};
use crate::lists::Page;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// The parameters behind the `?`. Of a key that comes twice the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Returns the value of a key.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns a filter. An empty one is one that a form was not filled in for.
    pub(crate) fn filter(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Reads a value of any type that has a text form; `expected` says what it is, for the refusal.
    pub(crate) fn value<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| text.parse().map_err(|_| malformed(name, expected));
        self.text(name).map(parse).transpose()
    }

    /// Reads `true` or `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.value(name, "`true` or `false`")
    }

    /// Reads which part of a list is asked for. It is the list `name` of something, whose cursors fit no other's.
    pub(crate) fn page<P: Position>(&self, name: &str, of: impl Id) -> Result<Page<P>, Problem> {
        let kind = format!("{name} of {of}");
        let before = self.text("cursor").map(|cursor| cursor::decode(&kind, cursor)).transpose()?;
        Ok(Page { kind, limit: self.limit(DEFAULT_LIMIT, MAX_LIMIT)?, before })
    }

    /// Reads `limit`, a whole number from 1 to `max`.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(text) = self.text("limit") else { return Ok(default) };
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = text.parse().ok().filter(|limit| is_digits && (1..=max).contains(limit));
        limit.ok_or_else(|| {
            let message = format!("`limit` must be a whole number from 1 to {max}.");
            Problem::new(Code::InvalidLimit, message).at("limit")
        })
    }
}

/// The refusal of a value in the query.
fn malformed(name: &str, expected: &str) -> Problem {
    Problem::new(Code::InvalidRequest, format!("`{name}` must be {expected}.")).at(name)
}

#[cfg(test)]
mod tests {
    use domain::ids::{ProjectId, SmithId};

    use super::*;

    fn smiths(query: &str) -> Result<Page<SmithId>, Problem> {
        Query::parse(query).page("smiths", ProjectId::from_bytes([1; 16]))
    }

    #[test]
    fn a_limit_is_a_whole_number_up_to_200() {
        let limit = |query| smiths(query).map(|page| page.limit);
        assert_eq!(limit(""), Ok(50));
        assert_eq!(limit("limit=1"), Ok(1));
        assert_eq!(limit("limit=200"), Ok(200));
        for query in [
            "limit=0",
            "limit=201",
            "limit=",
            "limit=-1",
            "limit=%2B5",
            "limit=1.5",
            "limit=ten",
            "limit=9999999999999999999999",
        ] {
            let problem = limit(query).unwrap_err();
            assert_eq!(
                (problem.code, problem.param.as_deref()),
                (Code::InvalidLimit, Some("limit")),
                "{query}"
            );
        }
    }

    #[test]
    fn a_cursor_that_is_none_is_refused() {
        for query in ["cursor=", "cursor=abc", "cursor=%00"] {
            assert_eq!(smiths(query).unwrap_err().code, Code::InvalidCursor, "{query}");
        }
    }

    #[test]
    fn unknown_keys_are_ignored_and_values_decoded() {
        let query = Query::parse("what=ever&name=a+b%26c&flag=true");
        assert_eq!(query.text("name"), Some("a b&c"));
        assert_eq!(query.flag("flag"), Ok(Some(true)));
        assert_eq!(query.flag("other"), Ok(None));
        assert_eq!(query.flag("name").unwrap_err().code, Code::InvalidRequest);
    }
}
