//! Streams: order, resumption, readers of every kind.

use e2e::{Engine, Setup, Smith, both};
use serde_json::json;
use testkit::sse::text_of;
use testkit::upstream::{Gate, Reply, Upstream};

#[tokio::test]
async fn a_streamed_run_says_what_it_does_in_order() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::chunks(["It is ", "noon."]));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "What time is it?", "stream": true, "thread_id": "t1"});
        let stream = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        let (run, thread) = (stream.header("ic-run-id").to_owned(), stream.header("ic-thread-id").to_owned());
        assert_eq!(thread, "t1");
        let frames = stream.collect_until_end().await;
        let events: Vec<&str> = frames.iter().map(|frame| frame.event.as_str()).collect();
        assert_eq!(
            events,
            ["run.started", "message.delta", "message.delta", "message.completed", "run.completed"]
        );
        assert!(frames.iter().all(|frame| frame.text("run_id") == run));
        assert_eq!((frames[0].text("thread_id"), frames[0].text("smith_id")), ("t1", smith.id.as_str()));
        assert_eq!(frames[3].text("content"), "It is noon.");
        assert_eq!(text_of(&frames), "It is noon.");
    })
    .await;
}

#[tokio::test]
async fn a_stream_cut_at_any_frame_goes_on_behind_it() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text_in("One two three four five six.", 12));
        let smith = server.smith_on(&upstream).await;
        let run = smith.run(&Smith::says("Count")).await;
        let path = smith.path(&format!("/runs/{}/events", run["id"].as_str().unwrap()));
        let admin = server.admin();
        let whole = admin.follow(&path, None).await.collect_until_end().await;
        for cut in 0..whole.len() as u64 {
            let rest = admin.follow(&path, Some(cut)).await.collect_until_end().await;
            let joined: Vec<_> =
                whole[..=usize::try_from(cut).unwrap()].iter().chain(&rest).cloned().collect();
            assert_eq!(joined, whole, "cut behind {cut}");
        }
        let beyond = admin.follow(&path, Some(1_000)).await.collect_until_end().await;
        assert!(beyond.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_goes_on_without_gap_or_duplicate() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text_in("One two three.", 4));
        let smith = server.smith_on(&upstream).await;
        let run = smith.run(&Smith::says("Count")).await;
        let path = smith.path(&format!("/runs/{}/events", run["id"].as_str().unwrap()));
        let admin = server.admin();
        let whole = admin.follow(&path, None).await.collect_until_end().await;
        for bytes in (1..700).step_by(13) {
            let seen = admin.follow(&path, None).await.cut_after_bytes(bytes).await;
            let last = seen.last().and_then(|frame| frame.id);
            let rest = admin.follow(&path, last).await.collect_until_end().await;
            let joined: Vec<_> = seen.into_iter().chain(rest).collect();
            assert_eq!(joined, whole, "cut after {bytes} bytes");
        }
    })
    .await;
}

#[tokio::test]
async fn the_larger_of_both_positions_counts_and_a_position_is_a_number() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let run = smith.run(&Smith::says("hello")).await;
        let path = smith.path(&format!("/runs/{}/events", run["id"].as_str().unwrap()));
        let admin = server.admin();
        let reconnected = admin.with_header("last-event-id", "2");
        let stream = reconnected.follow(&format!("{path}?after=0"), None).await;
        assert_eq!(stream.collect_until_end().await[0].id, Some(3));
        admin.get(&format!("{path}?after=-1")).await.expect_error_about(400, "invalid_cursor", "after");
        let malformed = admin.with_header("last-event-id", "x");
        malformed.get(&path).await.expect_error_about(400, "invalid_cursor", "Last-Event-ID");
    })
    .await;
}

#[tokio::test]
async fn many_readers_follow_one_run_and_see_the_same() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::text_in("One two three four.", 8).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "Count", "stream": true});
        let admin = server.admin();
        let mut own = admin.stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.release(2);
        own.take(2).await;
        let path = smith.path(&format!("/runs/{}/events", own.header("ic-run-id")));
        let mut readers = Vec::new();
        for after in [None, Some(0), Some(1), None] {
            readers.push((after, admin.follow(&path, after).await));
        }
        let stored = admin.follow(&format!("{path}?follow=false"), None).await.drain().await;
        assert!(stored.len() >= 2 && stored.last().unwrap().event != "run.completed");
        gate.open();
        own.drain().await;
        let whole = admin.follow(&path, None).await.collect_until_end().await;
        for (after, reader) in readers {
            let skip = after.map_or(0, |after| usize::try_from(after).unwrap() + 1);
            assert_eq!(reader.collect_until_end().await, whole[skip..]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_its_run() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::text_in("One two three.", 4).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "Count", "stream": true});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        stream.take(1).await;
        let path = smith.path(&format!("/runs/{}/events", stream.header("ic-run-id")));
        drop(stream);
        gate.open();
        let frames = server.admin().follow(&path, None).await.collect_until_end().await;
        assert_eq!(text_of(&frames), "One two three.");
    })
    .await;
}

#[tokio::test]
async fn frames_leave_one_by_one_as_soon_as_they_are_stored() {
    // Without TCP_NODELAY each small write would wait for the acknowledgement of the one before, 40 ms a time.
    let script = "[[rule]]\nsay = \"a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n\"\nchunk = \"words\"\nchunk_delay_ms = 1\n";
    let server = Setup::on(Engine::Sqlite).with_script("slow", script).start().await;
    let smith = server.smith(json!({"model": "scripted/slow"})).await;
    let body = json!({"input": "go", "stream": true});
    let start = std::time::Instant::now();
    let stream = server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
    let frames = stream.collect_until_end().await;
    assert!(frames.len() > 30, "the words come in frames of their own");
    let taken = start.elapsed();
    assert!(taken < std::time::Duration::from_millis(1_400), "{} frames took {taken:?}", frames.len());
}
