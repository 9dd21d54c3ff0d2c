//! Rows that cannot be read any more.

use e2e::{Engine, Server, Setup};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::upstream::{Gate, Reply, Upstream};

use crate::erase::unzipped;

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// What is damaged of the run on the thread of that name.
const DAMAGES: [(&str, &str); 4] = [
    ("request", "update run_requests set request = 'x'"),
    ("config", "update run_requests set config = 'x'"),
    ("journal", "update run_journal set body = 'x'"),
    ("actor", "update runs set actor = 'x'"),
];

async fn damage(server: &Server, thread: &str, sql: &str) {
    let column = if sql.contains("update runs ") { "id" } else { "run_id" };
    let running = format!("select id from runs where thread_id = '{thread}' and status = 'running'");
    server.alter(&format!("{sql} where {column} in ({running})")).await;
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_given_up_and_its_thread_goes_on() {
    for engine in ENGINES {
        let mut server = Setup::on(engine).with_configuration("[engine]\nlease_ms = 400\n").start().await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer_otherwise(Reply::text("Again.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let start = async |thread: &str| {
            let body = json!({"input": "x", "stream": true, "thread_id": thread});
            let stream = server.admin().stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
            stream.header("ic-run-id").to_owned()
        };
        let mut runs = Vec::new();
        for (thread, _) in DAMAGES {
            runs.push((start(thread).await, start(thread).await));
        }
        server.kill().await;
        for (thread, sql) in DAMAGES {
            damage(&server, thread, sql).await;
        }
        gate.open();
        server.start_again().await;
        let admin = server.admin();
        for ((broken, next), (thread, _)) in runs.iter().zip(DAMAGES) {
            let follow = async |run: &str| {
                let path = smith.path(&format!("/runs/{run}/events"));
                admin.follow(&path, None).await.collect_until_end().await
            };
            let last = follow(broken).await.pop().unwrap();
            assert_eq!((last.event.as_str(), last.text("code")), ("run.failed", "resume_failed"), "{thread}");
            let last = follow(next).await.pop().unwrap();
            assert_eq!(last.event, "run.completed", "{thread}");
        }
        let doctor = server.command(&["doctor"]).await;
        let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
        for ((broken, _), (thread, _)) in runs.iter().zip(DAMAGES) {
            assert!(report.contains(broken.as_str()), "{thread}: {report}");
            if thread == "actor" {
                continue;
            }
            let record = admin.get(&smith.path(&format!("/runs/{broken}"))).await.expect(200);
            assert_eq!((&record["status"], &record["stop_reason"]), (&json!("failed"), &json!("error")));
            assert_eq!(record["error"]["code"], "resume_failed");
        }
    }
}

#[tokio::test]
async fn what_is_left_of_damaged_runs_is_listed_and_streamed() {
    for engine in ENGINES {
        let server = Setup::on(engine).start().await;
        let smith = server.smith(json!({})).await;
        let mut runs = Vec::new();
        for thread in ["result", "frames", "request", "whole"] {
            let run = smith.run(&json!({"input": "hello", "thread_id": thread})).await;
            runs.push(run["id"].as_str().unwrap().to_owned());
        }
        let of = |thread: &str| format!("where run_id in (select id from runs where thread_id = '{thread}')");
        server.alter(&format!("delete from run_results {}", of("result"))).await;
        server.alter(&format!("update run_frames set body = 'x' {} and seq_from = 0", of("frames"))).await;
        server.alter(&format!("update run_requests set request = 'x' {}", of("request"))).await;
        let admin = server.admin();
        let listed = admin.get("/v1/runs").await.expect(200);
        assert_eq!(listed["data"].as_array().unwrap().len(), 4);
        assert_eq!(admin.get(&smith.path("/runs")).await.expect(200), listed);
        for (run, is_damaged) in runs.iter().zip([true, false, true, false]) {
            let record = admin.get(&smith.path(&format!("/runs/{run}"))).await.expect(200);
            assert_eq!(record["status"], "completed");
            assert_eq!(record["warnings"][0]["code"] == "content_unreadable", is_damaged, "{record:#}");
        }
        let path = smith.path(&format!("/runs/{}/events", runs[1]));
        let frames = admin.follow(&path, Some(0)).await.collect_until_end().await;
        assert_eq!(frames.last().unwrap().event, "run.completed");
        let replay = smith.path(&format!("/runs/{}/replay", runs[2]));
        admin.post(&replay, &json!({})).await.expect_error(422, "replay_unsupported");
        // The thread goes on without the turn that cannot be read.
        let run = smith.run(&json!({"input": "hello again", "thread_id": "result"})).await;
        assert_eq!(run["status"], "completed");
    }
}

#[tokio::test]
async fn of_a_smith_whose_key_is_damaged_there_are_records_and_an_archive_and_no_streams() {
    for engine in ENGINES {
        let mut server = Setup::on(engine).start().await;
        let smiths = [server.smith(json!({})).await, server.smith(json!({})).await];
        let mut runs = Vec::new();
        for smith in &smiths {
            let run = smith.run(&json!({"input": "hello", "thread_id": "t"})).await;
            runs.push(smith.path(&format!("/runs/{}", run["id"].as_str().unwrap())));
        }
        server.kill().await;
        // The one that was made first.
        server
            .alter("update smiths set data_key = 'x' where id = (select id from smiths order by id limit 1)")
            .await;
        server.start_again().await;
        let admin = server.admin();
        let record = admin.get(&runs[0]).await.expect(200);
        assert_eq!(record["status"], "completed");
        assert_eq!(record["warnings"][0]["code"], "content_unreadable");
        for query in ["", "?after=1", "?follow=false"] {
            let answer = admin.get(&format!("{}/events{query}", runs[0])).await;
            answer.expect_error(422, "resume_failed");
        }
        admin.get(&format!("{}/events?after=x", runs[0])).await.expect_error(400, "invalid_cursor");
        let files = unzipped(&admin.get(&smiths[0].path("/export")).await);
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest["complete"], false);
        let run: Value = serde_json::from_slice(&files["runs.jsonl"]).unwrap();
        assert_eq!(run["thread_id"], "t");
        let frames = admin.follow(&format!("{}/events", runs[1]), None).await.collect_until_end().await;
        assert_eq!(frames.last().unwrap().event, "run.completed");
        // It can be erased like any other.
        admin.post(&smiths[0].path("/erase"), &json!({})).await.expect(200);
        admin.get(&runs[0]).await.expect_error(404, "not_found");
    }
}
