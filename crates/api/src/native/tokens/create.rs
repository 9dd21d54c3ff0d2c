//! `POST /v1/tenant/tokens`

use axum::extract::State;
use axum::response::Response;
use domain::ids::SmithId;
use domain::principals::Permission;
use domain::{Code, Problem};
use http::StatusCode;
use store::idempotency::Remembering;
use store::tokens::{Minted, NewToken};
use store::{Error, ProjectStore};
use utoipa::ToSchema;

use super::{LONGEST_LIFE, new_token};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Fields, Idempotency, JsonBody};

/// The longest life of a smith token, in seconds.
const LONGEST_SMITH_LIFE: u32 = 86_400;
/// The life of a smith token that asks for none, in seconds.
const SMITH_LIFE: u32 = 3_600;

/// What the token is to be for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct TokenIn {
    /// `smith` or `admin`.
    #[schema(value_type = String, required = false, default = "smith")]
    scope: Option<String>,
    /// The smith that the token acts as; required for `smith`.
    smith_id: Option<String>,
    /// What a smith token may do; required for `smith`.
    permissions: Option<Vec<String>>,
    /// Seconds until the token expires: at most a day for a smith token, which lives an hour by default.
    #[schema(minimum = 1, maximum = 315_360_000)]
    ttl_seconds: Option<u32>,
    name: Option<String>,
}

/// Describes a new token with its text.
macro_rules! minted_token_out {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(serde::Serialize, utoipa::ToSchema)]
        struct $name {
            #[schema(value_type = String)]
            id: domain::ids::TokenId,
            token: String,
            scope: &'static str,
            sub: String,
            scopes: Vec<String>,
            #[schema(required)]
            expires_at: Option<String>,
        }

        impl $name {
            fn of(minted: &store::tokens::Minted, scope: &'static str) -> Self {
                let record = &minted.record;
                Self {
                    id: record.id,
                    token: minted.text.clone(),
                    scope,
                    sub: record.subject.to_string(),
                    scopes: record.scopes.clone(),
                    expires_at: record.expires_at.map(|time| time.to_string()),
                }
            }
        }
    };
}
pub(crate) use minted_token_out;

minted_token_out! {
    /// A token with its text, which is shown this once only.
    MintedTokenOut
}

/// A token that was asked for.
enum Minting {
    Admin(NewToken),
    Smith { smith: SmithId, permissions: Vec<Permission>, new: NewToken },
}

impl Minting {
    fn read(fields: &Fields<'_>) -> Result<Self, Problem> {
        match fields.text("scope")?.unwrap_or("smith") {
            "admin" => Ok(Self::Admin(new_token(fields, LONGEST_LIFE)?)),
            "smith" => {
                let smith = fields.text("smith_id")?.ok_or_else(|| {
                    Problem::new(Code::SmithRequired, "A smith token needs the `smith_id` of its smith.")
                        .at("smith_id")
                })?;
                let smith = smith.parse().map_err(|_| unresolved())?;
                let permissions = permissions(fields)?;
                let mut new = new_token(fields, LONGEST_SMITH_LIFE)?;
                new.ttl_seconds.get_or_insert(SMITH_LIFE);
                Ok(Self::Smith { smith, permissions, new })
            }
            _ => {
                Err(Problem::new(Code::InvalidTokenScope, "`scope` must be `smith` or `admin`.").at("scope"))
            }
        }
    }

    /// The `scope` that the answer names.
    const fn scope(&self) -> &'static str {
        match self {
            Self::Admin(_) => "admin",
            Self::Smith { .. } => "smith",
        }
    }

    /// Returns the smith that the token is for.
    const fn smith(&self) -> Option<SmithId> {
        match self {
            Self::Admin(_) => None,
            Self::Smith { smith, .. } => Some(*smith),
        }
    }

    async fn mint(
        &self,
        project: &ProjectStore,
        remember: Remembering<'_, Minted>,
    ) -> Result<Option<Minted>, Error> {
        match self {
            Self::Admin(new) => project.mint_admin_token(new, remember).await,
            Self::Smith { smith, permissions, new } => {
                project.mint_smith_token(*smith, permissions, new, remember).await
            }
        }
    }

    fn nobody(&self) -> Problem {
        match self {
            Self::Admin(_) => Problem::not_found("project"),
            Self::Smith { .. } => unresolved(),
        }
    }
}

fn permissions(fields: &Fields<'_>) -> Result<Vec<Permission>, Problem> {
    let names = fields.texts("permissions")?.unwrap_or_default();
    if names.is_empty() {
        let message =
            "A smith token needs at least one of the permissions in `permissions`, such as `runs:write`.";
        return Err(Problem::new(Code::PermissionsRequired, message).at("permissions"));
    }
    let parse = |name: &&str| {
        Permission::parse(name).ok_or_else(|| {
            let known: Vec<_> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
            let message = format!(
                "`permissions` holds a name that is no permission. The permissions are: {}.",
                known.join(", ")
            );
            Problem::new(Code::InvalidScope, message).at("permissions")
        })
    };
    names.iter().map(parse).collect()
}

