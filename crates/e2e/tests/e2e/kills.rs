//! Kills at random moments of streaming runs, counted.

use std::fmt;
use std::time::Duration;

use e2e::{Engine, Server, Setup};
use rand::RngExt as _;
use reqwest::Method;
use serde_json::json;
use testkit::sse::{Frame, text_of};

use crate::support::pages;

/// A short lease, so that a replica's death on PostgreSQL is noticed quickly.
const LEASE: &str = "[engine]\nlease_ms = 400\n";
const SCRIPT: &str = "[[rule]]\nsay = \"The quick brown fox jumps over the lazy dog and runs on through the wood until it is night.\"\nchunk = \"words\"\nchunk_delay_ms = 8\n";
/// How many runs a round starts, on half as many threads.
const RUNS: usize = 6;
/// After how many rounds the runs are let to their end, so that no thread has more of them waiting than may.
const REST: usize = 4;

/// What a client has seen of a run, across connections and servers.
pub(crate) struct Client {
    pub(crate) path: String,
    pub(crate) seen: Vec<Frame>,
}

impl Client {
    pub(crate) fn new(path: String) -> Self {
        Self { path, seen: Vec::new() }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.seen.last().is_some_and(|frame| {
            frame.event.starts_with("run.") && frame.event != "run.started" && frame.event != "run.resumed"
        })
    }

    /// Reads on until the connection breaks or the run ends.
    pub(crate) async fn read_on(&mut self, server: &Server) {
        while !self.is_done() {
            let last = self.seen.last().and_then(|frame| frame.id);
            let path = match last {
                Some(last) => format!("{}?after={last}", self.path),
                None => self.path.clone(),
            };
            let Ok(Ok(mut stream)) = server.admin().stream_or_break(Method::GET, &path, None).await else {
                return;
            };
            let before = self.seen.len();
            while let Some(frame) = stream.next().await {
                self.seen.push(frame);
            }
            if self.seen.len() == before {
                return;
            }
        }
    }
}

/// What many kills have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    kills: usize,
    runs: usize,
    runs_lost_or_doubled: usize,
    runs_not_ended: usize,
    runs_resumed: usize,
    runs_given_up: usize,
    frames_seen: usize,
    frames_lost: usize,
    frames_changed: usize,
    frames_doubled: usize,
    frames_reordered: usize,
    texts_wrong: usize,
}

impl fmt::Display for Counters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} kills, {} runs ({} lost or doubled, {} not ended, {} repeated a model call, {} given up), {} frames seen \
             ({} lost, {} changed, {} doubled, {} out of order), {} final texts wrong",
            self.kills,
            self.runs,
            self.runs_lost_or_doubled,
            self.runs_not_ended,
            self.runs_resumed,
            self.runs_given_up,
            self.frames_seen,
            self.frames_lost,
            self.frames_changed,
            self.frames_doubled,
            self.frames_reordered,
            self.texts_wrong
        )
    }
}

impl Counters {
    /// Whether every promise was kept.
    fn is_clean(&self) -> bool {
        let broken = [
            self.runs_lost_or_doubled,
            self.runs_not_ended,
            self.frames_lost,
            self.frames_changed,
            self.frames_doubled,
            self.frames_reordered,
            self.texts_wrong,
        ];
        broken.iter().all(|count| *count == 0)
    }

    /// Compares what a client saw with what is stored.
    fn compare(&mut self, seen: &[Frame], stored: &[Frame]) {
        self.runs += 1;
        self.frames_seen += seen.len();
        let mut last = None;
        for frame in seen {
            match stored.iter().find(|stored| stored.id == frame.id) {
                None => self.frames_lost += 1,
                Some(stored) => self.frames_changed += usize::from(stored != frame),
            }
            self.frames_doubled += usize::from(last == Some(frame.id));
            self.frames_reordered += usize::from(last.is_some_and(|last| frame.id < last));
            last = Some(frame.id);
        }
        // What is stored behind the last frame that the client has seen, or between two of them, it has not been given.
        self.frames_lost +=
            stored.iter().filter(|stored| seen.iter().all(|frame| frame.id != stored.id)).count();
        let in_order = (0..stored.len() as u64).map(Some).eq(stored.iter().map(|frame| frame.id));
        self.frames_reordered += usize::from(!in_order);
        self.runs_resumed += usize::from(stored.iter().any(|frame| frame.event == "run.resumed"));
        let Some(end) = stored.last() else {
            self.runs_not_ended += 1;
            return;
        };
        match end.event.as_str() {
            "run.completed" => {
                let content = stored[stored.len() - 2].text("content");
                self.texts_wrong += usize::from(text_of(stored) != content);
            }
            "run.failed" if end.text("code") == "resume_failed" => self.runs_given_up += 1,
            _ => self.runs_not_ended += 1,
        }
    }
}

