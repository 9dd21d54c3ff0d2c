//! `GET /.well-known/jwks.json`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::errors::ApiError;

/// The public keys that verify tokens of this server.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the store renders")]
pub(crate) struct Jwks {
    keys: Vec<Jwk>,
}

/// A public key as RFC 7517 writes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the store renders")]
struct Jwk {
    kty: String,
    #[schema(rename = "use")]
    usage: String,
    /// Always `RS256`.
    alg: String,
    /// Names the key; equal to the `kid` of a token's header.
    kid: String,
    n: String,
    e: String,
}

/// Shows the public halves of the keys that sign tokens. The `kid` of a token's header names one of them.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "oauth.discovery.keys",
    tag = "Connector OAuth",
    responses((status = 200, description = "A JSON Web Key Set.", body = Jwks))
)]
pub(crate) async fn jwks(State(app): State<App>) -> Result<Json<Arc<Value>>, ApiError> {
    Ok(Json(app.store.server().jwks().await?))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::Value;

    use crate::testing::both;

    #[tokio::test]
    async fn the_key_of_a_token_is_shown_to_everybody() {
        both(async |server| {
            let kid = server.app.store.server().signing_key().await.unwrap().kid().to_owned();
            let reply = server.call("", Method::GET, "/.well-known/jwks.json", Value::Null).await;
            assert_eq!(reply.status, 200);
            assert_eq!(
                (&reply.body["keys"][0]["kid"], &reply.body["keys"][0]["alg"]),
                (&kid.into(), &"RS256".into())
            );
        })
        .await;
    }
}
