//! Calls from pages of other origins.

use e2e::{Engine, Setup, both};
use reqwest::Method;
use serde_json::json;

use crate::support::{operations, own_path};

#[tokio::test]
async fn pages_of_any_origin_may_call_what_wants_a_bearer() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let browser = server.anonymous().without_header("ic-api-version").with_header("origin", "https://app.example");
        let asking = |method: &Method| {
            let client = browser.with_extra_routes(&["/*"]).with_header("access-control-request-method", method.as_str());
            client.with_header(
                "access-control-request-headers",
                "authorization,content-type,ic-api-version,ic-smith-id,ic-thread-id,idempotency-key,last-event-id",
            )
        };
        for operation in operations(&server).await {
            let path = own_path(&operation, &smith);
            if !operation.wants_bearer {
                let answer = browser.get(&path).await;
                assert_eq!(answer.header("access-control-allow-origin"), "", "{answer}");
                continue;
            }
            let answer = asking(&operation.method).send(Method::OPTIONS, &path, None).await;
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer}");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer}");
            let methods: Vec<&str> = answer.header("access-control-allow-methods").split(", ").collect();
            assert!(methods.contains(&operation.method.as_str()), "{answer}");
            let headers = answer.header("access-control-allow-headers");
            assert!(headers.contains("idempotency-key") && headers.contains("authorization"), "{answer}");
            // A page is also shown why it was refused.
            let answer = browser.send(operation.method.clone(), &path, None).await;
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer}");
            let exposed = answer.header("access-control-expose-headers").to_lowercase();
            for header in [
                "ic-api-version", "x-request-id", "ic-run-id", "ic-thread-id", "idempotency-replayed", "retry-after",
                "x-should-retry", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ] {
                assert!(exposed.split(", ").any(|name| name == header), "{header}: {answer}");
            }
        }
        let client = server.admin().with_header("origin", "https://app.example");
        let answer = client.get("/v1/smiths").await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    })
    .await;
}

#[tokio::test]
async fn only_listed_origins_may_call_where_the_operator_lists_them() {
    let setup = Setup::on(Engine::Sqlite);
    let server = setup.with_variable("INGRAM_HTTP_CORS_ORIGINS", r#"["https://app.example"]"#).start().await;
    let of = |origin: &str| server.admin().with_header("origin", origin);
    let answer = of("https://app.example").get("/v1/smiths").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
    assert!(answer.header("vary").to_lowercase().contains("origin"));
    for other in ["https://other.example", "https://app.example.evil", "http://app.example", "null"] {
        let answer = of(other).get("/v1/smiths").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{answer}");
        let asking = of(other).with_header("access-control-request-method", "GET");
        let answer = asking.send(Method::OPTIONS, "/v1/smiths", None).await;
        answer.expect_error(405, "invalid_request");
    }
}