/// Kills the server at random moments of streaming runs, and compares what clients saw with what is stored.
async fn kills(engine: Engine, rounds: usize) -> Counters {
    let slow = SCRIPT.replace("chunk_delay_ms = 8", "chunk_delay_ms = 120");
    let setup =
        Setup::on(engine).with_configuration(LEASE).with_script("fox", SCRIPT).with_script("slow", &slow);
    let mut server = setup.start().await;
    let smith = server.smith(json!({"model": "scripted/fox"})).await;
    let slow = server.smith(json!({"model": "scripted/slow"})).await;
    let mut clients = Vec::new();
    let mut counters = Counters::default();
    for round in 0..rounds {
        for run in 0..RUNS {
            let body = json!({"input": "go", "stream": true, "thread_id": format!("{}", run % 3)});
            let client = server.admin().with_header("idempotency-key", &format!("{round}-{run}"));
            let stream = client.stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
            let path = smith.path(&format!("/runs/{}/events", stream.header("ic-run-id")));
            clients.push(Client::new(path));
        }
        if round == 0 {
            // The first kill surely hits a run under way: this one takes seconds, and has just begun to speak.
            let body = json!({"input": "go", "stream": true});
            let mut stream = server.admin().stream(Method::POST, &slow.path("/runs"), Some(&body)).await;
            stream.take_until("message.delta").await;
            clients.push(Client::new(slow.path(&format!("/runs/{}/events", stream.header("ic-run-id")))));
        }
        let moment = Duration::from_millis(if round == 0 { 0 } else { rand::rng().random_range(0..400) });
        {
            let reading = futures::future::join_all(clients.iter_mut().map(|client| client.read_on(&server)));
            // The moment is the point of the test: anything may be under way.
            let _ = tokio::time::timeout(moment, reading).await;
        }
        server.kill().await;
        counters.kills += 1;
        server.start_again().await;
        if round % REST == REST - 1 {
            futures::future::join_all(clients.iter_mut().map(|client| client.read_on(&server))).await;
        }
    }
    futures::future::join_all(clients.iter_mut().map(|client| client.read_on(&server))).await;
    for client in &clients {
        let mut stream = server.admin().follow(&client.path, None).await;
        let stored = stream.drain().await;
        counters.compare(&client.seen, &stored);
    }
    let stored = pages(&server.admin(), "/v1/runs", 200).await.len();
    counters.runs_lost_or_doubled = stored.abs_diff(clients.len());
    counters
}

#[tokio::test]
async fn nothing_that_a_client_has_seen_is_lost_or_changed_by_kills() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let counters = kills(engine, 6).await;
        assert!(counters.is_clean(), "{engine:?}: {counters}");
        assert!(counters.runs_resumed > 0, "the kills hit runs under way: {counters}");
    }
}

/// The same for as many kills as `INGRAM_CRASH_KILLS` says, on the database that `INGRAM_CRASH_ON` names, with the counters printed.
#[tokio::test]
#[ignore = "takes minutes; `make crash` runs it"]
async fn many_kills() {
    let rounds = std::env::var("INGRAM_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let only = std::env::var("INGRAM_CRASH_ON").unwrap_or_default();
    for (name, engine) in [("sqlite", Engine::Sqlite), ("postgres", Engine::Postgres)] {
        if only.is_empty() || only == name {
            let counters = kills(engine, rounds).await;
            #[expect(clippy::print_stdout, reason = "whoever runs this by hand wants the figures")]
            {
                println!("{name}: {counters}");
            }
            assert!(counters.is_clean(), "{name}: {counters}");
        }
    }
}
