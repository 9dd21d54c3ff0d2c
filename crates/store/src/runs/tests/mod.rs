mod thread;
mod turns;
mod unreadable;

use domain::content::{Content, Message, Role};
use domain::ids::{Id as _, TokenId};
use domain::principals::ActorKind;
use domain::run::{Ending, StopReason};

use super::*;
use crate::approvals::ApprovalChanges;
use crate::smiths::{NewSmith, SmithRecord};
use crate::testing::{both, open};
use crate::{ProjectStore, SmithSeal, Store};

struct World {
    store: Store,
    project: ProjectStore,
    smith: SmithRecord,
}

const NODE: NodeId = [1; 16];
const OTHER: NodeId = [2; 16];
const CANARY: &str = "canary-in-the-mine";

async fn world(store: Store) -> World {
    let first = store.server().bootstrap().await.unwrap();
    let project = store.project(first.project);
    let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith;
    World { store, project, smith }
}

impl World {
    fn run(&self, thread_id: &str) -> NewRun {
        let input =
            Input::Started { smith_id: self.smith.id, thread_id: thread_id.to_owned(), warnings: vec![] };
        let frames = vec![Frame::Started { smith_id: self.smith.id, thread_id: thread_id.to_owned() }];
        NewRun {
            id: self.store.ids().mint(),
            smith: self.smith.id,
            agent: self.smith.agent,
            agent_version: self.smith.agent_version,
            thread_id: thread_id.to_owned(),
            channel: "api".to_owned(),
            model: "scripted/demo".to_owned(),
            actor: Actor {
                kind: ActorKind::Tenant,
                id: self.project.id().to_string(),
                token_id: TokenId::from_bytes([3; 16]).to_string(),
                email: String::new(),
            },
            request: RunRequest {
                input: vec![Message { role: Role::User, content: Content::Text(CANARY.to_owned()) }],
                ..RunRequest::default()
            },
            config: RunConfig::default(),
            node: NODE,
            beginning: (JournalEntry { input, next_seq: 1 }, NewFrames { from: 0, frames }),
            waiting: 2,
            at_once: None,
            files: vec![],
            remember: None,
            meanwhile: false,
            at: self.store.ids().now(),
        }
    }

    async fn start(&self, thread_id: &str) -> (RunId, Started) {
        let run = self.run(thread_id);
        let started = self.project.start_run(&self.smith.seal, &run).await.unwrap();
        (run.id, started)
    }

    fn waiting(&self, thread_id: &str) -> WaitingThread {
        WaitingThread { smith: self.smith.id, thread_id: thread_id.to_owned() }
    }

    async fn record(&self, run: RunId) -> RunRecord {
        self.project.run(run).await.unwrap().unwrap()
    }

    async fn append(&self, run: RunId, fence: u64, seq: u64, text: &str) -> bool {
        let append = append(run, &self.smith.seal, fence, seq, vec![Frame::Delta { delta: text.to_owned() }]);
        self.store.server().append_to_run(&append).await.unwrap().is_kept()
    }

    async fn finish(&self, run: RunId, fence: u64, seq: u64) -> Appended {
        let frame = Frame::Completed { stop_reason: "end_turn".into(), usage: None, warnings: vec![] };
        let mut append = append(run, &self.smith.seal, fence, seq, vec![frame]);
        append.standing = Standing::Ends(End {
            ending: Ending::Completed { stop_reason: StopReason::EndTurn },
            tokens: Some(Tokens { input: 7, output: 2, ..Tokens::default() }),
            result: RunResult {
                content: CANARY.to_owned(),
                transcript: vec![Item::assistant(CANARY)],
                ..RunResult::default()
            },
        });
        self.store.server().append_to_run(&append).await.unwrap()
    }
}

fn append(run: RunId, seal: &SmithSeal, fence: u64, seq: u64, frames: Vec<Frame>) -> Append<'_> {
    Append {
        run,
        seal,
        fence,
        expected_seq: seq,
        takes_over: false,
        frames: NewFrames { from: seq, frames },
        journal: (1, vec![]),
        standing: Standing::Runs,
        approvals: ApprovalChanges::default(),
        remember: None,
        meanwhile: false,
        announce: false,
        at: Timestamp::from_seconds(1),
    }
}

