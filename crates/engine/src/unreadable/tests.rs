use store::Batch;

use super::*;
use crate::testing::{World, both};
use crate::{Mode, Origin};

/// Takes a run up as a round does, and waits until its driver has left it.
async fn take_up_once(world: &World, run: RunId) {
    let inner = &world.engine.inner;
    let claimed = world.store.server().claim_orphans(inner.node(), 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert!(inner.take_up(claimed[0], Origin::Orphan).await);
    while world.project.run(run).await.unwrap().unwrap().owner.is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_run_whose_steps_the_database_refuses_is_given_up_after_three_tries() {
    both(async |world| {
        let run = world.run_elsewhere([9; 16]).await;
        // No end of a model call can be stored from here on.
        let sql = match world.store.db().dialect() {
            store::Dialect::Sqlite => {
                "create trigger refusal before insert on run_journal when new.kind in ('replied', 'call_failed') \
                 begin select raise(abort, 'no'); end"
            }
            store::Dialect::Postgres => {
                "alter table run_journal add constraint refusal check (kind not in ('replied', 'call_failed'))"
            }
        };
        damage(&world, sql).await;
        for crashes in 1..=3 {
            take_up_once(&world, run).await;
            let record = world.project.run(run).await.unwrap().unwrap();
            assert_eq!((record.status, record.crashes), (Status::Running, crashes));
        }
        take_up_once(&world, run).await;
        let record = world.project.run(run).await.unwrap().unwrap();
        assert_eq!(record.status, Status::Failed);
        assert_eq!(record.result.unwrap().error.unwrap().code, Code::ResumeFailed);
    })
    .await;
}

async fn damage(world: &World, sql: &'static str) {
    let mut batch = Batch::new();
    batch.exec(sql, vec![]);
    world.store.db().commit(batch).await.unwrap();
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_cancelled_all_the_same() {
    for sql in ["update run_requests set config = 'x'", "update run_frames set body = 'x'"] {
        both(async |world| {
            let run = world.run_elsewhere([9; 16]).await;
            damage(&world, sql).await;
            for _ in 0..2 {
                world.engine.cancel(&world.project, run, Some("enough")).await.unwrap();
            }
            assert_eq!(world.project.run(run).await.unwrap().unwrap().status, Status::Cancelled, "{sql}");
        })
        .await;
    }
}

#[tokio::test]
async fn the_third_try_in_a_row_ends_a_run_and_its_followers() {
    both(async |world| {
        let run = world.run_elsewhere([9; 16]).await;
        let seal = world.smith.seal.clone();
        let seat = world.engine.seat().unwrap();
        let mut follower = world.engine.follow(seat, world.project.clone(), seal, run, 0, Mode::Follow);
        // A journal that no run can have written.
        damage(&world, "update run_journal set position = 1, body = 'x'").await;
        let inner = &world.engine.inner;
        let server = world.store.server();
        for attempt in 0..3 {
            assert_eq!(world.project.run(run).await.unwrap().unwrap().crashes, attempt);
            let claimed = server.claim_orphans(inner.node(), 10).await.unwrap();
            assert_eq!(claimed.len(), 1);
            assert!(!inner.take_up(claimed[0], Origin::Orphan).await);
            let released = || async { world.project.run(run).await.unwrap().unwrap().owner.is_none() };
            while !released().await {
                tokio::task::yield_now().await;
            }
        }
        let record = world.project.run(run).await.unwrap().unwrap();
        assert_eq!(record.status, Status::Failed);
        assert_eq!(record.result.unwrap().error.unwrap().code, Code::ResumeFailed);
        let mut events = Vec::new();
        while let Some(frames) = follower.next().await.unwrap() {
            events.extend(frames.iter().map(|frame| frame.frame.event()));
        }
        assert_eq!(events, ["run.started", "run.failed"]);
    })
    .await;
}
