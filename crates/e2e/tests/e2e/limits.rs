//! What bounds a run and a connection, set low enough to be hit.

use std::time::Duration;

use e2e::{Engine, Setup, Smith};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::upstream::{Gate, Reply, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::entries;

const BOTH: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

#[tokio::test]
async fn the_input_of_a_run_is_bounded() {
    for engine in BOTH {
        let server = Setup::on(engine)
            .with_variable("INGRAM_HTTP_MAX_INPUT_TEXT_BYTES", "20")
            .with_variable("INGRAM_HTTP_MAX_INPUT_MESSAGES", "2")
            .with_variable("INGRAM_HTTP_MAX_INPUT_PARTS", "2")
            .with_variable("INGRAM_ENGINE_MAX_SCHEMA_BYTES", "40")
            .start()
            .await;
        let smith = server.smith(json!({"model": "scripted/demo"})).await;
        let message = |content: Value| json!({"role": "user", "content": content});
        let texts = |count: usize| vec![json!({"type": "text", "text": "a"}); count];
        let schema = |schema: Value| json!({"input": "x", "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}});
        let (fits, too_long) = (json!({"title": "x".repeat(28)}), json!({"title": "x".repeat(29)}));
        assert_eq!(fits.to_string().len(), 40);
        for (fits, too_much, code, param) in [
            (json!({"input": "x".repeat(20)}), json!({"input": "x".repeat(21)}), "invalid_input", "input"),
            // Bytes count and not characters, of all messages together.
            (
                json!({"input": [message(json!("äääää")), message(json!("ääääx"))]}),
                json!({"input": [message(json!("äääää")), message(json!("äääääx"))]}),
                "invalid_input",
                "input",
            ),
            (
                json!({"input": vec![message(json!("x")); 2]}),
                json!({"input": vec![message(json!("x")); 3]}),
                "invalid_input",
                "input",
            ),
            (
                json!({"input": [message(texts(2).into())]}),
                json!({"input": [message(texts(3).into())]}),
                "invalid_input",
                "input[0].content",
            ),
            (schema(fits), schema(too_long), "schema_error", "response_format.json_schema.schema"),
        ] {
            let before = entries(&server.admin().get(&smith.path("/runs")).await.expect(200)).len();
            server.admin().post(&smith.path("/runs"), &too_much).await.expect_error_about(422, code, param);
            let after = entries(&server.admin().get(&smith.path("/runs")).await.expect(200)).len();
            assert_eq!(after, before, "no run was stored");
            server.admin().post(&smith.path("/runs"), &fits).await.expect(200);
        }
    }
}

#[tokio::test]
async fn the_answer_of_a_run_and_its_calls_of_the_model_are_bounded() {
    let calls = "[[rule]]\nwhen = { tool = \"none\" }\ntool_calls = [{ name = \"none\", arguments = {} }]\n\
                 [[rule]]\nsay = \"Once more.\"\ntool_calls = [{ name = \"none\", arguments = {} }]\n";
    for engine in BOTH {
        let server = Setup::on(engine)
            .with_variable("INGRAM_ENGINE_MAX_ANSWER_BYTES", "100")
            .with_variable("INGRAM_ENGINE_MAX_MODEL_CALLS", "3")
            .with_script("long", &format!("[[rule]]\nsay = \"{}\"\n", "word ".repeat(40)))
            .with_script("fits", &format!("[[rule]]\nsay = \"{}\"\n", "x".repeat(100)))
            .with_script("calls", calls)
            .start()
            .await;
        let run = async |script: &str| {
            let smith = server.smith(json!({"model": format!("scripted/{script}")})).await;
            smith.run(&json!({"input": "Go."})).await
        };
        assert_eq!(run("fits").await["status"], "completed");
        let cut = run("long").await;
        assert_eq!((&cut["status"], &cut["error"]["code"]), (&json!("failed"), &json!("run_failed")));
        assert!(cut["error"]["message"].as_str().unwrap().contains("engine.max_answer_bytes"), "{cut:#}");
        assert!(cut["output"]["content"].as_str().unwrap().starts_with("word "), "what was said is kept");
        let looped = run("calls").await;
        let ended = (&looped["status"], &looped["error"]["code"]);
        assert_eq!(ended, (&json!("failed"), &json!("tool_loop_failed")));
    }
}

#[tokio::test]
async fn the_past_that_a_model_is_given_is_bounded() {
    for (variable, bound) in [("INGRAM_ENGINE_CONTEXT_TURNS", "1"), ("INGRAM_ENGINE_CONTEXT_TOKENS", "100")] {
        for engine in BOTH {
            let server = Setup::on(engine).with_variable(variable, bound).start().await;
            let upstream = Upstream::start().await;
            let smith = server.smith_on(&upstream).await;
            for word in ["first", "second", "third"] {
                let text = format!("{word} {}", "x".repeat(200));
                smith.run(&json!({"thread_id": "t", "input": text})).await;
            }
            let asked = upstream.last_request().body.to_string();
            assert!(asked.contains("third") && asked.contains("second"), "{asked}");
            assert!(!asked.contains("first"), "{variable}: {asked}");
        }
    }
}

#[tokio::test]
async fn runs_and_followers_of_a_node_are_bounded() {
    for engine in BOTH {
        let server = Setup::on(engine)
            .with_variable("INGRAM_ENGINE_MAX_RUNNING", "1")
            .with_variable("INGRAM_ENGINE_MAX_FOLLOWERS", "1")
            .start()
            .await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::text("At last.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let admin = server.admin();
        let body = json!({"input": "Wait.", "stream": true});
        let stream = admin.stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.wait_for_arrivals(1).await;
        let events = smith.path(&format!("/runs/{}/events", stream.header("ic-run-id")));
        for refused in
            [admin.post(&smith.path("/runs"), &Smith::says("Me too.")).await, admin.get(&events).await]
        {
            refused.expect_error(503, "service_overloaded");
            let seconds: u32 = refused.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds), "{refused}");
        }
        assert_eq!(entries(&admin.get("/v1/runs").await.expect(200)).len(), 1, "nothing was done");
        gate.open();
        assert_eq!(stream.collect_until_end().await.last().unwrap().event, "run.completed");
        // The places are free again a moment after the end is told.
        let mut again = admin.post(&smith.path("/runs"), &Smith::says("Me too.")).await;
        while again.status == 503 {
            again = admin.post(&smith.path("/runs"), &Smith::says("Me too.")).await;
        }
        assert_eq!(again.expect(200)["status"], "completed");
    }
}

#[tokio::test]
async fn connections_and_the_wait_for_a_head_are_bounded() {
    let server = Setup::on(Engine::Sqlite)
        .with_variable("INGRAM_SERVER_MAX_CONNECTIONS", "1")
        .with_variable("INGRAM_SERVER_HEADER_TIMEOUT_MS", "1500")
        .start()
        .await;
    let address = server.base_url().trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: ").await.unwrap();
    let mut next = TcpStream::connect(&address).await.unwrap();
    next.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = timeout(Duration::from_millis(300), next.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "the only place is taken: {answer}");
    // The half head is given up, and its place with it.
    let mut rest = Vec::new();
    timeout(Duration::from_secs(20), slow.read_to_end(&mut rest)).await.unwrap().unwrap();
    timeout(Duration::from_secs(20), next.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
