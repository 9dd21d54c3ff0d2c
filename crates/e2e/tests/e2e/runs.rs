//! Runs: what they answer, remember and refuse.

use e2e::{Engine, Setup, Smith, both};
use serde_json::{Value, json};
use testkit::upstream::{Fault, Gate, Reply, Upstream, Usage};

/// A script that answers at once, whatever is said.
const QUICK: &str = r#"
[[rule]]
say = "You said: {{ last_message }}"
"#;

#[tokio::test]
async fn a_run_answers_with_its_record() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text_in("It is noon.", 3).with_usage(Usage {
            input: 9,
            output: 4,
            ..Usage::default()
        }));
        let smith = server.smith_on(&upstream).await;
        let answer = server
            .admin()
            .post(
                &smith.path("/runs"),
                &json!({
                    "input": [{"role": "user", "content": "What time is it?"}],
                    "metadata": {"z": 1, "a": {"b": [true, null]}},
                    "channel": "support",
                }),
            )
            .await;
        assert!(answer.header("ic-run-id").starts_with("run_"));
        assert!(answer.header("ic-thread-id").starts_with("thr_"));
        let run = answer.expect(200);
        assert_eq!(run["status"], "completed");
        assert_eq!(run["output"], json!({"content": "It is noon."}));
        assert_eq!(run["stop_reason"], "end_turn");
        assert_eq!(run["usage"], json!({"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}));
        assert_eq!(run["channel"], "support");
        assert_eq!(run["metadata"].to_string(), r#"{"z":1,"a":{"b":[true,null]}}"#);
        assert_eq!(run["actor"]["kind"], "tenant");
        assert_eq!(run["warnings"], json!([]));
        let id = run["id"].as_str().unwrap();
        let read = server.admin().get(&smith.path(&format!("/runs/{id}"))).await.expect(200);
        assert_eq!(read, run);
    })
    .await;
}

#[tokio::test]
async fn the_same_thread_keeps_its_context_and_another_one_has_none() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Noted."));
        let smith = server.smith_on(&upstream).await;
        for (thread, text) in [("t1", "My name is Ada."), ("t1", "What is my name?"), ("t2", "And mine?")] {
            let mut body = Smith::says(text);
            body["thread_id"] = thread.into();
            assert_eq!(smith.run(&body).await["thread_id"], thread);
        }
        let said: Vec<Vec<String>> = upstream.requests().iter().map(|request| texts(&request.body)).collect();
        assert_eq!(said[0], ["My name is Ada."]);
        assert_eq!(said[1], ["My name is Ada.", "Noted.", "What is my name?"]);
        assert_eq!(said[2], ["And mine?"]);
    })
    .await;
}

/// Lists the texts of the conversation in a request to the fake provider, without instructions.
fn texts(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap();
    let conversation = messages.iter().filter(|message| message["role"] != "system");
    conversation.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn instructions_and_model_of_the_smith_reach_the_provider() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let smith = server.smith_on(&upstream).await;
        let change = json!({"instructions": "Answer with one word.", "model": "openai_compatible/other"});
        server.admin().patch(&smith.path(""), &change).await.expect(200);
        smith.run(&Smith::says("Is it?")).await;
        let request = upstream.last_request();
        assert_eq!(request.body["model"], "other");
        assert_eq!(request.body["messages"][0]["content"], "Answer with one word.");
        assert_eq!(request.header("authorization"), "Bearer sk-test-canary");
    })
    .await;
}

