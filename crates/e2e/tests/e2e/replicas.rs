//! Several servers on one PostgreSQL.

use e2e::{Engine, Server, Setup};
use serde_json::json;
use testkit::proxy::Proxy;
use testkit::sse::text_of;
use testkit::upstream::{Gate, Reply, Upstream};

async fn first() -> Server {
    Setup::on(Engine::Postgres).with_configuration("[engine]\nlease_ms = 400\n").start().await
}

#[tokio::test]
async fn a_run_on_one_replica_is_followed_and_cancelled_on_another() {
    let server = first().await;
    let other = server.replica().await;
    let (upstream, gate) = (Upstream::start().await, Gate::hold());
    upstream.answer_otherwise(Reply::chunks(["One ", "two ", "three."]).through(&gate));
    let smith = server.smith_on(&upstream).await;
    let body = json!({"input": "Count", "stream": true});
    let own = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
    let path = smith.path(&format!("/runs/{}/events", own.header("ic-run-id")));
    let mut follower = other.admin().follow(&path, None).await;
    gate.release(1);
    assert_eq!(follower.take(2).await[1].text("delta"), "One ");
    gate.open();
    let rest = follower.collect_until_end().await;
    assert_eq!(rest.last().unwrap().event, "run.completed");
    assert_eq!(text_of(&own.collect_until_end().await), "One two three.");

    let held = Gate::hold();
    upstream.answer_otherwise(Reply::chunks(["One ", "two."]).through(&held));
    let mut own = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
    held.release(1);
    own.take(2).await;
    let submit = smith.path(&format!("/runs/{}/submit", own.header("ic-run-id")));
    other.admin().post(&submit, &json!({"kind": "cancel"})).await.expect(200);
    assert_eq!(own.drain().await.last().unwrap().event, "run.cancelled");
    upstream.wait_for_abandoned(1).await;
}

#[tokio::test]
async fn when_the_owner_dies_the_other_replica_finishes_its_runs() {
    let mut server = first().await;
    let other = server.replica().await;
    let (upstream, gate) = (Upstream::start().await, Gate::hold());
    upstream.answer(Reply::chunks(["It i", "s noon."]).through(&gate));
    upstream.answer(Reply::chunks(["It is ", "noon."]));
    let smith = server.smith_on(&upstream).await;
    let body = json!({"input": "x", "stream": true});
    let mut own = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
    gate.release(1);
    own.take(2).await;
    let path = smith.path(&format!("/runs/{}/events", own.header("ic-run-id")));
    let follower = other.admin().follow(&path, None).await;
    server.kill().await;
    let frames = follower.collect_until_end().await;
    assert!(frames.iter().any(|frame| frame.event == "run.resumed"));
    assert_eq!(text_of(&frames), "It is noon.");
}

#[tokio::test]
async fn a_replica_that_slept_through_its_lease_is_refused_when_it_wakes() {
    let server = first().await;
    let other = server.replica().await;
    let (upstream, gate) = (Upstream::start().await, Gate::hold());
    upstream.answer(Reply::chunks(["From ", "the ", "grave."]).through(&gate));
    upstream.answer_otherwise(Reply::text("From the heir."));
    let smith = server.smith_on(&upstream).await;
    let body = json!({"input": "x", "stream": true});
    let mut own = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
    gate.release(1);
    own.take(2).await;
    let path = smith.path(&format!("/runs/{}/events", own.header("ic-run-id")));
    server.pause();
    let heir = other.admin().follow(&path, None).await.collect_until_end().await;
    assert_eq!(text_of(&heir), "From the heir.");
    gate.open();
    server.wake();
    // What its own client is told from here on is the heir's log, or nothing.
    let told = own.drain().await;
    assert!(told.iter().all(|frame| heir.contains(frame)), "{told:?}");
    assert_eq!(other.admin().follow(&path, None).await.collect_until_end().await, heir);
    // It has found its place again and runs what comes.
    let run = smith.run(&json!({"input": "x"})).await;
    assert_eq!(run["status"], "completed");
}

