//! How many requests are served.

use std::time::{Duration, Instant};

use e2e::{Engine, Setup, both};
use serde_json::json;
use testkit::http::Answer;

use crate::raw;
use crate::support::{entries, minted};

fn standing(answer: &Answer) -> [String; 3] {
    ["limit", "remaining", "reset"]
        .map(|part| answer.header(&format!("x-ratelimit-{part}-requests")).to_owned())
}

#[tokio::test]
async fn a_token_that_has_spent_its_minute_is_told_when_to_come_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("INGRAM_HTTP_REQUESTS_PER_MINUTE", "6").start().await;
        for left in ["5", "4", "3", "2", "1", "0"] {
            let answer = server.admin().post("/v1/smiths", &json!({})).await;
            let [limit, remaining, reset] = standing(&answer);
            assert_eq!((answer.status, limit.as_str(), remaining.as_str()), (201, "6", left), "{answer}");
            assert!(reset.ends_with('s'), "{answer}");
        }
        let answer = server.admin().post("/v1/smiths", &json!({})).await;
        answer.expect_error(429, "rate_limit_exceeded");
        assert_eq!(standing(&answer)[1], "0");
        let seconds: u32 = answer.header("retry-after").parse().unwrap();
        assert!((1..=11).contains(&seconds), "{answer}");
        // Other tokens have a minute of their own, and errors carry the headers too.
        let token = minted(&server, &["--admin"]).await;
        let other = server.anonymous().with_bearer(&token);
        assert_eq!(entries(&other.get("/v1/smiths").await.expect(200)).len(), 6, "nothing was done");
        let answer = other.get("/v1/smiths?limit=0").await;
        assert_eq!((answer.status, standing(&answer)[1].as_str()), (400, "4"), "{answer}");
        // Probes and strangers are not counted.
        for path in ["/health", "/ready", "/openapi.json", "/v1/smiths"] {
            for _ in 0..8 {
                let answer = server.anonymous().get(path).await;
                assert_eq!(standing(&answer), ["", "", ""]);
                assert_ne!(answer.status, 429);
            }
        }
    }
}

#[tokio::test]
async fn requests_are_not_bounded_unless_the_operator_wants_it() {
    both(async |server| {
        let answer = server.admin().get("/v1/smiths").await;
        assert_eq!(standing(&answer), ["", "", ""]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_full_says_so_and_its_probes_still_answer() {
    let server = Setup::on(Engine::Sqlite).with_variable("INGRAM_HTTP_MAX_REQUESTS", "1").start().await;
    // A request whose body does not come keeps the only place.
    let slow = raw::Request::new("POST", "/v1/smiths").bearer(server.admin_token());
    let pending = slow.wait_for_its_turn(&server, 100).await;
    for path in ["/v1/smiths", "/v1/runs", "/openapi.json"] {
        let refused = server.admin().get(path).await;
        refused.expect_error(503, "service_overloaded");
        let seconds: u32 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{refused}");
    }
    for path in ["/health", "/ready"] {
        server.anonymous().get(path).await.expect(200);
    }
    drop(pending);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.admin().get("/v1/smiths").await.status != 200 {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
}
