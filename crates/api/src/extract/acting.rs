//! The acting smith of a request whose path names none.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use domain::Problem;
use domain::ids::SmithId;
use domain::principals::Principal;
use http::HeaderValue;
use http::request::Parts;
use store::ProjectStore;

/// The header that names it; with a smith token it can only name that token's own.
pub(crate) const ACTING_SMITH: &str = "ic-smith-id";

/// What `IC-Smith-Id` says. [`crate::extract::Caller`] has compared it with a smith token.
#[derive(Clone, Debug)]
pub(crate) struct ActingSmith(Option<HeaderValue>);

impl<S: Send + Sync> FromRequestParts<S> for ActingSmith {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(ACTING_SMITH).cloned()))
    }
}

impl ActingSmith {
    /// Finds the smith that the request is about: a smith token's own, or the one that a tenant-admin token acts as.
    ///
    /// None: the request is about the whole project. A smith that the project has not got is as unknown as in a path.
    pub(crate) async fn find(
        &self,
        caller: &Principal,
        project: &ProjectStore,
    ) -> Result<Option<SmithId>, Problem> {
        if let Principal::Smith { smith, .. } = caller {
            return Ok(Some(*smith));
        }
        let Some(named) = &self.0 else { return Ok(None) };
        if let Some(smith) = named.to_str().ok().and_then(|named| named.parse().ok())
            && project.has_smith(smith).await?
        {
            return Ok(Some(smith));
        }
        Err(Problem::not_found("smith").at("IC-Smith-Id"))
    }
}
