//! Asking a server for its tools.

use domain::tools::{AuthKind, Manifest};
use egress::Url;
use tools::mcp::{SecretString, Server};

use crate::app::App;

/// Lists the tools of a server, with the secret that it is called with. None where that needs a connection of a person.
pub(super) async fn discover(
    app: &App,
    url: &str,
    kind: AuthKind,
    secret: Option<&str>,
) -> Option<Result<Manifest, String>> {
    if kind == AuthKind::Oauth {
        return None;
    }
    let Ok(url) = Url::parse(url) else { return Some(Err("The address is no URL.".to_owned())) };
    let bearer = secret.map(|secret| SecretString::from(secret.to_owned()));
    let server = Server { url, bearer, headers: Vec::new(), protocol: None };
    Some(app.tools.mcp.discover(&server).await.map_err(|failure| failure.message))
}
