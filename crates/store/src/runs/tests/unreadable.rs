//! Damaged rows: what is left is shown, and the run is ended without the rest.

use super::*;
use crate::Batch;
use crate::db::params;
use crate::testing::both;

/// Ways to damage what is stored of a run.
const DAMAGES: [&str; 6] = [
    "update run_requests set request = 'x'",
    "delete from run_requests",
    "update run_requests set config = 'x'",
    "update run_journal set body = 'x'",
    "update runs set actor = 'x'",
    "update smiths set data_key = 'x'",
];

fn given_up() -> Ending {
    Ending::Failed { code: Code::ResumeFailed, message: "It was given up.".to_owned(), transient: false }
}

async fn damage(store: &Store, sql: &'static str) {
    let mut batch = Batch::new();
    batch.exec(sql, params![]);
    store.db().commit(batch).await.unwrap();
}

#[tokio::test]
async fn whatever_of_a_run_is_damaged_the_list_shows_it_and_it_can_be_ended() {
    for sql in DAMAGES {
        both(async |location| {
            let before = world(open(location.clone()).await).await;
            let (run, _) = before.start("t").await;
            before.start("t").await;
            damage(&before.store, sql).await;
            // Another process, which has no data key at hand yet.
            let store = open(location).await;
            let project = store.project(before.project.id());
            assert!(project.saved_run(run).await.err().unwrap().is_damage(), "{sql}");
            assert_eq!(project.runs(&RunFilter::default(), None, 10).await.unwrap().len(), 2, "{sql}");
            let freed = store.server().end_unreadable_run(run, 1, &given_up()).await.unwrap().unwrap();
            assert_eq!((freed.smith, freed.thread_id.as_str()), (before.smith.id, "t"));
            assert_eq!(store.server().end_unreadable_run(run, 1, &given_up()).await.unwrap(), None);
            let record = project.run(run).await.unwrap().unwrap();
            assert_eq!((record.status, record.stop_reason.as_deref()), (Status::Failed, Some("error")));
            assert_eq!(record.result.unwrap().error.unwrap().code, Code::ResumeFailed, "{sql}");
            assert_eq!(store.server().poisoned_runs(10).await.unwrap(), [run]);
            let next = store.server().next_on_thread(NODE, before.smith.id, "t", None).await.unwrap();
            assert!(next.is_some(), "the lane moves on");
        })
        .await;
    }
}

#[tokio::test]
async fn what_ends_without_its_content_tells_its_readers() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        let (queued, _) = world.start("t").await;
        damage(&world.store, "update run_frames set body = 'x'").await;
        let server = world.store.server();
        let cancelled = Ending::Cancelled { reason: None };
        assert!(server.end_unreadable_run(run, 1, &given_up()).await.unwrap().is_some());
        assert!(server.end_unreadable_run(queued, 1, &cancelled).await.unwrap().is_some());
        assert!(world.project.frames(run, &world.smith.seal, 0, 10).await.err().unwrap().is_damage());
        let read = async |run| {
            let blocks = world.project.readable_frames(run, &world.smith.seal, 0, 10).await.unwrap();
            let ends = blocks.last().unwrap().next;
            assert_eq!(ends, world.record(run).await.next_seq);
            blocks.into_iter().flat_map(|block| block.frames).collect::<Vec<_>>()
        };
        let failed = Frame::Failed { error: "It was given up.".into(), code: Code::ResumeFailed };
        assert_eq!(read(run).await, [failed]);
        let frames = read(queued).await;
        assert_eq!((frames[0].event(), frames[1].event()), ("run.started", "run.cancelled"));
    })
    .await;
}

#[tokio::test]
async fn frames_that_the_row_knows_nothing_of_do_not_keep_a_run_alive() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        damage(&world.store, "update runs set next_seq = 0").await;
        let ended = world.store.server().end_unreadable_run(run, 1, &given_up()).await.unwrap();
        assert!(ended.is_some());
        let record = world.record(run).await;
        assert_eq!((record.status, record.next_seq), (Status::Failed, 0));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_could_not_be_loaded_is_given_back_one_crash_older() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        server.join(NODE).await.unwrap();
        let (run, _) = world.start("t").await;
        server.release_broken_run(run, NODE, 7).await.unwrap();
        assert!(
            server.claim_orphans(NODE, 10).await.unwrap().is_empty(),
            "under another number nothing happens"
        );
        server.release_broken_run(run, NODE, 1).await.unwrap();
        assert_eq!(server.claim_orphans(NODE, 10).await.unwrap()[0].crashes, 1);
    })
    .await;
}

#[tokio::test]
async fn a_damaged_result_hides_neither_the_list_nor_the_thread() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        assert!(world.finish(run, 1, 1).await.is_kept());
        damage(&world.store, "update run_results set body = 'x'").await;
        let record = world.record(run).await;
        assert_eq!(record.status, Status::Completed);
        assert_eq!(record.result.unwrap().warnings[0].code, "content_unreadable");
        let (next, _) = world.start("t").await;
        let turns =
            world.project.turns_before(next, world.smith.id, "t", &world.smith.seal, 10).await.unwrap();
        assert_eq!(turns, [(run, vec![])]);
    })
    .await;
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_shown_as_failed() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        damage(&world.store, "update runs set status = 'dreaming'").await;
        let record = world.record(run).await;
        assert_eq!(record.status, Status::Failed);
        assert_eq!(record.result.unwrap().error.unwrap().code, Code::InternalError);
        assert_eq!(world.project.run_position(run).await.unwrap().unwrap().0, Status::Failed);
        assert_eq!(world.project.runs(&RunFilter::default(), None, 10).await.unwrap().len(), 1);
    })
    .await;
}
