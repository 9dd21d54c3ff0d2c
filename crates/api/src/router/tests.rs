use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::ids::{Id as _, SmithId, TokenId};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use utoipa_axum::routes;

use super::*;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathId, Query};
use crate::testing::{TestApp, both_with, request};
use crate::{API_VERSION, Options};

#[utoipa::path(get, path = "/v1/things/{id}", operation_id = "things.get", responses((status = 200, body = Object)))]
async fn thing(caller: Caller, PathId(id): PathId<SmithId>) -> Result<Json<Value>, ApiError> {
    caller.project()?;
    Ok(Json(json!({"id": id})))
}

#[utoipa::path(get, path = "/v1/things", operation_id = "things.list", responses((status = 200, body = Object)))]
async fn things(caller: Caller, query: Query) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"limit": query.page::<SmithId>("things", caller.project()?)?.limit})))
}

#[utoipa::path(post, path = "/v1/things", operation_id = "things.create", responses((status = 201, body = Object)))]
async fn create(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let name = body.fields().required_text("name")?.to_owned();
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let id: TokenId = app.ids.mint();
    let answer = Answer::json(StatusCode::CREATED, &json!({"id": id, "name": name}));
    once.keep(&answer).await?;
    Ok(answer.into_response())
}

#[utoipa::path(get, path = "/v1/bug", operation_id = "bug", responses((status = 200, body = Object)))]
async fn bug(_: Caller) -> String {
    panic!("a secret detail")
}

/// Breaks outside of the database.
#[utoipa::path(post, path = "/v1/things/break", operation_id = "things.break", responses((status = 200, body = Object)))]
async fn break_outside(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let once = idempotency.once(&app, &caller, body.fingerprint());
    once.alone(&app, Box::pin(async { panic!("a secret detail") })).await
}

#[utoipa::path(get, path = "/v1/models", operation_id = "lenient", responses((status = 200, body = Object)))]
async fn lenient(_: Caller) -> Json<Value> {
    Json(json!({"object": "list", "data": []}))
}

fn example(app: App) -> Router {
    let native = OpenApiRouter::new()
        .routes(routes!(things, create))
        .routes(routes!(thing))
        .routes(routes!(break_outside))
        .routes(routes!(bug));
    assemble(app, Parts::of(native, OpenApiRouter::new().routes(routes!(lenient)), open::routes()))
}

fn options() -> Options {
    Options { max_body_bytes: 1_000, ..Options::default() }
}

/// Runs a test body with the example's routes, which the contract does not know.
async fn both(options: Options, body: impl AsyncFn(TestApp)) {
    both_with(options, example, async |server| {
        body(server.with_extra_routes(&["/v1/things*", "/v1/bug"])).await;
    })
    .await;
}

#[tokio::test]
async fn a_token_decides_who_may_call() {
    both(options(), async |server| {
        let path = format!("/v1/things/{}", SmithId::from_bytes([1; 16]));
        let missing = server.send(request("GET", &path).body(Body::empty()).unwrap()).await;
        assert_eq!((missing.status.as_u16(), missing.code()), (401, "auth_required"));
        assert_eq!(missing.header("www-authenticate"), "Bearer");
        assert_eq!(missing.body["error"]["param"], Value::Null);
        assert_eq!(missing.body["error"]["type"], "authentication_error");

        let forged = server.call("tha_live_a.b.c", Method::GET, &path, Value::Null).await;
        assert_eq!((forged.status.as_u16(), forged.code()), (401, "unauthenticated"));

        let token = server.admin_token().await;
        assert_eq!(server.call(&token, Method::GET, &path, Value::Null).await.status, 200);
        let organization = server.organization_key().await;
        assert_eq!(
            server.call(&organization, Method::GET, &path, Value::Null).await.code(),
            "tenant_token_required"
        );
    })
    .await;
}

