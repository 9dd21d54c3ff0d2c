//! What all routes have in common.

mod bodies;
mod browsers;
mod limits;
mod probes;
mod strange;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use e2e::{Server, both};
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::json;
use testkit::http::Client;

use crate::support::{Operation, operations, organization, own_path};

/// The operations with a bearer, with a client that may call each.
async fn callable(server: &Server) -> Vec<(Operation, Client)> {
    let organization = organization(server).await;
    let with_client = |operation: Operation| {
        let client = if operation.is_of_organization() { organization.clone() } else { server.admin() };
        (operation, client)
    };
    let operations = operations(server).await.into_iter().filter(|operation| operation.wants_bearer);
    operations.map(with_client).collect()
}

#[tokio::test]
async fn what_is_no_route_is_not_found_whoever_asks() {
    both(async |server| {
        let organization = organization(&server).await;
        for path in [
            "/",
            "/nope",
            "/v1",
            "/v1/",
            "/v1/nope",
            "/v1/smiths/",
            "//v1/smiths",
            "/v1//smiths",
            "/V1/smiths",
            "/v1/smiths/x/y/z",
            "/v1/tenant",
            "/v2/smiths",
            "/openapi.yaml",
            "/metrics/",
            "/v1/smiths%2f",
            "/.env",
        ] {
            for client in [&server.anonymous(), &server.admin(), &organization] {
                for method in [Method::GET, Method::POST, Method::DELETE] {
                    let answer = client.send(method, path, None).await;
                    answer.expect_error(404, "not_found");
                }
            }
        }
        let answer = server.anonymous().get("/nope").await;
        assert_json_snapshot!("no_such_route", answer.json);
    })
    .await;
}

#[tokio::test]
async fn a_method_that_a_route_does_not_know_is_told_which_it_does() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for operation in operations(&server).await {
            methods.entry(own_path(&operation, &smith)).or_default().insert(operation.method.to_string());
        }
        for (path, known) in methods {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
                if known.contains(method) {
                    continue;
                }
                let method: Method = method.parse().unwrap();
                for client in [server.anonymous(), server.admin()] {
                    let answer = client.send(method.clone(), &path, None).await;
                    answer.expect_error(405, "invalid_request");
                    let allowed: BTreeSet<String> =
                        answer.header("allow").split(',').map(|name| name.trim().to_owned()).collect();
                    let mut expected = known.clone();
                    if known.contains("GET") {
                        expected.insert("HEAD".to_owned());
                    }
                    assert_eq!(allowed, expected, "{answer}");
                }
            }
        }
        let answer = server.anonymous().send(Method::PUT, "/v1/smiths", None).await;
        assert_json_snapshot!("no_such_method", answer.json);
    })
    .await;
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let head = |client: &Client| client.with_extra_routes(&["/*"]);
        for operation in operations(&server).await.iter().filter(|operation| operation.method == Method::GET)
        {
            if operation.id == "smiths.runs.events" {
                continue;
            }
            let path = own_path(operation, &smith);
            for client in [server.admin(), server.anonymous()] {
                let got = client.get(&path).await;
                let headed = head(&client).send(Method::HEAD, &path, None).await;
                assert_eq!((headed.status, headed.body.len()), (got.status, 0), "{path}");
                assert_eq!(headed.header("content-type"), got.header("content-type"), "{path}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_the_version() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let client = server.admin().with_header("x-request-id", "req_1111111111111111111111");
        let mut seen = HashSet::new();
        for path in [
            "/health",
            "/nope",
            "/v1/smiths",
            "/v1/smiths?limit=0",
            &smith.path(""),
            "/openapi.json",
            "/metrics",
        ] {
            for client in [&client, &server.anonymous()] {
                let answer = client.get(path).await;
                assert_eq!(answer.header("ic-api-version"), "2026-05-01", "{answer}");
                assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
                assert!(
                    seen.insert(answer.header("x-request-id").to_owned()),
                    "the caller's id, or one twice: {answer}"
                );
            }
        }
        assert!(!seen.contains("req_1111111111111111111111"));
    })
    .await;
}