#[tokio::test]
async fn many_journal_entries_of_one_commit_are_read_back_in_their_order() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        // More than one statement holds, and not a multiple of that.
        let entries: Vec<_> = (0..9)
            .map(|number| JournalEntry {
                input: Input::Accepted { reference: number.to_string() },
                next_seq: 1,
            })
            .collect();
        let mut append = append(run, &world.smith.seal, 1, 1, vec![]);
        append.journal = (1, entries.clone());
        assert!(world.store.server().append_to_run(&append).await.unwrap().is_kept());
        let saved = world.project.saved_run(run).await.unwrap().unwrap();
        assert_eq!(saved.journal.get(1..), Some(entries.as_slice()));
    })
    .await;
}

#[tokio::test]
async fn a_run_takes_the_free_lane_and_the_next_ones_queue_up_to_the_limit() {
    both(async |location| {
        let world = world(open(location).await).await;
        assert_eq!(world.start("t").await.1, Started::Running);
        assert_eq!(world.start("t").await.1, Started::Queued);
        assert_eq!(world.start("t").await.1, Started::Queued);
        let refused = world.project.start_run(&world.smith.seal, &world.run("t")).await;
        assert!(matches!(refused, Err(StartError::Full)));
        // Where none may wait, one may still run.
        let unaccompanied = |thread| NewRun { waiting: 0, ..world.run(thread) };
        let first = world.project.start_run(&world.smith.seal, &unaccompanied("free")).await;
        assert!(matches!(first, Ok(Started::Running)), "{first:?}");
        let second = world.project.start_run(&world.smith.seal, &unaccompanied("free")).await;
        assert!(matches!(second, Err(StartError::Full)), "{second:?}");
        assert_eq!(world.start("other").await.1, Started::Running);
        let all = world.project.runs(&RunFilter::default(), None, 10).await.unwrap();
        assert_eq!(all.len(), 5, "a refused run leaves nothing");
    })
    .await;
}

#[tokio::test]
async fn an_archived_smith_starts_nothing_and_what_it_left_is_found() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        assert!(world.store.server().runs_of_the_archived(10).await.unwrap().is_empty());
        world.project.archive_smith(world.smith.id).await.unwrap();
        let refused = world.project.start_run(&world.smith.seal, &world.run("u")).await;
        assert!(matches!(refused, Err(StartError::SmithGone)));
        let left = world.store.server().runs_of_the_archived(10).await.unwrap();
        assert_eq!(left, [Archived { run, project: world.project.id(), with: ArchivedWith::Smith }]);
        assert_eq!(world.store.server().runs_of_node(NODE).await.unwrap(), [(run, 1)]);
    })
    .await;
}

#[tokio::test]
async fn runs_that_start_at_the_same_moment_share_a_lane_in_order() {
    both(async |location| {
        let world = world(open(location).await).await;
        let runs: Vec<NewRun> = (0..3).map(|_| world.run("t")).collect();
        let started =
            futures::future::join_all(runs.iter().map(|run| world.project.start_run(&world.smith.seal, run)))
                .await;
        let running = started.iter().filter(|started| matches!(started, Ok(Started::Running))).count();
        assert_eq!(running, 1);
        assert!(started.iter().all(Result::is_ok));
    })
    .await;
}