#[tokio::test]
async fn a_replica_that_slept_between_taking_a_run_up_and_loading_it_does_not_drive_it() {
    let mut server = first().await;
    let proxy = Proxy::start(&server.database().unwrap().url()).await;
    let sleeper = server.replica_behind(&proxy).await;
    let (upstream, gate) = (Upstream::start().await, Gate::hold());
    upstream.answer(Reply::chunks(["It i", "s noon."]).through(&gate));
    upstream.answer_otherwise(Reply::text("From the heir."));
    let smith = server.smith_on(&upstream).await;
    let body = json!({"input": "What time is it?", "stream": true});
    let mut own = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
    gate.release(1);
    own.take(2).await;
    let path = smith.path(&format!("/runs/{}/events", own.header("ic-run-id")));
    let database = server.database().unwrap().client().await;
    let id: Vec<u8> = database.query_one("select id from runs", &[]).await.unwrap().get(0);
    // The only answer that names the run to the other replica is the one that gives it the run.
    proxy.hold_answer(&id);
    server.kill().await;
    proxy.caught().await;
    sleeper.pause();
    let heir = server.replica().await;
    let frames = heir.admin().follow(&path, None).await.collect_until_end().await;
    assert_eq!(text_of(&frames), "From the heir.");
    proxy.release();
    sleeper.wake();
    // It has found its place again and runs what comes, and only that.
    let run = sleeper.admin().post(&smith.path("/runs"), &json!({"input": "x"})).await.expect(200);
    assert_eq!(run["status"], "completed");
    assert_eq!(sleeper.admin().follow(&path, None).await.collect_until_end().await, frames);
    // Of the other run, which began under the name of a node that was given up, the heir may have made a call, too.
    let requests = upstream.requests();
    let asked = requests.iter().filter(|request| request.body.to_string().contains("What time is it?"));
    assert_eq!(asked.count(), 2, "the first owner and its heir");
    assert!(requests.len() <= 4, "the other run, and at most one who took it for an orphan");
}

#[tokio::test]
async fn replicas_share_tokens_keys_and_smiths() {
    let server = first().await;
    let other = server.replica().await;
    let smith = server.smith(json!({"external_id": "user_1"})).await;
    let again = other.admin().post("/v1/smiths", &json!({"external_id": "user_1"})).await.expect(200);
    assert_eq!(again["id"], smith.id.as_str());
    let minted = other.admin().post("/v1/tenant/tokens", &json!({"scope": "admin"})).await.expect(201);
    let client = server.anonymous().with_bearer(minted["token"].as_str().unwrap());
    client.get("/v1/smiths").await.expect(200);
    let path = format!("/v1/tenant/tokens/{}", minted["id"].as_str().unwrap());
    other.admin().delete(&path).await.expect(204);
    client.get("/v1/smiths").await.expect_error(401, "unauthenticated");
}

/// Makes the commit that ends a run wait, after its statements have looked around, until a lock is free.
const HOLD_ENDS: &str = "create function hold_end() returns trigger language plpgsql as \
     $$ begin perform pg_advisory_xact_lock(42); return null; end $$; \
     create constraint trigger hold_end after update on runs deferrable initially deferred \
     for each row when (new.status = 'completed') execute function hold_end()";

#[tokio::test]
async fn a_run_that_queues_while_the_end_of_the_one_before_is_on_its_way_to_disk_has_its_turn() {
    // No round comes to the rescue.
    let server = Setup::on(Engine::Postgres)
        .with_script("quick", "[[rule]]\nsay = \"Done.\"\n")
        .with_configuration("[engine]\nlease_ms = 3600000\n")
        .start()
        .await;
    let smith = server.smith(json!({"model": "scripted/quick"})).await;
    let operator = server.database().unwrap().client().await;
    operator.batch_execute(HOLD_ENDS).await.unwrap();
    operator.batch_execute("select pg_advisory_lock(42)").await.unwrap();
    let (start, path) = (json!({"input": "x", "thread_id": "t", "stream": true}), smith.path("/runs"));
    let first = server.admin().stream(reqwest::Method::POST, &path, Some(&start)).await;
    let waiting = "select count(*) from pg_locks join pg_database on pg_database.oid = pg_locks.database \
                   where datname = current_database() and locktype = 'advisory' and not granted";
    while operator.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    // Its stream opens once it is stored and has looked for a free lane, in vain.
    let second = server.admin().stream(reqwest::Method::POST, &path, Some(&start)).await;
    operator.batch_execute("select pg_advisory_unlock(42)").await.unwrap();
    for stream in [first, second] {
        assert_eq!(stream.collect_until_end().await.last().unwrap().event, "run.completed");
    }
}