fn unresolved() -> Problem {
    let message = "The project has no smith of this `smith_id`. Create it first with POST /v1/smiths.";
    Problem::new(Code::SmithUnresolved, message).at("smith_id")
}

/// Mints a token: for the whole project, or for one smith with chosen permissions.
#[utoipa::path(
    post,
    path = "/v1/tenant/tokens",
    operation_id = "tenant.tokens.create",
    tag = "Tenant",
    request_body = TokenIn,
    responses((status = 201, description = "The token; its text is shown this once only.", body = MintedTokenOut))
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let minting = Minting::read(&body.fields())?;
    let answer = |minted: &Minted| {
        Answer::json(StatusCode::CREATED, &MintedTokenOut::of(minted, minting.scope())).about(minting.smith())
    };
    let remember = once.remembering(&answer);
    let minted = minting.mint(&project, remember.as_ref().map(|remember| remember as _)).await;
    once.made(minted, &answer, || minting.nobody()).await
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::{both, request};

    const PATH: &str = "/v1/tenant/tokens";

    #[tokio::test]
    async fn a_smith_token_has_what_was_asked_for_and_no_more() {
        both(async |server| {
            let admin = server.admin_token().await;
            let smith = server.call(&admin, Method::POST, "/v1/smiths", json!({})).await.body["id"].clone();
            let body = json!({"smith_id": smith, "permissions": ["usage:read", "runs:read", "runs:read"]});
            let minted = server.call(&admin, Method::POST, PATH, body).await;
            assert_eq!((minted.status.as_u16(), &minted.body["scope"]), (201, &json!("smith")));
            assert_eq!(minted.body["scopes"], json!(["runs:read", "usage:read"]));
            assert!(minted.body["expires_at"].is_string());
            assert_eq!(minted.body["sub"], format!("{}:{}", server.first.project, smith.as_str().unwrap()));
            let token = minted.body["token"].as_str().unwrap();
            assert!(token.starts_with("thp_live_"));
            let own = format!("/v1/smiths/{}", smith.as_str().unwrap());
            assert_eq!(server.call(token, Method::GET, &own, Value::Null).await.status, 200);
            let refused = server.refused(token, Method::GET, PATH, Value::Null).await;
            assert_eq!(refused, (403, "admin_required".into(), String::new()));
        })
        .await;
    }

    #[tokio::test]
    async fn an_admin_token_does_not_expire_unless_asked_to() {
        both(async |server| {
            let admin = server.admin_token().await;
            let minted = server.call(&admin, Method::POST, PATH, json!({"scope": "admin"})).await;
            assert_eq!(minted.body["expires_at"], Value::Null);
            assert_eq!(minted.body["scopes"], json!(["tenant:*"]));
            let body = json!({"scope": "admin", "ttl_seconds": 315_360_000});
            assert!(server.call(&admin, Method::POST, PATH, body).await.body["expires_at"].is_string());
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_and_nothing_is_minted() {
        both(async |server| {
            let admin = server.admin_token().await;
            let smith = server.call(&admin, Method::POST, "/v1/smiths", json!({})).await.body["id"].clone();
            let unknown = domain::ids::SmithId::to_string(&server.app.ids.mint());
            for (body, code, param) in [
                (json!({"scope": "root"}), "invalid_token_scope", "scope"),
                (json!({"scope": 1}), "invalid_input", "scope"),
                (json!({}), "smith_required", "smith_id"),
                (json!({"smith_id": "nobody", "permissions": ["runs:read"]}), "smith_unresolved", "smith_id"),
                (json!({"smith_id": unknown, "permissions": ["runs:read"]}), "smith_unresolved", "smith_id"),
                (json!({"smith_id": smith}), "permissions_required", "permissions"),
                (json!({"smith_id": smith, "permissions": []}), "permissions_required", "permissions"),
                (json!({"smith_id": smith, "permissions": ["tenant:*"]}), "invalid_scope", "permissions"),
                (
                    json!({"smith_id": smith, "permissions": ["runs:read"], "ttl_seconds": 86_401}),
                    "invalid_input",
                    "ttl_seconds",
                ),
                (json!({"scope": "admin", "ttl_seconds": 0}), "invalid_input", "ttl_seconds"),
                (json!({"scope": "admin", "name": 7}), "invalid_input", "name"),
            ] {
                let refused = server.refused(&admin, Method::POST, PATH, body.clone()).await;
                assert_eq!(refused, (422, code.to_owned(), param.to_owned()), "{body}");
            }
            let listed = server.call(&admin, Method::GET, PATH, Value::Null).await;
            assert_eq!(listed.body["data"].as_array().unwrap().len(), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_repeated_request_gets_the_same_token() {
        both(async |server| {
            let admin = server.admin_token().await;
            let send = async || {
                let request = request("POST", PATH).header("authorization", format!("Bearer {admin}"));
                let body = json!({"scope": "admin"}).to_string();
                server.send(request.header("idempotency-key", "k").body(body.into()).unwrap()).await
            };
            let (first, again) = (send().await, send().await);
            assert_eq!((first.status.as_u16(), &first.body), (201, &again.body));
            assert_eq!(again.header("idempotency-replayed"), "true");
        })
        .await;
    }
}