#[tokio::test]
async fn work_under_a_key_that_breaks_leaves_the_key_free() {
    both(options(), async |server| {
        let token = server.admin_token().await;
        for _ in 0..2 {
            let request = request("POST", "/v1/things/break")
                .header("authorization", format!("Bearer {token}"))
                .header("idempotency-key", "k");
            let reply = server.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!((reply.status.as_u16(), reply.code()), (500, "internal_error"));
            assert!(!reply.text.contains("secret"), "{}", reply.text);
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    both(options(), async |server| {
        let project = server.app.store.project(server.first.project);
        let minted = project.mint_admin_token(&Default::default(), None).await.unwrap().unwrap();
        assert_eq!(server.call(&minted.text, Method::GET, "/v1/things", Value::Null).await.status, 200);
        assert!(project.revoke_token(minted.record.id).await.unwrap());
        assert_eq!(
            server.call(&minted.text, Method::GET, "/v1/things", Value::Null).await.code(),
            "unauthenticated"
        );
    })
    .await;
}

#[tokio::test]
async fn the_native_surface_wants_the_version_and_nobody_takes_another() {
    both(options(), async |server| {
        let token = format!("Bearer {}", server.admin_token().await);
        let send = async |path: &str, version: Option<&str>| {
            let mut request = http::Request::get(path).header("authorization", &token);
            if let Some(version) = version {
                request = request.header("ic-api-version", version);
            }
            let reply = server.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.header("ic-api-version"), API_VERSION);
            assert!(reply.header("x-request-id").starts_with("req_"));
            (reply.status.as_u16(), reply.code().to_owned())
        };
        let unsupported = (400, "unsupported_api_version".to_owned());
        let fine = (200, String::new());
        assert_eq!(send("/v1/things", None).await, unsupported);
        assert_eq!(send("/v1/things", Some("2025-01-01")).await, unsupported);
        assert_eq!(send("/v1/things", Some(API_VERSION)).await, fine);
        for path in ["/v1/models", "/health", "/ready", "/openapi.json"] {
            assert_eq!(send(path, None).await, fine, "{path}");
            assert_eq!(send(path, Some("2025-01-01")).await, unsupported, "{path}");
        }
        assert_eq!(send("/v1/nowhere", None).await, (404, "not_found".into()));
    })
    .await;
}

#[tokio::test]
async fn what_no_route_knows_is_refused_in_the_envelope() {
    both(options(), async |server| {
        let token = server.admin_token().await;
        let wrong_method = server.call(&token, Method::DELETE, "/v1/things", Value::Null).await;
        assert_eq!((wrong_method.status.as_u16(), wrong_method.code()), (405, "invalid_request"));
        assert!(wrong_method.header("allow").contains("POST"), "{wrong_method:?}");
        assert_eq!(
            server.call(&token, Method::GET, "/v1/things/nobody", Value::Null).await.code(),
            "not_found"
        );
        assert_eq!(server.call(&token, Method::GET, "/v1/things/%ff", Value::Null).await.code(), "not_found");
        assert_eq!(
            server.call(&token, Method::GET, "/v1/things/a%2Fb", Value::Null).await.code(),
            "not_found"
        );
    })
    .await;
}

#[tokio::test]
async fn a_panic_becomes_a_500_that_tells_nothing() {
    both(options(), async |server| {
        let reply = server.call(&server.admin_token().await, Method::GET, "/v1/bug", Value::Null).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (500, "internal_error"));
        assert!(!reply.text.contains("secret detail") && reply.header("x-request-id").starts_with("req_"));
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_wrong_changes_nothing() {
    both(options(), async |server| {
        let token = server.admin_token().await;
        let send = async |text: String| {
            let request = request("POST", "/v1/things").header("authorization", format!("Bearer {token}"));
            let reply = server.send(request.body(Body::from(text)).unwrap()).await;
            (reply.status.as_u16(), reply.code().to_owned(), reply.body["error"]["param"].clone())
        };
        assert_eq!(send("{".into()).await, (400, "invalid_request".into(), Value::Null));
        assert_eq!(send(r#"{"name": 1}"#.into()).await, (422, "invalid_input".into(), json!("name")));
        assert_eq!(send(format!(r#"{{"name": "{}"}}"#, "a".repeat(1_000))).await.1, "payload_too_large");
        assert_eq!(send(r#"{"name": "a", "unknown": 1}"#.into()).await.0, 201);
    })
    .await;
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer_and_another_body_is_refused() {
    both(options(), async |server| {
        let token = server.admin_token().await;
        let send = async |key: &str, body: Value| {
            let request = request("POST", "/v1/things").header("authorization", format!("Bearer {token}"));
            server
                .send(request.header("idempotency-key", key).body(Body::from(body.to_string())).unwrap())
                .await
        };
        let first = send("one", json!({"name": "a", "b": 1})).await;
        let again = send("one", json!({"b": 1, "name": "a"})).await;
        assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
        assert_eq!(
            (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
            ("", "true")
        );
        assert_eq!(again.header("content-type"), "application/json");
        let other = send("one", json!({"name": "b"})).await;
        assert_eq!((other.status.as_u16(), other.code()), (409, "idempotency_key_reused"));
        assert_eq!(other.header("x-should-retry"), "false");
        assert_ne!(send("two", json!({"name": "a"})).await.body, first.body);
    })
    .await;
}

#[tokio::test]
async fn a_page_may_call_and_read_every_header() {
    both(options(), async |server| {
        let preflight = request("OPTIONS", "/v1/things")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,ic-api-version");
        let reply = server.send(preflight.body(Body::empty()).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (204, "*"));
        let refused = request("GET", "/v1/things").header("origin", "https://app.example");
        let reply = server.send(refused.body(Body::empty()).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (401, "*"));
        assert!(reply.header("access-control-expose-headers").contains("X-Request-Id"));
    })
    .await;
}

#[tokio::test]
async fn a_server_that_shuts_down_refuses_before_any_work() {
    both(options(), async |server| {
        let token = server.admin_token().await;
        server.app.drain();
        let reply = server.call(&token, Method::GET, "/v1/things", Value::Null).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (503, "service_overloaded"));
        assert_eq!(reply.header("retry-after"), "1");
        assert_eq!(server.call("", Method::GET, "/health", Value::Null).await.status, 200);
        let ready = server.call("", Method::GET, "/ready", Value::Null).await;
        assert_eq!((ready.status.as_u16(), &ready.body["ok"]), (503, &json!(false)));
    })
    .await;
}

#[tokio::test]
async fn every_answer_to_a_token_says_where_it_stands_once_there_is_a_bound() {
    both(Options { requests_per_minute: 1, ..Options::default() }, async |server| {
        let token = server.admin_token().await;
        let first = server.call(&token, Method::GET, "/v1/things", Value::Null).await;
        assert_eq!((first.status.as_u16(), first.header("x-ratelimit-remaining-requests")), (200, "0"));
        let second = server.call(&token, Method::GET, "/v1/things", Value::Null).await;
        assert_eq!((second.status.as_u16(), second.code()), (429, "rate_limit_exceeded"));
        assert_eq!(second.header("x-ratelimit-limit-requests"), "1");
        assert!(!second.header("retry-after").is_empty());
    })
    .await;
}

#[tokio::test]
async fn metrics_are_for_the_holder_of_their_token_only() {
    let options = Options { metrics_token: Some(crate::Secret::new("watch")), ..Options::default() };
    both(options, async |server| {
        assert_eq!(server.call("watch", Method::GET, "/metrics", Value::Null).await.status, 200);
        let refused = server.call("wat", Method::GET, "/metrics", Value::Null).await;
        assert_eq!((refused.status.as_u16(), &refused.body), (401, &Value::Null));
    })
    .await;
    both(Options::default(), async |server| {
        assert_eq!(server.call("", Method::GET, "/metrics", Value::Null).await.status, 401);
    })
    .await;
}

#[test]
fn the_document_describes_what_the_contract_has_and_nothing_else() {
    let contract: Value = serde_json::from_str(include_str!("../../../../contract/openapi.json")).unwrap();
    let document = serde_json::to_value(document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let known = &contract["paths"][path][method];
            assert_eq!(operation["operationId"], known["operationId"], "{method} {path}");
            assert_eq!(operation["security"], known["security"], "{method} {path}");
        }
    }
}

#[test]
fn the_document_refers_to_schemas_that_it_has() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let name = reference.strip_prefix("#/components/schemas/").unwrap();
                    assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
                }
                map.values().for_each(|value| check(document, value));
            }
            Value::Array(values) => values.iter().for_each(|value| check(document, value)),
            _ => {}
        }
    }
    let document = serde_json::to_value(document()).unwrap();
    check(&document, &document);
}
