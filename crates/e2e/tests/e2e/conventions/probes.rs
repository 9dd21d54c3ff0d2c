//! What the machinery around the server asks for.

use e2e::{Engine, Setup, both};
use insta::assert_json_snapshot;
use serde_json::json;

#[tokio::test]
async fn probes_tell_whether_the_database_answers() {
    both(async |server| {
        let plain = server.anonymous().without_header("ic-api-version");
        assert_eq!(plain.get("/health").await.expect(200)["ok"], true);
        let answer = plain.get("/ready").await;
        assert_eq!(answer.status, 200, "{answer} {}", server.log());
        assert_json_snapshot!("ready", answer.expect(200));
        let Some(database) = server.database() else { return };
        // From another database, because nobody can lock the one that they are connected to.
        let other = testkit::postgres::database().await;
        let operator = other.client().await;
        let allow = async |may: bool| {
            let statement = format!("alter database \"{}\" allow_connections {may}", database.name());
            operator.batch_execute(&statement).await.expect("the operator may do that");
        };
        allow(false).await;
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        operator.query(cut, &[&database.name()]).await.expect("the operator may do that");
        let answer = plain.get("/ready").await;
        assert_json_snapshot!("not_ready", answer.expect(503));
        assert_eq!(plain.get("/health").await.expect(200)["ok"], true);
        let answer = server.admin().get("/v1/smiths").await;
        assert_eq!(answer.status, 503, "{answer}");
        assert!(!answer.error("message").contains(database.name()), "{answer}");
        allow(true).await;
        assert_eq!(plain.get("/ready").await.expect(200)["ok"], true);
        server.admin().get("/v1/smiths").await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn metrics_want_their_own_token_and_hold_nothing_personal() {
    for variable in ["INGRAM_METRICS_TOKEN", "IC_METRICS_TOKEN"] {
        let server = Setup::on(Engine::Sqlite).with_variable(variable, "meter").start().await;
        let smith = server.smith(json!({"external_id": "canary-person"})).await;
        server.admin().get("/v1/smiths?external_id=canary-person").await.expect(200);
        server.admin().get("/v1/canary-person").await.expect_error(404, "not_found");
        for client in [server.anonymous(), server.admin(), server.anonymous().with_bearer("mete")] {
            let answer = client.get("/metrics").await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{answer}");
            assert!(answer.header("content-type").starts_with("text/plain"));
        }
        let answer = server.anonymous().with_bearer("meter").get("/metrics").await;
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains("ingram_http_requests_total{"), "{text}");
        assert!(text.contains("route=\"/v1/smiths\""), "{text}");
        for hidden in ["canary-person", &smith.id, server.admin_token(), "meter\""] {
            assert!(!text.contains(hidden), "{hidden}");
        }
        assert!(!server.log().contains("canary-person"), "{}", server.log());
    }
    let server = Setup::on(Engine::Sqlite).start().await;
    for client in
        [server.anonymous(), server.anonymous().with_bearer("meter"), server.anonymous().with_bearer("\"\"")]
    {
        assert_eq!(client.get("/metrics").await.status, 401);
    }
}