#[tokio::test]
async fn what_the_provider_refuses_fails_the_run_and_names_no_key() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::status(401));
        let smith = server.smith_on(&upstream).await;
        let run = smith.run(&Smith::says("Hello")).await;
        assert_eq!(run["status"], "failed");
        assert_eq!(run["stop_reason"], "error");
        assert_eq!(run["error"]["code"], "model_request_failed");
        assert!(!run.to_string().contains("sk-test-canary"));
        assert!(!server.log().contains("sk-test-canary"));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_keeps_what_was_said() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::chunks(["Half ", "an ", "answer"]).breaking(Fault::Drop, 2));
        let smith = server.smith_on(&upstream).await;
        let run = smith.run(&Smith::says("Hello")).await;
        assert_eq!(run["status"], "failed");
        assert_eq!(run["output"]["content"], "Half an ");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_comes_back_is_asked_again() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::status(529));
        upstream.answer(Reply::text("Here again."));
        let smith = server.smith_on(&upstream).await;
        assert_eq!(smith.run(&Smith::says("Hello")).await["output"]["content"], "Here again.");
        assert_eq!(upstream.requests().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_run_without_a_key_is_refused_and_not_stored() {
    both(async |server| {
        let smith = server.smith(json!({"model": "gpt-5"})).await;
        let answer = server.admin().post(&smith.path("/runs"), &Smith::says("Hello")).await;
        answer.expect_error_about(422, "model_key_missing", "model");
        let change = json!({"model": "nobodys-model"});
        server.admin().patch(&smith.path(""), &change).await.expect(200);
        let answer = server.admin().post(&smith.path("/runs"), &Smith::says("Hello")).await;
        answer.expect_error_about(422, "unknown_provider", "model");
        assert_eq!(server.admin().get("/v1/runs").await.expect(200)["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_brought_nothing_of_its_own_cannot_be_replayed() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        smith.run(&json!({"input": "Hello", "thread_id": "t"})).await;
        let more = smith.run(&json!({"input": [], "thread_id": "t"})).await;
        let replay = smith.path(&format!("/runs/{}/replay", more["id"].as_str().unwrap()));
        let answer = server.admin().post(&replay, &json!({})).await;
        answer.expect_error(422, "replay_unsupported");
        assert_eq!(server.admin().get("/v1/runs").await.expect(200)["data"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn bad_input_is_named_and_leaves_nothing() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        for (body, code, param) in [
            (json!({"input": 7}), "invalid_input", "input"),
            (json!({"input": [{"role": "system", "content": "x"}]}), "invalid_input", "input[0].role"),
            (json!({"input": [{"role": "user", "content": 7}]}), "invalid_input", "input[0].content"),
            (json!({"input": []}), "invalid_input", "input"),
            (json!({"input": ""}), "invalid_input", "input"),
            (json!({"input": [], "thread_id": "never-used"}), "invalid_input", "input"),
            (json!({"input": "x", "stream": "yes"}), "invalid_input", "stream"),
            (json!({"input": "x", "thread_id": ""}), "invalid_input", "thread_id"),
            (json!({"input": "x", "thread_id": "t".repeat(256)}), "invalid_input", "thread_id"),
            (json!({"input": "x", "metadata": []}), "invalid_input", "metadata"),
            (json!({"input": "x", "channel": 1}), "invalid_input", "channel"),
            (json!({"input": "x", "response_format": {"type": "xml"}}), "invalid_response_format", "response_format.type"),
            (
                json!({"input": "x", "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 7}}}}),
                "schema_error",
                "response_format.json_schema.schema",
            ),
            (
                json!({"input": [{"role": "user", "content": [{"type": "image", "image_url": "data:image/png;base64,?"}]}]}),
                "invalid_input",
                "input[0].content[0].image_url",
            ),
            (
                json!({"input": [{"role": "user", "content": [{"type": "file", "file_id": "file_1111111111111111111111"}]}]}),
                "invalid_input",
                "input[0].content[0].file_id",
            ),
        ] {
            let answer = server.admin().post(&smith.path("/runs"), &body).await;
            answer.expect_error_about(422, code, param);
        }
        let with_thread = json!({"input": "x", "thread_id": "t", "response_format": {"type": "json_object"}});
        let answer = server.admin().post(&smith.path("/runs"), &with_thread).await;
        answer.expect_error_about(400, "invalid_response_format", "response_format");
        assert_eq!(server.admin().get("/v1/runs").await.expect(200)["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn runs_on_one_thread_follow_each_other_in_order() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::text("First.").through(&gate));
        upstream.answer_otherwise(Reply::text("Later."));
        let smith = server.smith_on(&upstream).await;
        let body = |text: &str| {
            let mut body = Smith::says(text);
            body["thread_id"] = "lane".into();
            body["stream"] = true.into();
            body
        };
        let client = server.admin();
        let mut streams =
            vec![client.stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body("1"))).await];
        streams[0].take(1).await;
        for text in ["2", "3"] {
            streams.push(client.stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body(text))).await);
        }
        let waiting = client.get(&smith.path("/runs?status=queued")).await.expect(200);
        assert_eq!(waiting["data"].as_array().unwrap().len(), 2);
        let elsewhere = smith.run(&Smith::says("meanwhile")).await;
        assert_eq!(elsewhere["status"], "completed");
        gate.open();
        let ids: Vec<String> = streams.iter().map(|stream| stream.header("ic-run-id").to_owned()).collect();
        for stream in streams {
            let frames = stream.collect_until_end().await;
            assert_eq!(frames.last().unwrap().event, "run.completed");
        }
        let said: Vec<String> =
            upstream.requests().iter().map(|request| texts(&request.body).pop().unwrap()).collect();
        assert_eq!(said.iter().filter(|text| *text != "meanwhile").collect::<Vec<_>>(), ["1", "2", "3"]);
        let mut sorted = ids.clone();
        sorted.sort();
        assert_eq!(ids, sorted);
    })
    .await;
}

#[tokio::test]
async fn the_seventeenth_run_that_would_wait_is_refused() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer_otherwise(Reply::text("Done.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "x", "thread_id": "lane", "stream": true});
        let mut streams = Vec::new();
        for _ in 0..17 {
            streams
                .push(server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await);
        }
        let refused = server.admin().post(&smith.path("/runs"), &body).await;
        refused.expect_error(429, "concurrency_limit_exceeded");
        gate.open();
        for stream in streams {
            assert_eq!(stream.collect_until_end().await.last().unwrap().event, "run.completed");
        }
    })
    .await;
}

#[tokio::test]
async fn structured_output_conforms_or_is_repaired_once_or_fails() {
    both(async |server| {
        let upstream = Upstream::start().await;
        let smith = server.smith_on(&upstream).await;
        let body = json!({
            "input": "Where?",
            "response_format": {"type": "json_schema", "json_schema": {"name": "place", "strict": true, "schema": {
                "type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}},
        });
        upstream.answer(Reply::text(r#"{"city":"Paris"}"#));
        let run = smith.run(&body).await;
        assert_eq!(run["output"], json!({"content": r#"{"city":"Paris"}"#, "content_type": "application/json"}));
        upstream.answer(Reply::text("In Paris."));
        upstream.answer(Reply::text(r#"{"city":"Rome"}"#));
        assert_eq!(smith.run(&body).await["output"]["content"], r#"{"city":"Rome"}"#);
        upstream.answer_otherwise(Reply::text("No idea."));
        let run = smith.run(&body).await;
        assert_eq!((run["status"].as_str(), run["error"]["code"].as_str()), (Some("failed"), Some("structured_output_failed")));
        assert_eq!(upstream.requests().len(), 5);
    })
    .await;
}

#[tokio::test]
async fn images_and_files_reach_the_provider_and_are_kept_by_id() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("A dot."));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"thread_id": "t", "input": [{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "image_url": "data:image/png;base64,AQID"},
        ]}]});
        let run = smith.run(&body).await;
        let image = &run["input"][0]["content"][1];
        assert_eq!(image["type"], "image");
        let file = image["file_id"].as_str().unwrap();
        assert!(file.starts_with("file_"));
        assert!(upstream.last_request().body.to_string().contains("data:image/png;base64,AQID"));
        let again = json!({"input": [{"role": "user", "content": [{"type": "image", "file_id": file}]}]});
        assert_eq!(smith.run(&again).await["status"], "completed");
        let stranger = server.smith(json!({"model": "openai_compatible/mock"})).await;
        let answer = server.admin().post(&stranger.path("/runs"), &again).await;
        answer.expect_error_about(422, "invalid_input", "input[0].content[0].file_id");
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_run_stops_the_provider_and_says_so_everywhere() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::chunks(["Half ", "an ", "answer"]).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "x", "stream": true, "thread_id": "t"});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.release(1);
        stream.take_until("message.delta").await;
        let id = stream.header("ic-run-id").to_owned();
        let under_way = server.admin().get(&smith.path(&format!("/runs/{id}"))).await.expect(200);
        assert_eq!(
            (&under_way["status"], &under_way["output"]),
            (&json!("running"), &json!({"content": "Half "})),
            "what it has said so far is shown"
        );
        let submit = smith.path(&format!("/runs/{id}/submit"));
        let cancel = json!({"kind": "cancel", "reason": "enough"});
        for _ in 0..2 {
            let acknowledged = server.admin().post(&submit, &cancel).await.expect(200);
            assert_eq!(acknowledged, json!({"id": id, "status": "cancelled"}));
        }
        let frames = stream.drain().await;
        assert_eq!(frames.last().unwrap().event, "run.cancelled");
        assert_eq!(frames.last().unwrap().text("reason"), "enough");
        upstream.wait_for_abandoned(1).await;
        let run = server.admin().get(&smith.path(&format!("/runs/{id}"))).await.expect(200);
        assert_eq!(
            (run["status"].as_str(), run["output"]["content"].as_str()),
            (Some("cancelled"), Some("Half "))
        );
        // The lane is free again, and the thread knows what had been said.
        upstream.answer_otherwise(Reply::text("Fine."));
        assert_eq!(smith.run(&json!({"input": "And now?", "thread_id": "t"})).await["status"], "completed");
        assert_eq!(texts(&upstream.last_request().body), ["x", "Half ", "And now?"]);
    })
    .await;
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled_and_what_does_not_wait_takes_no_answer() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let run = smith.run(&Smith::says("hello")).await;
        let submit = smith.path(&format!("/runs/{}/submit", run["id"].as_str().unwrap()));
        let admin = server.admin();
        for body in [
            json!({"kind": "cancel"}),
            json!({"kind": "tool_result", "tool_call_id": "c1", "result": {}}),
            json!({"kind": "approval_decision", "approval_id": "apr_11111111111111111111zz", "decision": "approve"}),
        ] {
            admin.post(&submit, &body).await.expect_error(409, "run_not_paused");
        }
        admin.post(&submit, &json!({"kind": "other"})).await.expect_error_about(422, "invalid_kind", "kind");
        let undecided = json!({"kind": "approval_decision", "approval_id": "apr_1", "decision": "maybe"});
        admin.post(&submit, &undecided).await.expect_error_about(422, "invalid_decision", "decision");
        let incomplete = json!({"kind": "tool_result"});
        admin.post(&submit, &incomplete).await.expect_error_about(422, "invalid_input", "tool_call_id");
    })
    .await;
}

#[tokio::test]
async fn a_queued_run_can_be_cancelled_before_its_turn() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer_otherwise(Reply::text("Done.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "x", "thread_id": "lane", "stream": true});
        let admin = server.admin();
        let first = admin.stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        let second = admin.stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        let id = second.header("ic-run-id").to_owned();
        admin.post(&smith.path(&format!("/runs/{id}/submit")), &json!({"kind": "cancel"})).await.expect(200);
        let frames = second.collect_until_end().await;
        let events: Vec<&str> = frames.iter().map(|frame| frame.event.as_str()).collect();
        assert_eq!(events, ["run.started", "run.cancelled"]);
        gate.open();
        assert_eq!(first.collect_until_end().await.last().unwrap().event, "run.completed");
    })
    .await;
}

#[tokio::test]
async fn a_replay_repeats_the_input_with_the_configuration_of_then() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        server.admin().patch(&smith.path(""), &json!({"instructions": "Then."})).await.expect(200);
        let run = smith.run(&Smith::says("Hi")).await;
        server.admin().patch(&smith.path(""), &json!({"instructions": "Now."})).await.expect(200);
        let id = run["id"].as_str().unwrap();
        let replay =
            server.admin().post(&smith.path(&format!("/runs/{id}/replay")), &json!({})).await.expect(200);
        assert_eq!(replay["metadata"]["replay"], json!({"run_id": id, "deterministic": true}));
        assert_ne!(replay["thread_id"], run["thread_id"]);
        assert_eq!(replay["input"], run["input"]);
        assert_eq!(upstream.last_request().body["messages"][0]["content"], "Then.");
    })
    .await;
}

