//! Tools that the caller carries out: the run pauses until the results are there.

use e2e::{Engine, Setup, Smith, both};
use reqwest::Method;
use serde_json::json;
use testkit::upstream::{Gate, Reply, Upstream};

use super::{asks_for, events, register, results, smith_with, submit, submit_path};
use crate::support::id;

#[tokio::test]
async fn a_run_pauses_for_an_external_tool_and_goes_on_with_its_result() {
    both(async |server| {
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "read_meter", 7));
        upstream.answer(Reply::text("42 kWh."));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let run = smith.run(&Smith::says("Read meter 7")).await;
        assert_eq!(run["status"], "paused_for_tool");
        let pending = json!([{"tool_call_id": "c1", "tool": "read_meter", "args": {"amount": 7}}]);
        assert_eq!(run["output"]["tool_calls"], pending);
        let result = json!({"kind": "tool_result", "tool_call_id": "c1", "result": {"kwh": 42}});
        let run = submit(&server, &smith, &run, &result).await;
        assert_eq!((&run["status"], &run["output"]["content"]), (&json!("completed"), &json!("42 kWh.")));
        assert!(run["output"].get("tool_calls").is_none());
        assert_eq!(results(&upstream), [("c1".to_owned(), r#"{"kwh":42}"#.to_owned())]);
        assert_eq!(
            events(&server, &smith, &run).await,
            ["run.started", "run.paused", "message.delta", "message.completed", "run.completed"]
        );
    })
    .await;
}

#[tokio::test]
async fn results_may_come_one_by_one_or_together_and_the_model_goes_on_with_the_last() {
    both(async |server| {
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let upstream = Upstream::start().await;
        let both_calls =
            asks_for("c1", "read_meter", 1).and_tool_call("c2", "read_meter", json!({"amount": 2}));
        upstream.answer(both_calls.and_tool_call("c3", "read_meter", json!({"amount": 3})));
        upstream.answer(Reply::text("Six."));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let run = smith.run(&Smith::says("Read all")).await;
        assert_eq!(run["output"]["tool_calls"].as_array().unwrap().len(), 3);
        let second = json!({"kind": "tool_result", "tool_call_id": "c2", "result": {"kwh": 2}});
        let still = submit(&server, &smith, &run, &second).await;
        assert_eq!(still["status"], "paused_for_tool");
        assert_eq!(still["output"]["tool_calls"][0]["tool_call_id"], "c1");
        assert_eq!(upstream.requests().len(), 1);
        let rest = json!({"kind": "tool_result", "results": [
            {"tool_call_id": "c1", "result": "one"},
            {"tool_call_id": "c3", "result": [3], "is_error": true},
        ]});
        let run = submit(&server, &smith, &run, &rest).await;
        assert_eq!(run["output"]["content"], "Six.");
        let given: Vec<_> = results(&upstream).into_iter().map(|(_, output)| output).collect();
        assert_eq!(given, ["one", r#"{"kwh":2}"#, "[3]"]);
    })
    .await;
}

#[tokio::test]
async fn a_submission_streams_the_frames_that_follow_it() {
    both(async |server| {
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "read_meter", 7));
        upstream.answer(Reply::text_in("42 kWh.", 2));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let run = smith.run(&Smith::says("Read meter 7")).await;
        let result =
            json!({"kind": "tool_result", "tool_call_id": "c1", "result": {"kwh": 42}, "stream": true});
        let path = submit_path(&smith, &run);
        let stream = server.admin().stream(Method::POST, &path, Some(&result)).await;
        let frames = stream.collect_until_end().await;
        let told: Vec<_> = frames.iter().map(|frame| frame.event.as_str()).collect();
        assert_eq!(told, ["message.delta", "message.delta", "message.completed", "run.completed"]);
        assert_eq!(frames[0].id, Some(2));
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_where_the_run_stands_is_refused_and_changes_nothing() {
    both(async |server| {
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "read_meter", 7));
        upstream.answer_otherwise(Reply::text("Done."));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let run = smith.run(&Smith::says("Read meter 7")).await;
        let path = submit_path(&smith, &run);
        let post = async |body: serde_json::Value| server.admin().post(&path, &body).await;
        let unknown = post(json!({"kind": "tool_result", "tool_call_id": "c9", "result": {}})).await;
        unknown.expect_error_about(422, "invalid_input", "tool_call_id");
        let twice = json!([{"tool_call_id": "c1", "result": 1}, {"tool_call_id": "c1", "result": 2}]);
        let twice = post(json!({"kind": "tool_result", "results": twice})).await;
        twice.expect_error_about(422, "invalid_input", "results[1].tool_call_id");
        for (results, param) in [
            (json!([{"result": 1}]), "results[0].tool_call_id"),
            (json!([{"tool_call_id": "c1"}]), "results[0].result"),
            (json!([{"tool_call_id": "c1", "result": 1, "is_error": "no"}]), "results[0].is_error"),
            (json!(vec![json!({"tool_call_id": "c1", "result": 1}); 101]), "results"),
        ] {
            let refused = post(json!({"kind": "tool_result", "results": results})).await;
            refused.expect_error_about(422, "invalid_input", param);
        }
        let result = json!({"kind": "tool_result", "tool_call_id": "c1", "result": {}});
        post(result.clone()).await.expect(200);
        post(result).await.expect_error(409, "run_not_paused");
    })
    .await;
}

#[tokio::test]
async fn a_result_whose_run_nobody_could_follow_is_not_taken() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("INGRAM_ENGINE_MAX_FOLLOWERS", "1").start().await;
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(asks_for("c1", "read_meter", 7));
        upstream.answer(Reply::text("At last.").through(&gate));
        upstream.answer(Reply::text("42 kWh."));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let paused = smith.run(&Smith::says("Read meter 7")).await;
        let other = json!({"input": "Wait.", "stream": true});
        let stream = server.admin().stream(Method::POST, &smith.path("/runs"), Some(&other)).await;
        gate.wait_for_arrivals(1).await;
        let path = submit_path(&smith, &paused);
        let result = json!({"kind": "tool_result", "tool_call_id": "c1", "result": {"kwh": 42}});
        server.admin().post(&path, &result).await.expect_error(503, "service_overloaded");
        let run = server.admin().get(&smith.path(&format!("/runs/{}", id(&paused)))).await.expect(200);
        assert_eq!(run["status"], "paused_for_tool", "nothing was done");
        gate.open();
        stream.collect_until_end().await;
        // The place is free again a moment after the end is told.
        let mut taken = server.admin().post(&path, &result).await;
        while taken.status == 503 {
            taken = server.admin().post(&path, &result).await;
        }
        assert_eq!(taken.expect(200)["output"]["content"], "42 kWh.");
    }
}

