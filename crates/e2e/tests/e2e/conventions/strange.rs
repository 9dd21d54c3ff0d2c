//! Bodies that no client would send: whatever comes, the answer is one of the contract and never a failure of ours.

mod bodies;

use e2e::{Engine, Server, Setup, Smith};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use testkit::http::Client;

use self::bodies::Bodies;
use super::bodies::{conversation, good_body, taking_bodies};
use crate::support::{Operation, acting, id, organization, project};

/// How many bodies each operation gets of each seed.
const BODIES_OF_A_SEED: usize = 30;

/// Answers at once, whatever is said.
const QUICK: &str = "[[rule]]\nsay = \"You said: {{ last_message }}\"\n";

#[tokio::test]
async fn no_body_is_too_strange_for_the_embedded_database() {
    check(Engine::Sqlite, [1, 2, 3, 4, 5]).await;
}

#[tokio::test]
async fn no_body_is_too_strange_for_postgres() {
    check(Engine::Postgres, [11, 12, 13, 14, 15]).await;
}

/// Names the body under way when the test panics.
struct UnderWay<'a>(&'a Operation, &'a str);

#[expect(clippy::print_stderr, reason = "what a failing test has to say beside its message")]
impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} with {}", self.0, self.1.chars().take(2_000).collect::<String>());
        }
    }
}

/// A seed is a sequence of bodies for every operation: the same in every run of the test.
async fn check(engine: Engine, seeds: [u64; 5]) {
    let server = Setup::on(engine).with_script("quick", QUICK).start().await;
    let organization = organization(&server).await;
    let (_, made) = project(&server, &organization, "shop").await;
    let document = server.anonymous().get("/openapi.json").await.expect(200);
    let mut accepted = 0;
    for (operation, client) in taking_bodies(&server).await {
        // What a strange body makes of a smith must not spare the next operation its work.
        let smith = server.smith(json!({"model": "scripted/quick"})).await;
        let run = smith.run(&json!({"input": "Hello"})).await;
        let conversation = conversation(&server, &smith).await;
        let client = acting(&client, &operation, &smith.id);
        let owner = if operation.is_of_organization() { &made } else { &smith.id };
        let path = operation.path(&[
            ("aid", &smith.agent),
            ("pid", owner),
            ("rid", id(&run)),
            ("version", "1"),
            ("provider", "openai_compatible"),
            ("name", "card"),
            ("cnvId", &conversation),
            ("id", id(&run)),
        ]);
        let bodies = Bodies::of(&document, &operation, good_body(&operation, &smith), &smith.id);
        for seed in seeds {
            let mut random = StdRng::seed_from_u64(seed);
            for _ in 0..BODIES_OF_A_SEED {
                let body = bodies.next(&mut random);
                let under_way = UnderWay(&operation, &body);
                // The client holds every answer against the contract, errors too.
                let method = operation.method.clone();
                let answer = client.send_bytes(method, &path, Some(body.clone().into())).await;
                assert!(answer.status < 500, "{answer}");
                accepted += usize::from(answer.status < 300);
                drop(under_way);
            }
        }
        what_was_kept_can_be_read(&server, &organization, &smith).await;
    }
    // Were nearly all refused at the door, nothing behind it would have been tried.
    assert!(accepted > 300, "{accepted}");
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

async fn what_was_kept_can_be_read(server: &Server, organization: &Client, smith: &Smith) {
    let admin = server.admin();
    let keys = smith.path("/model_keys");
    let own = smith.path("");
    for path in ["/v1/smiths", "/v1/runs", "/v1/tenant/tokens", "/v1/tenant/tools", "/v1/tenant/mcp"]
        .map(|path| format!("{path}?limit=200"))
        .iter()
        .chain([&keys, &own])
    {
        admin.get(path).await.expect(200);
    }
    let acting = admin.with_header("ic-smith-id", &smith.id);
    acting.get("/v1/conversations?limit=200").await.expect(200);
    for path in ["/v1/organization/projects?limit=200", "/v1/organization/keys?limit=200"] {
        organization.get(path).await.expect(200);
    }
    // A smith of any configuration can be asked for something. Without a key nobody outside is called for it.
    for keys in ["/v1/tenant/model_keys".to_owned(), keys] {
        admin.delete(&format!("{keys}/openai_compatible")).await;
    }
    let answer = admin.post(&smith.path("/runs"), &json!({"input": "And now?"})).await;
    assert!([200, 422].contains(&answer.status), "{answer}");
}
