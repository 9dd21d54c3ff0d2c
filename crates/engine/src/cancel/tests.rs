use std::sync::atomic::{AtomicU64, Ordering};

use store::approvals::ApprovalChanges;
use store::runs::Standing;

use super::*;
use crate::testing::both;

/// Appends words as fast as the database takes them, from several tasks, until the run is no longer theirs.
async fn stream_at_full_speed(
    store: &store::Store,
    seal: &store::SmithSeal,
    run: RunId,
    appended: &AtomicU64,
) {
    let server = store.server();
    for seq in 1.. {
        let append = Append {
            run,
            seal,
            fence: 1,
            expected_seq: seq,
            takes_over: false,
            frames: NewFrames { from: seq, frames: vec![Frame::Delta { delta: "word ".to_owned() }] },
            journal: (1, vec![]),
            standing: Standing::Runs,
            approvals: ApprovalChanges::default(),
            remember: None,
            meanwhile: false,
            announce: false,
            at: store.ids().now(),
        };
        if !server.append_to_run(&append).await.unwrap().is_kept() {
            return;
        }
        appended.store(seq, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_wins_against_a_stream_at_full_speed() {
    both(async |world| {
        let run = world.run_elsewhere([9; 16]).await;
        let appended = AtomicU64::new(0);
        let seal = world.smith.seal.clone();
        let cancelling = async {
            // The stream is under way.
            while appended.load(Ordering::Relaxed) < 20 {
                tokio::task::yield_now().await;
            }
            world.engine.cancel(&world.project, run, Some("enough")).await.unwrap();
        };
        let streaming = stream_at_full_speed(&world.store, &seal, run, &appended);
        tokio::join!(cancelling, streaming);
        let record = world.project.run(run).await.unwrap().unwrap();
        assert_eq!(record.status, Status::Cancelled);
        let blocks = world.project.frames(run, &seal, 0, 1_000_000).await.unwrap();
        let frames: Vec<Frame> = blocks.into_iter().flat_map(|block| block.frames).collect();
        assert_eq!(u64::try_from(frames.len()).unwrap(), record.next_seq, "no gap and no double");
        assert_eq!(record.next_seq, appended.load(Ordering::Relaxed) + 2, "what was appended is kept");
        assert_eq!(frames.last(), Some(&Frame::Cancelled { reason: Some("enough".to_owned()) }));
        let said = "word ".repeat(usize::try_from(appended.load(Ordering::Relaxed)).unwrap());
        assert_eq!(record.result.unwrap().content, said);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_was_taken_takes_nothing_more_from_whoever_had_it() {
    both(async |world| {
        let run = world.run_elsewhere([9; 16]).await;
        let server = world.store.server();
        let fence = server.take_run(run, [8; 16]).await.unwrap();
        assert_eq!(fence, Some(2));
        let appended = AtomicU64::new(0);
        stream_at_full_speed(&world.store, &world.smith.seal, run, &appended).await;
        assert_eq!(appended.load(Ordering::Relaxed), 0);
        world.engine.cancel(&world.project, run, None).await.unwrap();
        assert_eq!(server.take_run(run, [8; 16]).await.unwrap(), None, "what has ended is nobody's");
    })
    .await;
}