#[tokio::test]
async fn a_thread_whose_run_is_paused_takes_no_other_and_names_the_run() {
    both(async |server| {
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "read_meter", 7));
        upstream.answer_otherwise(Reply::text("Done."));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let start = json!({"input": "Read meter 7", "thread_id": "lane"});
        let run = smith.run(&start).await;
        let refused = server.admin().post(&smith.path("/runs"), &start).await;
        assert_eq!(refused.header("x-should-retry"), "false");
        refused.expect_error(409, "conversation_locked");
        let message = refused.error("message");
        assert!(message.contains(run["id"].as_str().unwrap()), "{message}");
        let other = smith.run(&json!({"input": "x", "thread_id": "other"})).await;
        assert_eq!(other["status"], "completed", "other threads go on");
        let cancelled = submit(&server, &smith, &run, &json!({"kind": "cancel"})).await;
        assert_eq!(cancelled["status"], "cancelled");
        assert_eq!(smith.run(&start).await["status"], "completed", "the lane is free again");
        let given = results(&upstream);
        assert!(given[0].1.contains("cancelled"), "the model learns what became of its call: {given:?}");
    })
    .await;
}

#[tokio::test]
async fn a_repeated_submission_with_its_key_has_its_effect_once() {
    both(async |server| {
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "read_meter", 7));
        upstream.answer_otherwise(Reply::text("Done."));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let run = smith.run(&Smith::says("Read meter 7")).await;
        let keyed = server.admin().with_header("idempotency-key", "once");
        let result = json!({"kind": "tool_result", "tool_call_id": "c1", "result": {}});
        let first = keyed.post(&submit_path(&smith, &run), &result).await.expect(200);
        let again = keyed.post(&submit_path(&smith, &run), &result).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.expect(200), first);
        assert_eq!(upstream.requests().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_submitted_result_that_is_too_long_is_cut_like_any_other() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let limit = "[engine]\nmax_tool_result_bytes = 64\n";
        let server = Setup::on(engine).with_configuration(limit).start().await;
        register(&server, "read_meter", json!({"execution": "external"})).await;
        let upstream = Upstream::start().await;
        upstream.answer(asks_for("c1", "read_meter", 7));
        upstream.answer(Reply::text("Done."));
        let smith = smith_with(&server, &upstream, &["read_meter"]).await;
        let run = smith.run(&Smith::says("Read meter 7")).await;
        let long = json!([{"tool_call_id": "c1", "result": "x".repeat(500)}]);
        submit(&server, &smith, &run, &json!({"kind": "tool_result", "results": long})).await;
        let given = results(&upstream).remove(0).1;
        assert!(given.contains("[Cut here: the result had 500 bytes, and 64"), "{given}");
    }
}