#[tokio::test]
async fn a_key_starts_one_run_however_often_it_is_sent() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer_otherwise(Reply::text("Once.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let client = server.admin().with_header("idempotency-key", "k1");
        let body = json!({"input": "x", "stream": true});
        let mut stream = client.stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        stream.take(1).await;
        let id = stream.header("ic-run-id").to_owned();
        let duplicate = client.stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        assert_eq!(duplicate.header("idempotency-replayed"), "true");
        let frames = duplicate.collect_until_end().await;
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].event.as_str(), frames[0].text("run_id")), ("run.duplicate", id.as_str()));
        let other = client.post(&smith.path("/runs"), &json!({"input": "y", "stream": true})).await;
        other.expect_error(409, "idempotency_key_reused");
        gate.open();
        stream.drain().await;
        assert_eq!(upstream.requests().len(), 1);

        let waiting = server.admin().with_header("idempotency-key", "k2");
        let body = json!({"input": "x"});
        let record = waiting.post(&smith.path("/runs"), &body).await.expect(200);
        let again = waiting.post(&smith.path("/runs"), &body).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.expect(200), record);
    })
    .await;
}

#[tokio::test]
async fn a_sync_request_whose_key_is_at_work_is_told_to_come_back() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer_otherwise(Reply::text("Once.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let client = server.admin().with_header("idempotency-key", "k");
        let (path, body) = (smith.path("/runs"), json!({"input": "x"}));
        let first = client.post(&path, &body);
        let second = async {
            gate.wait_for_arrivals(1).await;
            client.post(&path, &body).await.expect_error(409, "idempotency_in_progress");
            gate.open();
        };
        let (first, ()) = futures::future::join(first, second).await;
        first.expect(200);
    })
    .await;
}