#[tokio::test]
async fn only_the_holder_of_the_fence_appends_and_only_at_the_end() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        assert!(world.append(run, 1, 1, "a").await);
        assert!(!world.append(run, 1, 1, "again").await, "the seq is taken");
        assert!(!world.append(run, 2, 2, "foreign").await, "the fence is another one");
        assert!(world.append(run, 1, 2, "b").await);
        let frames: Vec<Frame> = world
            .project
            .frames(run, &world.smith.seal, 0, 10)
            .await
            .unwrap()
            .into_iter()
            .flat_map(|block| block.frames)
            .collect();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[2], Frame::Delta { delta: "b".into() });
        assert_eq!(world.finish(run, 1, 3).await, Appended::Kept);
        assert!(!world.append(run, 1, 4, "late").await, "nothing follows the end");
        let record = world.record(run).await;
        assert_eq!((record.status, record.next_seq), (Status::Completed, 4));
        assert_eq!(record.tokens.unwrap().input, 7);
        assert_eq!(record.result.unwrap().content, CANARY);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stood_still_loses_its_runs_and_finds_out() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        server.join(NODE).await.unwrap();
        server.join(OTHER).await.unwrap();
        let (run, _) = world.start("t").await;
        assert!(server.beat(NODE).await.unwrap());
        assert_eq!(server.other_nodes(OTHER).await.unwrap(), [(NODE, 1)]);
        assert!(!server.bury(NODE, 0).await.unwrap(), "its beat has moved since");
        assert!(server.claim_orphans(OTHER, 10).await.unwrap().is_empty());
        assert!(server.bury(NODE, 1).await.unwrap());
        assert!(!server.beat(NODE).await.unwrap());
        let claimed = server.claim_orphans(OTHER, 10).await.unwrap();
        assert_eq!(claimed, [Claimed { run, project: world.project.id(), fence: 3, crashes: 1 }]);
        assert!(server.claim_orphans(NODE, 10).await.unwrap().is_empty());
        assert!(!world.append(run, 1, 1, "from the grave").await);
        let record = world.record(run).await;
        assert_eq!(record.crashes, 1);
        assert!(world.append(run, record.fence, 1, "from the heir").await);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_a_buried_node_stored_afterwards_is_an_orphan_too() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        server.join(OTHER).await.unwrap();
        let (run, _) = world.start("t").await;
        let claimed = server.claim_orphans(OTHER, 10).await.unwrap();
        assert_eq!(claimed.iter().map(|claimed| claimed.run).collect::<Vec<_>>(), [run]);
        assert!(server.claim_orphans(OTHER, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_hand_over_is_no_crash() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        server.join(NODE).await.unwrap();
        let (run, _) = world.start("t").await;
        server.release_run(run, NODE, 1).await.unwrap();
        assert_eq!(server.claim_orphans(OTHER, 10).await.unwrap().len(), 1);
        assert_eq!(world.record(run).await.crashes, 0);
        server.leave(NODE).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn orphans_are_shared_between_claimers() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        server.join(NODE).await.unwrap();
        for thread in 0..6 {
            world.start(&thread.to_string()).await;
        }
        server.bury(NODE, 0).await.unwrap();
        for node in 0..3_u8 {
            server.join([node + 10; 16]).await.unwrap();
        }
        let claims = (0..3_u8).map(|node| {
            let server = world.store.server();
            async move { server.claim_orphans([node + 10; 16], 3).await.unwrap() }
        });
        let claimed: Vec<RunId> = futures::future::join_all(claims)
            .await
            .into_iter()
            .flatten()
            .map(|claimed| claimed.run)
            .collect();
        let mut distinct = claimed.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), claimed.len(), "no run is claimed twice");
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_read_newest_turn_first_and_only_what_came_before() {
    both(async |location| {
        let world = world(open(location).await).await;
        let mut last = None;
        for _ in 0..3 {
            let (run, _) = world.start("t").await;
            assert!(world.finish(run, 1, 1).await.is_kept());
            last = Some(run);
        }
        let last = last.unwrap();
        let turns =
            world.project.turns_before(last, world.smith.id, "t", &world.smith.seal, 10).await.unwrap();
        assert_eq!(turns.len(), 2);
        assert_eq!(turns[0].1.len(), 2);
        let none = world.project.turns_before(last, world.smith.id, "elsewhere", &world.smith.seal, 10).await;
        assert!(none.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn lists_are_newest_first_and_filtered_and_paged() {
    both(async |location| {
        let world = world(open(location).await).await;
        let mut ids = Vec::new();
        for thread in 0..5 {
            ids.push(world.start(&thread.to_string()).await.0);
        }
        assert!(world.finish(ids[0], 1, 1).await.is_kept());
        ids.reverse();
        let list = async |filter: RunFilter, before| {
            let runs = world.project.runs(&filter, before, 3).await.unwrap();
            runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
        };
        assert_eq!(list(RunFilter::default(), None).await, ids[..3]);
        assert_eq!(list(RunFilter::default(), Some(ids[2])).await, ids[3..]);
        let of = |status: &str| RunFilter { status: Some(status.into()), ..RunFilter::default() };
        for narrow in [
            |filter: RunFilter, _: &World| filter,
            |filter: RunFilter, world: &World| RunFilter { smith: Some(world.smith.id), ..filter },
            |filter: RunFilter, world: &World| RunFilter { agent: Some(world.smith.agent), ..filter },
        ] {
            assert_eq!(list(narrow(of("completed"), &world), None).await, ids[4..]);
            assert_eq!(list(narrow(of("running"), &world), None).await, ids[..3]);
            assert_eq!(list(narrow(of("running"), &world), Some(ids[2])).await, ids[3..4]);
            assert!(list(narrow(of("queued"), &world), None).await.is_empty());
        }
        let nobody = RunFilter { external_id_prefix: Some("user".into()), ..RunFilter::default() };
        assert!(list(nobody, None).await.is_empty());
        let unheard_of = RunFilter { status: Some("\0".into()), ..RunFilter::default() };
        assert!(list(unheard_of, None).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn another_project_sees_nothing_of_a_run() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        let stranger = world.store.project(ProjectId::from_bytes([9; 16]));
        assert!(stranger.run(run).await.unwrap().is_none());
        assert!(stranger.saved_run(run).await.unwrap().is_none());
        assert!(stranger.run_position(run).await.unwrap().is_none());
        assert!(stranger.runs(&RunFilter::default(), None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_file_belongs_to_its_smith() {
    both(async |location| {
        let world = world(open(location).await).await;
        let file = crate::files::StoredFile {
            id: world.store.ids().mint(),
            media_type: "image/png".into(),
            filename: "a.png".into(),
            bytes: vec![1, 2, 3],
        };
        let mut run = world.run("t");
        run.files = vec![file.clone()];
        world.project.start_run(&world.smith.seal, &run).await.unwrap();
        assert_eq!(world.project.file_size(world.smith.id, file.id).await.unwrap(), Some(3));
        let media_type = world.project.file_type(world.smith.id, file.id, &world.smith.seal).await.unwrap();
        assert_eq!(media_type.as_deref(), Some("image/png"));
        let found = world.project.file(world.smith.id, file.id, &world.smith.seal).await.unwrap();
        assert_eq!(found, Some(file.clone()));
        let other = world.project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith;
        assert!(world.project.file(other.id, file.id, &other.seal).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn no_text_of_a_run_lies_in_the_clear() {
    let directory = tempfile::tempdir().unwrap();
    let world = world(open(crate::Location::Sqlite(directory.path().join("ingram.db"))).await).await;
    let (run, _) = world.start("t").await;
    assert!(world.append(run, 1, 1, CANARY).await);
    assert!(world.finish(run, 1, 2).await.is_kept());
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found);
    }
}

#[test]
fn the_end_of_a_prefix_is_found_for_any_last_character() {
    use crate::runs::read::after_prefix;
    assert_eq!(after_prefix("user_").as_deref(), Some("user`"));
    assert_eq!(after_prefix("a\u{10FFFF}").as_deref(), Some("b"));
    assert_eq!(after_prefix("\u{D7FF}").as_deref(), Some("\u{E000}"));
    assert_eq!(after_prefix("\u{10FFFF}"), None);
}

#[test]
fn a_configuration_that_was_kept_without_rendered_instructions_is_read_as_it_is() {
    let kept =
        r#"{"instructions":"Be kind.","model":null,"resolved_model":"scripted/demo","max_model_calls":9}"#;
    let config: RunConfig = serde_json::from_str(kept).unwrap();
    assert_eq!((config.instructions(), config.rendered_instructions.as_deref()), ("Be kind.", None));
    let rendered = RunConfig { rendered_instructions: Some("Be kind, Ana.".into()), ..config };
    let again: RunConfig = serde_json::from_str(&serde_json::to_string(&rendered).unwrap()).unwrap();
    assert_eq!((again.instructions(), &again), ("Be kind, Ana.", &rendered));
    assert_eq!(RunConfig::default().instructions(), "");
}
