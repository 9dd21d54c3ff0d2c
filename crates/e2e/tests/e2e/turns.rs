//! A project that may have only so many runs running at once: the next ones wait, and none is refused.

use e2e::{Engine, Server, Setup, Smith};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::sse::Reader;
use testkit::upstream::{Gate, Reply, Upstream};

use crate::support::{entries, id, organization, project, smith_client_without};

const BOTH: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// A server on which one run of a project may be running, and one is, for as long as its model is held.
struct Full {
    server: Server,
    upstream: Upstream,
    smith: Smith,
    gate: Gate,
}

impl Full {
    async fn on(engine: Engine) -> (Self, Reader) {
        let setup = Setup::on(engine).with_variable("INGRAM_ENGINE_MAX_RUNNING_PER_PROJECT", "1");
        let server = setup.start().await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::text("First.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let first = stream(&server, &smith, "One").await;
        gate.wait_for_arrivals(1).await;
        (Self { server, upstream, smith, gate }, first)
    }

    async fn with_status(&self, status: &str) -> Vec<Value> {
        let runs = self.server.admin().get(&format!("/v1/runs?status={status}")).await;
        entries(&runs.expect(200)).to_vec()
    }
}

async fn stream(server: &Server, smith: &Smith, text: &str) -> Reader {
    let body = json!({"input": text, "stream": true});
    server.admin().stream(Method::POST, &smith.path("/runs"), Some(&body)).await
}

#[tokio::test]
async fn a_run_beyond_what_a_project_may_run_at_once_waits_whichever_way_it_came() {
    for engine in BOTH {
        let (full, first) = Full::on(engine).await;
        full.upstream.answer(Reply::text("Second."));
        full.upstream.answer(Reply::text("Third."));
        full.upstream.answer(Reply::text("Fourth."));
        let second = stream(&full.server, &full.smith, "Two").await;
        let head = (second.header("ic-run-id"), full.with_status("queued").await);
        assert_eq!(head.0, id(&head.1[0]), "its id is known before its turn");
        let of_smith = smith_client_without(&full.server, &full.smith, &[]).await;
        let background = json!({"input": "Three", "background": true});
        let third = of_smith.post("/v1/responses", &background).await.expect(200);
        assert_eq!(third["status"], "queued");
        let body = json!({"messages": [{"role": "user", "content": "Four"}]});
        let fourth = async {
            let chat = of_smith.post("/v1/chat/completions", &body).await.expect(200);
            chat["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
        };
        let rest = async {
            while full.with_status("queued").await.len() < 3 {
                tokio::task::yield_now().await;
            }
            assert_eq!(full.upstream.requests().len(), 1, "no model is called for what waits");

            // Another project is not held up by it.
            let organization = organization(&full.server).await;
            let (other, _) = project(&full.server, &organization, "other").await;
            let smith = other.post("/v1/smiths", &json!({"model": "scripted/demo"})).await.expect(201);
            let runs = format!("/v1/smiths/{}/runs", id(&smith));
            assert_eq!(other.post(&runs, &Smith::says("Hello")).await.expect(200)["status"], "completed");

            full.gate.open();
            for stream in [first, second] {
                assert_eq!(stream.collect_until_end().await.last().unwrap().event, "run.completed");
            }
        };
        let (fourth, ()) = futures::join!(fourth, rest);
        assert_eq!(fourth, "Fourth.", "those that wait longest come first");
        assert_eq!(full.upstream.requests().len(), 4);
        let third = of_smith.get(&format!("/v1/responses/{}", id(&third))).await.expect(200);
        assert_eq!(third["status"], "completed");
    }
}

#[tokio::test]
async fn a_run_that_pauses_makes_room_and_needs_none_to_go_on() {
    for engine in BOTH {
        let (full, first) = Full::on(engine).await;
        let admin = full.server.admin();
        let tool =
            json!({"description": "Reads.", "input_schema": {"type": "object"}, "execution": "external"});
        admin.put("/v1/tenant/tools/read_meter", &tool).await.expect(200);
        let asking = full.server.smith_on(&full.upstream).await;
        admin.patch(&asking.path(""), &json!({"tools": ["read_meter"]})).await.expect(200);
        let held = Gate::hold();
        full.upstream.answer(Reply::tool_call("c1", "read_meter", json!({})));
        full.upstream.answer(Reply::text("Third.").through(&held));
        full.upstream.answer(Reply::text("42 kWh."));
        let paused = stream(&full.server, &asking, "Read it").await;
        let third = stream(&full.server, &full.smith, "Three").await;
        let run = paused.header("ic-run-id").to_owned();
        full.gate.open();
        assert_eq!(first.collect_until_end().await.last().unwrap().event, "run.completed");
        assert_eq!(paused.collect_until_end().await.last().unwrap().event, "run.paused");
        held.wait_for_arrivals(1).await;
        let result = json!({"kind": "tool_result", "tool_call_id": "c1", "result": {"kwh": 42}});
        let gone_on = admin.post(&asking.path(&format!("/runs/{run}/submit")), &result).await.expect(200);
        assert_eq!(gone_on["output"]["content"], "42 kWh.");
        held.open();
        assert_eq!(third.collect_until_end().await.last().unwrap().event, "run.completed");
    }
}

#[tokio::test]
async fn what_waits_for_its_project_survives_the_death_of_the_server() {
    for engine in BOTH {
        let (mut full, _first) = Full::on(engine).await;
        let mut waiting = Vec::new();
        for text in ["Two", "Three", "Four"] {
            let stream = stream(&full.server, &full.smith, text).await;
            waiting.push(stream.header("ic-run-id").to_owned());
        }
        full.upstream.answer_otherwise(Reply::text("Here."));
        full.server.kill().await;
        full.gate.open();
        full.server.start_again().await;
        for run in waiting {
            let events = full.smith.path(&format!("/runs/{run}/events"));
            let told = full.server.admin().follow(&events, None).await.collect_until_end().await;
            assert_eq!(told.last().unwrap().event, "run.completed");
        }
    }
}
