//! What bounds a run and a connection, set low enough to be hit.

use std::time::Duration;

use e2e::{Engine, Server, Setup, Smith};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::Answer;
use testkit::sse::Reader;
use testkit::upstream::{Gate, Reply, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{entries, number};

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
async fn the_calls_of_one_answer_are_bounded_in_number_and_in_bytes() {
    let calls = |count: usize, argument: &str| {
        let call = format!("{{ name = \"none\", arguments = {{ text = \"{argument}\" }} }}");
        format!("[[rule]]\ntool_calls = [{}]\n", vec![call; count].join(", "))
    };
    for engine in BOTH {
        let server = Setup::on(engine)
            .with_variable("INGRAM_ENGINE_MAX_CALLS_PER_ANSWER", "1")
            .with_variable("INGRAM_ENGINE_MAX_ANSWER_BYTES", "2000")
            .with_variable("INGRAM_ENGINE_MAX_MODEL_CALLS", "2")
            .with_script("some", &calls(8, "x"))
            .with_script("many", &calls(9, "x"))
            .with_script("large", &calls(1, &"x".repeat(2_000)))
            .start()
            .await;
        let ended = async |script: &str| {
            let smith = server.smith(json!({"model": format!("scripted/{script}")})).await;
            let run = smith.run(&json!({"input": "Go."})).await;
            let error = &run["error"];
            (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
        };
        assert_eq!(ended("some").await.0, "tool_loop_failed", "the calls that are too many are answered");
        let (code, message) = ended("many").await;
        assert!(code == "run_failed" && message.contains("engine.max_calls_per_answer"), "{code} {message}");
        let (code, message) = ended("large").await;
        assert!(code == "run_failed" && message.contains("engine.max_answer_bytes"), "{code} {message}");
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

/// A server with a run under way that somebody follows, and that waits for its model.
struct Busy {
    server: Server,
    smith: Smith,
    upstream: Upstream,
    stream: Reader,
    gate: Gate,
}

impl Busy {
    async fn start(setup: Setup) -> Self {
        let server = setup.start().await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::text("At last.").through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "Wait.", "stream": true});
        let stream = server.admin().stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.wait_for_arrivals(1).await;
        Self { server, smith, upstream, stream, gate }
    }

    /// Sends what would start a run, in each way that there is, and sees it refused with nothing done.
    async fn refuses_another_run(&self) {
        let admin = self.server.admin();
        let chat = json!({"user": "somebody new", "messages": [{"role": "user", "content": "Me too."}]});
        let response = json!({"user": "somebody new", "input": "Me too."});
        for (path, body) in [
            (self.smith.path("/runs"), Smith::says("Me too.")),
            ("/v1/chat/completions".to_owned(), chat),
            ("/v1/responses".to_owned(), response),
        ] {
            is_refused(&admin.post(&path, &body).await);
        }
        assert_eq!(entries(&admin.get("/v1/runs").await.expect(200)).len(), 1, "nothing was done");
        let smiths = admin.get("/v1/smiths").await.expect(200);
        assert_eq!(entries(&smiths).len(), 1, "nobody was made for it: {smiths}");
    }

    /// Lets the run end, and then another have its place.
    async fn makes_room(self) {
        self.gate.open();
        assert_eq!(self.stream.collect_until_end().await.last().unwrap().event, "run.completed");
        let admin = self.server.admin();
        // The places are free again a moment after the end is told.
        let mut again = admin.post(&self.smith.path("/runs"), &Smith::says("Me too.")).await;
        while again.status == 503 {
            again = admin.post(&self.smith.path("/runs"), &Smith::says("Me too.")).await;
        }
        assert_eq!(again.expect(200)["status"], "completed");
    }
}

fn is_refused(answer: &Answer) {
    answer.expect_error(503, "service_overloaded");
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{answer}");
}

#[tokio::test]
async fn runs_of_a_node_are_bounded() {
    for engine in BOTH {
        let busy = Busy::start(Setup::on(engine).with_variable("INGRAM_ENGINE_MAX_RUNNING", "1")).await;
        busy.refuses_another_run().await;
        busy.makes_room().await;
    }
}

#[tokio::test]
async fn a_run_that_nobody_could_follow_is_not_started() {
    for engine in BOTH {
        let setup = Setup::on(engine).with_variable("INGRAM_DEFAULT_MODEL", "openai_compatible/mock");
        let busy = Busy::start(setup.with_variable("INGRAM_ENGINE_MAX_FOLLOWERS", "1")).await;
        let admin = busy.server.admin();
        let events = busy.smith.path(&format!("/runs/{}/events", busy.stream.header("ic-run-id")));
        is_refused(&admin.get(&events).await);
        busy.refuses_another_run().await;
        // A response in the background has no follower.
        busy.upstream.answer(Reply::text("Unseen."));
        let unseen = json!({"user": "somebody new", "input": "Go on.", "background": true});
        admin.post("/v1/responses", &unseen).await.expect(200);
        busy.makes_room().await;
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

#[tokio::test]
async fn what_waits_for_its_commit_is_bounded() {
    for engine in BOTH {
        let server = Setup::on(engine).with_variable("INGRAM_ENGINE_MAX_PENDING_BYTES", "25").start().await;
        let upstream = Upstream::start().await;
        upstream.answer(Reply::chunks(vec!["ten bytes "; 100]));
        let smith = server.smith_on(&upstream).await;
        // Nobody follows it, so that all of it would wait for its end and be a commit or two.
        let run = smith.run(&Smith::says("Go on.")).await;
        assert_eq!(run["output"]["content"].as_str().unwrap().len(), 1_000, "{run:#}");
        let frames = number(&server, "select max(seq_to) from run_frames").await;
        assert!(frames > 100, "{frames}");
        // Three words are more than fits; with the last ones comes the end.
        let longest = number(&server, "select max(seq_to - seq_from + 1) from run_frames").await;
        assert!((3..=5).contains(&longest), "{longest}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_by_its_status_alone() {
    let server = Setup::on(Engine::Sqlite).start().await;
    let address = server.base_url().trim_start_matches("http://").to_owned();
    let fits = format!("x-filler: {}\r\n", "x".repeat(15 * 1024));
    let too_long = format!("x-filler: {}\r\n", "x".repeat(17 * 1024));
    let too_many: String = (0..101).map(|number| format!("x-{number}: x\r\n")).collect();
    for (headers, status) in [(fits, "200 OK"), (too_long, "431 "), (too_many, "431 ")] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!("GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        // The server may have answered and gone before all of it was sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body.is_empty(), status != "200 OK", "{answer}");
    }
}

/// Lets several requests write at once while nothing can be written, and counts those that are answered 503 and then 201.
async fn refused_and_kept(server: &Server, requests: usize, refused: usize, let_go: impl AsyncFnOnce()) {
    let admin = server.admin();
    let body = json!({});
    let mut answers: FuturesUnordered<_> = (0..requests).map(|_| admin.post("/v1/smiths", &body)).collect();
    for _ in 0..refused {
        // Long before SQLite or PostgreSQL would give up by themselves, and before the time that is the default.
        let answer = timeout(Duration::from_secs(4), answers.next()).await.unwrap().unwrap();
        answer.expect_error(503, "storage_unavailable");
    }
    let_go().await;
    let rest: Vec<u16> = answers.map(|answer| answer.status).collect().await;
    assert!(rest.contains(&201), "{rest:?} {}", server.log());
}

#[tokio::test]
async fn batches_that_wait_for_the_writer_are_bounded_and_so_is_the_wait_for_a_place() {
    let server = Setup::on(Engine::Sqlite)
        .with_variable("INGRAM_DATABASE_QUEUE", "1")
        .with_variable("INGRAM_DATABASE_WAIT_MS", "1000")
        .start()
        .await;
    server.smith(json!({})).await;
    let other = rusqlite::Connection::open(server.data().join("ingram.db")).unwrap();
    other.execute_batch("begin immediate").unwrap();
    // At most two are with the writer, and one waits for it.
    refused_and_kept(&server, 8, 5, async || other.execute_batch("rollback").unwrap()).await;
    assert!(server.log().contains("the writer's queue is full"), "{}", server.log());
}

#[tokio::test]
async fn the_wait_for_a_connection_is_bounded() {
    let server = Setup::on(Engine::Postgres)
        .with_variable("INGRAM_DATABASE_CONNECTIONS", "1")
        .with_variable("INGRAM_DATABASE_WAIT_MS", "1000")
        .start()
        .await;
    server.smith(json!({})).await;
    let mut other = server.database().unwrap().client().await;
    let held = other.transaction().await.unwrap();
    held.batch_execute("lock table smiths in exclusive mode").await.unwrap();
    // One has the connection.
    refused_and_kept(&server, 4, 3, async || held.rollback().await.unwrap()).await;
}