#[tokio::test]
async fn lists_of_runs_are_filtered_and_paged() {
    both(async |server| {
        let smith = server.smith(json!({"external_id": "user_1"})).await;
        let other = server.smith(json!({"external_id": "visitor_1"})).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.insert(0, smith.run(&Smith::says("hello")).await["id"].clone());
        }
        other.run(&Smith::says("hello")).await;
        let admin = server.admin();
        let page = admin.get(&smith.path("/runs?limit=2")).await.expect(200);
        assert_eq!(page["has_more"], true);
        let first: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|run| &run["id"]).collect();
        assert_eq!(first, ids[..2].iter().collect::<Vec<_>>());
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = admin.get(&smith.path(&format!("/runs?limit=2&cursor={cursor}"))).await.expect(200);
        assert_eq!((rest["data"][0]["id"].clone(), &rest["next_cursor"]), (ids[2].clone(), &Value::Null));
        admin.get(&format!("/v1/runs?cursor={cursor}")).await.expect_error_about(
            400,
            "invalid_cursor",
            "cursor",
        );
        let count = async |query: &str| {
            admin.get(&format!("/v1/runs{query}")).await.expect(200)["data"].as_array().unwrap().len()
        };
        assert_eq!(count("").await, 4);
        assert_eq!(count("?external_id_prefix=user").await, 3);
        assert_eq!(count("?external_id_prefix=user_2").await, 0);
        assert_eq!(count("?status=completed").await, 4);
        assert_eq!(count("?status=nonsense").await, 0);
        assert_eq!(count(&format!("?smith_id={}", other.id)).await, 1);
        assert_eq!(count("?smith_id=nonsense").await, 0);
        let own = server.smith_client(&smith, &["runs:read"]).await;
        let foreign = own.with_header("ic-smith-id", &other.id);
        foreign.get("/v1/runs").await.expect_error(403, "smith_mismatch");
        assert_eq!(own.get("/v1/runs").await.expect(200)["data"].as_array().unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_setting_that_the_server_cannot_serve_is_a_warning_of_the_run() {
    let server = Setup::on(Engine::Sqlite).with_script("quick", QUICK).start().await;
    let smith = server
        .smith(
            json!({"model": "scripted/quick", "enabled_hosted_tools": ["file_search"], "auto_memory": true}),
        )
        .await;
    let run = smith.run(&Smith::says("hi")).await;
    assert_eq!(run["output"]["content"], "You said: hi");
    let codes: Vec<&str> =
        run["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["memory_unavailable", "tool_unavailable"]);
}
