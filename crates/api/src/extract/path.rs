//! Parameters of the path. Text that is no id is as unknown as an id that nothing has.

use axum::extract::{FromRequestParts, RawPathParams};
use domain::Problem;
use domain::ids::Id;
use http::request::Parts;

use crate::errors::ApiError;

/// The parameters of a path by name, for routes with several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathParams(Vec<(String, String)>);

impl PathParams {
    /// Returns the id in the place `name`.
    pub(crate) fn id<I: Id>(&self, name: &str) -> Result<I, Problem> {
        self.text(name).parse().map_err(|_| Problem::not_found(noun(I::PREFIX)))
    }

    /// Returns the number in the place `name`, None if the text there is none.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let text = self.text(name);
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    }

    /// Returns the text in the place `name`, empty if the route has no such place.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(place, _)| place == name).map_or("", |(_, text)| text)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Problem::not_found("resource"))?;
        Ok(Self(params.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()))
    }
}

/// The id in a path that has one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathId<I>(pub(crate) I);

impl<I: Id, S: Send + Sync> FromRequestParts<S> for PathId<I> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let PathParams(params) = PathParams::from_request_parts(parts, state).await?;
        let id = params.first().and_then(|(_, text)| text.parse().ok());
        Ok(Self(id.ok_or_else(|| Problem::not_found(noun(I::PREFIX)))?))
    }
}

/// Names what an id with the prefix stands for, in messages.
fn noun(prefix: &str) -> &'static str {
    match prefix {
        "org" => "organization",
        "proj" => "project",
        "agt" => "agent",
        "smt" => "smith",
        "run" => "run",
        "tok" => "token",
        "file" => "file",
        "cus" => "customer",
        _ => "resource",
    }
}

#[cfg(test)]
mod tests {
    use domain::Code;
    use domain::ids::SmithId;

    use super::*;

    #[test]
    fn text_that_is_no_id_is_not_found() {
        let params = PathParams(vec![("pid".into(), "nobody".into())]);
        let problem = params.id::<SmithId>("pid").unwrap_err();
        assert_eq!((problem.code, problem.status), (Code::NotFound, 404));
        assert!(problem.message.starts_with("No such smith."));
    }

    #[test]
    fn an_id_may_come_without_its_prefix() {
        let smith = SmithId::from_bytes([5; 16]);
        let params = PathParams(vec![("pid".into(), smith.body())]);
        assert_eq!(params.id("pid"), Ok(smith));
    }
}
