//! Redirects, followed by hand.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::client::Client;
use crate::policy::Refusal;

/// Why nothing was got.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The URL, or one that it redirects to, leads where the client may not go.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("The address redirects more than {limit} times.")]
    TooManyRedirects { limit: usize },
    #[error("The address redirects to something that is no address.")]
    InvalidRedirect,
    #[error("The request failed: {0}")]
    Failed(reqwest::Error),
}

impl From<reqwest::Error> for FollowError {
    fn from(error: reqwest::Error) -> Self {
        match Refusal::behind(&error) {
            Some(refusal) => Self::Refused(refusal.clone()),
            None => Self::Failed(error),
        }
    }
}

impl Client {
    /// Gets a URL, and what it redirects to, at most `limit` redirects far.
    ///
    /// Each address on the way passes the guard like the first one. The headers are sent to all of them, so they must
    /// hold no secret. The answer knows the URL that it came from.
    pub async fn get_following(
        &self,
        url: &Url,
        headers: &HeaderMap,
        limit: usize,
    ) -> Result<Response, FollowError> {
        let mut url = url.clone();
        for _ in 0..=limit {
            let response = self.request(Method::GET, &url)?.headers(headers.clone()).send().await?;
            let Some(next) = redirect(&response)? else { return Ok(response) };
            url = next;
        }
        Err(FollowError::TooManyRedirects { limit })
    }
}

fn redirect(response: &Response) -> Result<Option<Url>, FollowError> {
    let is_redirect = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else { return Ok(None) };
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| FollowError::InvalidRedirect)?;
    let mut next = response.url().join(location).map_err(|_| FollowError::InvalidRedirect)?;
    // Whoever redirects has no say in how we introduce ourselves elsewhere. Both fail only for a URL without a host.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::extract::Path;
    use axum::http::HeaderMap as Sent;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;
    use crate::client::tests::{Names, client, serve};
    use crate::{AddressClass, Policy};

    /// Starts a server where `/hops/<n>` is n redirects away from its answer, and `/to/<url>` sends to the URL.
    async fn server() -> SocketAddr {
        serve(
            Router::new()
                .route(
                    "/hops/{left}",
                    get(async |Path(left): Path<usize>, headers: Sent| {
                        if left > 0 {
                            return Err(Redirect::to(&format!("{}", left - 1)));
                        }
                        let has_secret = headers.contains_key("authorization");
                        Ok(format!("{} {has_secret}", headers["x-kept"].to_str().unwrap()))
                    }),
                )
                .route("/to/{*url}", get(async |Path(url): Path<String>| Redirect::temporary(&url)))
                .route("/not-modified", get(async || (StatusCode::NOT_MODIFIED, [("location", "/hops/0")]))),
        )
        .await
    }

    async fn follow(policy: Policy, names: &[&str], url: &str) -> Result<Response, FollowError> {
        let headers = HeaderMap::from_iter([("x-kept".parse().unwrap(), "kept".parse().unwrap())]);
        client(policy, Names::new(names)).get_following(&Url::parse(url).unwrap(), &headers, 5).await
    }

    #[tokio::test]
    async fn redirects_are_followed_up_to_their_limit() {
        let address = server().await;
        let reached = follow(Policy::Any, &[], &format!("http://{address}/hops/5")).await.unwrap();
        assert_eq!(reached.url().path(), "/hops/0");
        assert_eq!(reached.text().await.unwrap(), "kept false");
        let lost = follow(Policy::Any, &[], &format!("http://{address}/hops/6")).await;
        assert!(matches!(lost, Err(FollowError::TooManyRedirects { limit: 5 })));
    }

    #[tokio::test]
    async fn each_redirect_passes_the_guard() {
        let address = server().await;
        for (to, class) in [
            ("http://169.254.169.254/latest/meta-data/", AddressClass::LinkLocal),
            ("http://2852039166/", AddressClass::LinkLocal),
            ("//[fd00:ec2::254]/", AddressClass::Metadata),
            ("http://[::ffff:169.254.169.254]/", AddressClass::LinkLocal),
            ("http://0.0.0.0/", AddressClass::Unspecified),
        ] {
            let refused = follow(Policy::LocalToo, &[], &format!("http://{address}/to/{to}")).await;
            let Err(FollowError::Refused(Refusal::Address { class: found, .. })) = refused else {
                panic!("{to}: {refused:?}")
            };
            assert_eq!(found, class, "{to}");
        }
        for to in ["file:///etc/passwd", "gopher://127.0.0.1/", "data:text/plain,x"] {
            let refused = follow(Policy::Any, &[], &format!("http://{address}/to/{to}")).await;
            assert!(matches!(refused, Err(FollowError::Refused(Refusal::Scheme { .. }))), "{to}");
        }
    }

    #[tokio::test]
    async fn a_name_that_a_redirect_leads_to_is_checked_when_it_is_resolved() {
        let port = server().await.port();
        // The first name is harmless; the second is the cloud's.
        let url = format!("http://first.test:{port}/to/http://second.test:{port}/hops/0");
        let refused = follow(Policy::LocalToo, &["127.0.0.1", "169.254.169.254"], &url).await;
        let Err(FollowError::Refused(Refusal::Address { host, class, .. })) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((host.as_str(), class), ("second.test", AddressClass::LinkLocal));
    }

    #[tokio::test]
    async fn credentials_in_a_redirect_are_dropped() {
        let address = server().await;
        let url = format!("http://{address}/to/http://me:secret@{address}/hops/0");
        assert_eq!(follow(Policy::Any, &[], &url).await.unwrap().text().await.unwrap(), "kept false");
    }

    #[tokio::test]
    async fn what_is_no_redirect_is_the_answer() {
        let address = server().await;
        let answer = follow(Policy::Any, &[], &format!("http://{address}/not-modified")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        let broken = follow(Policy::Any, &[], &format!("http://{address}/to/http://[::1")).await;
        assert!(matches!(broken, Err(FollowError::InvalidRedirect)), "{broken:?}");
    }
}
