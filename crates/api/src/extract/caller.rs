//! Who calls: the verified principal behind the bearer token.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use domain::Problem;
use domain::principals::{Permission, Principal};
use http::HeaderValue;
use http::request::Parts;
use store::tokens::PresentedToken;
use store::{OrganizationStore, ProjectStore};
use vault::{Subject, TokenError, Verified, constant_time_eq, token_hash};

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::acting::ACTING_SMITH;
use crate::extract::bearer::{bearer, rejected};
use crate::middleware;

/// The verified caller. Handlers take it first, so that nothing of a request is looked at before it is known who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Principal);

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl Caller {
    /// Refuses a smith token that comes with the name of another smith.
    fn agrees_with(&self, named: Option<&HeaderValue>) -> Result<(), Problem> {
        let (Principal::Smith { smith: own, .. }, Some(named)) = (&self.0, named) else { return Ok(()) };
        let names_own = named.to_str().is_ok_and(|named| named.parse() == Ok(*own));
        if names_own { Ok(()) } else { Err(Principal::mismatch()) }
    }

    /// Returns the data of the caller's project, if the caller administers it.
    pub(crate) fn administered(&self, app: &App) -> Result<ProjectStore, Problem> {
        self.admin().map(|project| app.store.project(project))
    }

    /// Returns the data of the caller's project, if the caller has the permission.
    pub(crate) fn permitted(&self, app: &App, permission: Permission) -> Result<ProjectStore, Problem> {
        self.allow(permission).map(|project| app.store.project(project))
    }

    /// Returns the data of the caller's organization, if the caller holds one of its keys.
    pub(crate) fn organized(&self, app: &App) -> Result<OrganizationStore, Problem> {
        self.organization().map(|organization| app.store.organization(organization))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = authenticate(app, bearer(&parts.headers)?).await?;
        middleware::take_from_quota(app, &parts.extensions, caller.token())?;
        caller.agrees_with(parts.headers.get(ACTING_SMITH))?;
        Ok(caller)
    }
}

/// Finds out whom a token stands for. The store is asked every time, so that revocation acts at once.
async fn authenticate(app: &App, token: &str) -> Result<Caller, Problem> {
    let hash = token_hash(token);
    let verified = signature(app, token, hash).await?;
    let presented = app.store.server().presented_token(verified.claims.jti).await?;
    let presented = presented.ok_or_else(rejected)?;
    let now = app.ids.now();
    let is_over = presented.expires_at.is_some_and(|expires_at| expires_at <= now);
    let is_good = constant_time_eq(&presented.hash, &hash)
        && presented.subject == verified.subject
        && presented.revoked_at.is_none()
        && !presented.orphaned
        && !is_over;
    if !is_good {
        return Err(rejected());
    }
    Ok(Caller(principal(&verified, &presented)))
}

/// Checks the signature, which takes longer than all the rest, unless it was checked a moment ago.
async fn signature(app: &App, token: &str, hash: [u8; 32]) -> Result<Arc<Verified>, Problem> {
    if let Some(verified) = app.shared.signatures.get(&hash) {
        return Ok(verified);
    }
    let server = app.store.server();
    let mut outcome = server.verifier().await?.verify(token, app.ids.now());
    if outcome == Err(TokenError::UnknownKey)
        && let Some(newer) = server.newer_verifier().await?
    {
        outcome = newer.verify(token, app.ids.now());
    }
    let verified = Arc::new(outcome.map_err(|_| rejected())?);
    app.shared.signatures.insert(hash, Arc::clone(&verified));
    Ok(verified)
}

fn principal(verified: &Verified, presented: &PresentedToken) -> Principal {
    let token = verified.claims.jti;
    match presented.subject {
        Subject::Project(project) => Principal::Tenant { project, token },
        Subject::Organization(organization) => Principal::Organization { organization, token },
        Subject::Smith(project, smith) => {
            let permissions = presented.scopes.iter().filter_map(|scope| Permission::parse(scope)).collect();
            Principal::Smith { project, smith, token, permissions }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::Value;
    use vault::token_hash;

    use crate::Options;
    use crate::testing::both_with;

    #[tokio::test]
    async fn a_checked_signature_is_trusted_for_as_long_as_is_set() {
        for (seconds, is_trusted) in [(60, true), (0, false)] {
            let options = Options { signature_cache_seconds: seconds, ..Options::default() };
            both_with(options, crate::router, async |server| {
                let token = server.admin_token().await;
                for _ in 0..2 {
                    assert_eq!(server.call(&token, Method::GET, "/v1/smiths", Value::Null).await.status, 200);
                    let trusted = server.app.shared.signatures.get(&token_hash(&token));
                    assert_eq!(trusted.is_some(), is_trusted, "{seconds}");
                }
            })
            .await;
        }
    }
}
