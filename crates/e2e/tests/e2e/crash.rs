//! The server that dies in the middle.

use e2e::{Engine, Server, Setup, Smith};
use serde_json::json;
use testkit::sse::text_of;
use testkit::upstream::{Gate, Reply, Upstream};

/// A short lease, so that a replica's death on PostgreSQL is noticed quickly.
const LEASE: &str = "[engine]\nlease_ms = 400\n";

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

async fn start(engine: Engine) -> Server {
    Setup::on(engine).with_configuration(LEASE).start().await
}

#[tokio::test]
async fn a_run_that_a_dead_server_left_is_finished_and_its_stream_goes_on() {
    for engine in ENGINES {
        let mut server = start(engine).await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::chunks(["It i", "s noon."]).through(&gate));
        upstream.answer(Reply::chunks(["It is ", "noon."]));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "What time is it?", "stream": true});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.release(1);
        let mut seen = stream.take(2).await;
        let path = smith.path(&format!("/runs/{}/events", stream.header("ic-run-id")));
        server.kill().await;
        drop(stream);
        server.start_again().await;
        let rest = server.admin().follow(&path, Some(1)).await.collect_until_end().await;
        assert_eq!(rest[0].event, "run.resumed");
        assert_eq!((&rest[0].data["attempt"], &rest[0].data["discard_after"]), (&json!(2), &json!(0)));
        seen.extend(rest);
        assert_eq!(text_of(&seen), "It is noon.");
        assert_eq!(seen.last().unwrap().event, "run.completed");
        assert_eq!(server.admin().follow(&path, None).await.collect_until_end().await, seen);
    }
}

#[tokio::test]
async fn queued_runs_go_on_after_the_server_died() {
    for engine in ENGINES {
        let mut server = start(engine).await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::text("First.").through(&gate));
        upstream.answer_otherwise(Reply::text("Again."));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "x", "stream": true, "thread_id": "lane"});
        let mut ids = Vec::new();
        for _ in 0..3 {
            let stream =
                server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
            ids.push(stream.header("ic-run-id").to_owned());
        }
        // The answer that never ends is that of the call which dies with the server.
        upstream.wait_for_requests(1).await;
        server.kill().await;
        server.start_again().await;
        for id in ids {
            let path = smith.path(&format!("/runs/{id}/events"));
            let frames = server.admin().follow(&path, None).await.collect_until_end().await;
            assert_eq!(frames.last().unwrap().event, "run.completed");
        }
    }
}

#[tokio::test]
async fn a_stored_generation_is_fetched_instead_of_paid_twice() {
    for engine in ENGINES {
        let mut server = start(engine).await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::chunks(["It is ", "noon."]).through(&gate));
        let key = json!({"api_key": "sk-test", "base_url": upstream.openai_url()});
        server.admin().put("/v1/tenant/model_keys/openai", &key).await.expect(200);
        let smith = server.smith(json!({"model": "openai/gpt-5"})).await;
        let body = json!({"input": "What time is it?", "stream": true});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.release(1);
        let mut seen = stream.take(2).await;
        let path = smith.path(&format!("/runs/{}/events", stream.header("ic-run-id")));
        server.kill().await;
        drop(stream);
        gate.open();
        server.start_again().await;
        seen.extend(server.admin().follow(&path, Some(1)).await.collect_until_end().await);
        assert!(seen.iter().all(|frame| frame.event != "run.resumed"), "nothing was said twice");
        assert_eq!(text_of(&seen), "It is noon.");
        let generations = upstream.requests().iter().filter(|request| request.method == "POST").count();
        assert_eq!(generations, 1);
    }
}

#[tokio::test]
async fn what_is_missing_when_a_stored_generation_is_fetched_is_in_the_record() {
    for engine in ENGINES {
        let mut server = start(engine).await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::chunks(["It is ", "noon."]).through(&gate));
        let key = json!({"api_key": "sk-test", "base_url": upstream.openai_url()});
        server.admin().put("/v1/tenant/model_keys/openai", &key).await.expect(200);
        let tool = json!({"description": "Tells the time.", "input_schema": {"type": "object"}, "execution": "external"});
        server.admin().put("/v1/tenant/tools/clock", &tool).await.expect(200);
        let smith = server.smith(json!({"model": "openai/gpt-5", "tools": ["clock"]})).await;
        let body = json!({"input": "What time is it?", "stream": true});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.release(1);
        stream.take(2).await;
        let path = smith.path(&format!("/runs/{}", stream.header("ic-run-id")));
        server.admin().delete("/v1/tenant/tools/clock").await.expect(204);
        server.kill().await;
        drop(stream);
        gate.open();
        server.start_again().await;
        let frames = server.admin().follow(&format!("{path}/events"), None).await.collect_until_end().await;
        let completed = frames.last().unwrap();
        assert_eq!(completed.event, "run.completed");
        assert_eq!(completed.data["warnings"][0]["code"], "tool_source_unavailable", "{frames:?}");
        let run = server.admin().get(&path).await.expect(200);
        assert_eq!(run["warnings"], completed.data["warnings"]);
        let generations = upstream.requests().iter().filter(|request| request.method == "POST").count();
        assert_eq!(generations, 1, "the stored answer was the last one");
    }
}

#[tokio::test]
async fn a_run_that_brings_its_server_down_three_times_is_given_up_and_listed() {
    for engine in ENGINES {
        let mut server = start(engine).await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer_otherwise(Reply::chunks(["Half ", "an answer"]).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "x", "stream": true});
        let stream = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        let id = stream.header("ic-run-id").to_owned();
        for attempt in 1..=3 {
            upstream.wait_for_requests(attempt).await;
            server.kill().await;
            server.start_again().await;
        }
        let path = smith.path(&format!("/runs/{id}/events"));
        let frames = server.admin().follow(&path, None).await.collect_until_end().await;
        assert_eq!(frames.last().unwrap().event, "run.failed");
        assert_eq!(frames.last().unwrap().text("code"), "resume_failed");
        assert_eq!(upstream.requests().len(), 3, "the fourth start does not call the model");
        let doctor = server.command(&["doctor"]).await;
        let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(report.contains(&id), "{report}");
    }
}

#[tokio::test]
async fn an_acknowledged_run_is_there_after_a_kill() {
    for engine in ENGINES {
        let mut server = start(engine).await;
        let smith = server.smith(json!({})).await;
        let mut records = Vec::new();
        for _ in 0..5 {
            records.push(smith.run(&Smith::says("hello")).await);
        }
        server.kill().await;
        server.start_again().await;
        for record in records {
            let path = smith.path(&format!("/runs/{}", record["id"].as_str().unwrap()));
            assert_eq!(server.admin().get(&path).await.expect(200), record);
        }
    }
}
