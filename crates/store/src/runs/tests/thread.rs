//! A thread, read from either end.

use domain::items::ToolCall;
use domain::run::{Carrier, Plan, Reply, Verdict};

use super::*;
use crate::conversations::Order;
use crate::db::params;
use crate::testing::open;

impl World {
    async fn thread(&self, order: Order, from: Option<u64>, limit: usize) -> Vec<ThreadRun> {
        self.project.thread_runs(&self.smith, "t", order, from, limit).await.unwrap()
    }

    async fn turns(&self, order: Order, from: Option<u64>, limit: usize) -> Vec<RunId> {
        self.thread(order, from, limit).await.into_iter().map(|run| run.id).collect()
    }
}

#[tokio::test]
async fn a_thread_is_read_from_either_end_and_from_any_turn() {
    both(async |location| {
        let world = world(open(location).await).await;
        let mut runs = Vec::new();
        for _ in 0..3 {
            let (run, _) = world.start("t").await;
            assert!(world.finish(run, 1, 1).await.is_kept());
            runs.push(run);
        }
        let (open, _) = world.start("t").await;
        world.start("other").await;
        runs.push(open);
        let thread = world.thread(Order::OldestFirst, None, 9).await;
        assert_eq!(thread.iter().map(|run| run.id).collect::<Vec<_>>(), runs);
        assert_eq!(thread[0].asked, [Item::user(CANARY)]);
        assert_eq!(thread[0].added, [Item::assistant(CANARY)]);
        assert_eq!((thread[3].asked.len(), thread[3].added.len()), (1, 0), "it has not come to rest");
        let second = thread[1].turn;
        assert_eq!(world.turns(Order::OldestFirst, Some(second), 2).await, runs[1..3]);
        runs.reverse();
        assert_eq!(world.turns(Order::NewestFirst, None, 9).await, runs);
        assert_eq!(world.turns(Order::NewestFirst, Some(second), 9).await, runs[2..]);
    })
    .await;
}

#[tokio::test]
async fn runs_are_found_by_a_range_of_ids_on_their_own_thread_only() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        let find = async |thread: &str, from: RunId, to: RunId| {
            let found = world.project.thread_runs_between(&world.smith, thread, (from, to), 2).await.unwrap();
            found.into_iter().map(|(run, _)| run).collect::<Vec<_>>()
        };
        let (least, most) = (RunId::from_bytes([0; 16]), RunId::from_bytes([255; 16]));
        assert_eq!(find("t", run, run).await, [run]);
        assert_eq!(find("t", least, most).await, [run]);
        assert!(find("t", least, least).await.is_empty());
        assert!(find("other", least, most).await.is_empty());
        assert!(find("t\0", least, most).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_journal_tells_who_carries_a_call_out() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        let call = |id: &str| ToolCall {
            id: id.into(),
            name: "look".into(),
            arguments: "{}".into(),
            provider_data: None,
        };
        let plan = |carrier: Carrier| Plan { tool: None, carrier, gate: None };
        let server = Carrier::Server { is_repeatable: true };
        let reply = Reply {
            text: String::new(),
            tool_calls: vec![call("a"), call("b")],
            plans: vec![plan(server.clone()), plan(Carrier::Caller)],
            stop: StopReason::ToolCalls,
            tokens: Tokens::default(),
            verdict: Verdict::NotAsked,
        };
        let frame = Frame::Completed { stop_reason: "end_turn".into(), usage: None, warnings: vec![] };
        let mut append = append(run, &world.smith.seal, 1, 1, vec![frame]);
        append.journal = (1, vec![JournalEntry { input: Input::Replied { reply }, next_seq: 2 }]);
        append.standing = Standing::Ends(End {
            ending: Ending::Completed { stop_reason: StopReason::EndTurn },
            tokens: None,
            result: RunResult {
                transcript: vec![Item::ToolCall(call("a")), Item::ToolCall(call("b"))],
                ..RunResult::default()
            },
        });
        assert!(world.store.server().append_to_run(&append).await.unwrap().is_kept());
        let thread = world.thread(Order::NewestFirst, None, 9).await;
        assert_eq!(thread[0].plans.get("a").map(|plan| &plan.carrier), Some(&server));
        assert_eq!(thread[0].plans.get("b").map(|plan| &plan.carrier), Some(&Carrier::Caller));
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_shown_without_what_cannot_be_read() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        let mut batch = crate::Batch::new();
        batch.exec("update run_requests set request = $1 where run_id = $2", params![vec![1_u8], run]);
        world.store.db().commit(batch).await.unwrap();
        let thread = world.thread(Order::NewestFirst, None, 9).await;
        assert_eq!((thread.len(), thread[0].asked.len()), (1, 0));
    })
    .await;
}
