//! What a run does while it is being stored, and what becomes of one that cannot be.

use std::sync::atomic::{AtomicBool, Ordering};

use e2e::{Engine, Server, Setup};
use reqwest::Method;
use serde_json::json;
use testkit::sse::text_of;
use testkit::upstream::{Reply, Upstream};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// Somebody who lets the database be read and not written, until they let go or are dropped.
enum Holder {
    Sqlite(rusqlite::Connection),
    Postgres(testkit::postgres::Client),
}

impl Holder {
    async fn of(server: &Server) -> Self {
        match server.database() {
            Some(database) => {
                let client = database.client().await;
                client.batch_execute("begin; lock table runs in exclusive mode").await.unwrap();
                Self::Postgres(client)
            }
            None => {
                let connection = rusqlite::Connection::open(server.data().join("ingram.db")).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
                connection.execute_batch("begin immediate").unwrap();
                Self::Sqlite(connection)
            }
        }
    }

    async fn lets_go(self) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("rollback").unwrap(),
            Self::Postgres(client) => client.batch_execute("rollback").await.unwrap(),
        }
    }
}

async fn runs(server: &Server) -> usize {
    server.admin().get("/v1/runs").await.expect(200)["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_model_is_called_while_its_run_is_being_stored_and_nobody_hears_of_it_before() {
    for engine in ENGINES {
        let server = Setup::on(engine).start().await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        let holder = Holder::of(&server).await;
        let is_answered = AtomicBool::new(false);
        let answered = async {
            let body = json!({"input": "hi", "stream": true});
            let stream = server.admin().stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
            is_answered.store(true, Ordering::Relaxed);
            stream.collect_until_end().await
        };
        let called = async {
            upstream.wait_for_requests(1).await;
            assert_eq!(runs(&server).await, 0, "{engine:?}");
            assert!(!is_answered.load(Ordering::Relaxed), "{engine:?}");
            holder.lets_go().await;
        };
        let (frames, ()) = tokio::join!(answered, called);
        assert_eq!(text_of(&frames), "Hello.");
        assert!((0..frames.len() as u64).map(Some).eq(frames.iter().map(|frame| frame.id)), "{engine:?}");
        assert_eq!((frames[0].event.as_str(), runs(&server).await), ("run.started", 1), "{engine:?}");

        // The same where nobody follows: there the whole answer may come before its run is stored.
        let holder = Holder::of(&server).await;
        let (admin, path, body) = (server.admin(), smith.path("/runs"), json!({"input": "hi"}));
        let (answer, ()) = tokio::join!(admin.post(&path, &body), async {
            upstream.wait_for_requests(2).await;
            assert_eq!(runs(&server).await, 1, "{engine:?}");
            holder.lets_go().await;
        });
        let run = answer.expect(200);
        assert_eq!(
            (&run["status"], &run["output"]["content"]),
            (&json!("completed"), &json!("Hello.")),
            "{run}"
        );
        let stored = server.admin().get(&smith.path("/runs")).await.expect(200);
        assert_eq!(
            (&stored["data"][0]["status"], runs(&server).await),
            (&json!("completed"), 2),
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_dies_before_a_run_is_stored_leaves_nothing_of_it() {
    for engine in ENGINES {
        let mut server = Setup::on(engine).start().await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::silence());
        let smith = server.smith_on(&upstream).await;
        let holder = Holder::of(&server).await;
        let (admin, path, body) = (server.admin(), smith.path("/runs"), json!({"input": "hi"}));
        let (answer, ()) = tokio::join!(admin.stream_or_break(Method::POST, &path, Some(&body)), async {
            upstream.wait_for_requests(1).await;
            server.kill().await;
        });
        assert!(answer.is_err(), "{engine:?}");
        upstream.wait_for_abandoned(1).await;
        holder.lets_go().await;
        server.start_again().await;
        assert_eq!((runs(&server).await, upstream.requests().len()), (0, 1), "{engine:?}");
    }
}

#[tokio::test]
async fn a_run_that_a_rival_could_keep_from_being_stored_is_stored_first() {
    for engine in ENGINES {
        let server = Setup::on(engine).start().await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        let holder = Holder::of(&server).await;
        let path = smith.path("/runs");
        let (keyed, admin) = (server.admin().with_header("idempotency-key", "k1"), server.admin());
        let on_a_thread = json!({"input": "on a thread", "thread_id": "t"});
        let with_a_key = json!({"input": "with a key"});
        let fresh = json!({"input": "fresh"});
        let called = async {
            let requests = upstream.wait_for_requests(1).await;
            assert_eq!(requests.len(), 1, "{engine:?}");
            assert!(requests[0].body.to_string().contains("fresh"), "{engine:?}");
            holder.lets_go().await;
        };
        let (first, second, third, ()) = tokio::join!(
            admin.post(&path, &on_a_thread),
            keyed.post(&path, &with_a_key),
            admin.post(&path, &fresh),
            called,
        );
        for answer in [first, second, third] {
            assert_eq!(answer.expect(200)["status"], "completed", "{engine:?}");
        }
    }
}

#[tokio::test]
async fn runs_that_cannot_be_stored_cost_few_calls_of_models() {
    for engine in ENGINES {
        let server = Setup::on(engine)
            .with_configuration(
                "[database]\nwait_ms = 500\nstatement_timeout_ms = 500\n[engine]\nmax_unstored = 5\n",
            )
            .start()
            .await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        let start = async || server.admin().post(&smith.path("/runs"), &json!({"input": "hi"})).await;
        let holder = Holder::of(&server).await;
        for _ in 0..2 {
            start().await.expect_error(503, "storage_unavailable");
            assert_eq!(upstream.requests().len(), 1, "{engine:?}");
        }
        holder.lets_go().await;
        assert_eq!(runs(&server).await, 0, "{engine:?}");
        start().await.expect(200);
        // As many at once that none of them can know of another one's failure.
        let holder = Holder::of(&server).await;
        for answer in futures::future::join_all((0..40).map(|_| start())).await {
            answer.expect_error(503, "storage_unavailable");
        }
        assert!((3..=2 + 5).contains(&upstream.requests().len()), "{engine:?}");
        let before = upstream.requests().len();
        holder.lets_go().await;
        start().await.expect(200);
        // The database works again, so the next is called for at once.
        let holder = Holder::of(&server).await;
        let (answer, ()) = tokio::join!(start(), async {
            upstream.wait_for_requests(before + 2).await;
            holder.lets_go().await;
        });
        answer.expect(200);
    }
}

#[tokio::test]
async fn a_server_that_may_call_no_model_before_its_run_is_stored_calls_none() {
    for engine in ENGINES {
        let server = Setup::on(engine)
            .with_configuration(
                "[database]\nwait_ms = 500\nstatement_timeout_ms = 500\n[engine]\nmax_unstored = 0\n",
            )
            .start()
            .await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        let start = async || server.admin().post(&smith.path("/runs"), &json!({"input": "hi"})).await;
        let holder = Holder::of(&server).await;
        start().await.expect_error(503, "storage_unavailable");
        holder.lets_go().await;
        assert_eq!((runs(&server).await, upstream.requests().len()), (0, 0), "{engine:?}");
        assert_eq!(start().await.expect(200)["status"], "completed", "{engine:?}");
    }
}
