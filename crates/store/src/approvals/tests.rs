use domain::frames::Frame;
use domain::ids::{AgentId, RunId, TokenId};
use domain::principals::{Actor, ActorKind};
use domain::run::{Ending, Input, Status, StopReason};
use serde_json::json;

use super::*;
use crate::db::Location;
use crate::runs::{
    Appended, End, JournalEntry, NewFrames, NewRun, NodeId, Pause, RunConfig, RunRecord, RunRequest,
    RunResult, Started,
};
use crate::smiths::{NewSmith, SmithRecord};
use crate::testing::{both, open};
use crate::{ProjectStore, Store};

const NODE: NodeId = [1; 16];
const OTHER: NodeId = [2; 16];
const CANARY: &str = "canary-in-the-mine";

struct World {
    store: Store,
    project: ProjectStore,
    smith: SmithRecord,
    agent: AgentId,
}

async fn world(location: Location) -> World {
    let store = open(location).await;
    let first = store.server().bootstrap().await.unwrap();
    let project = store.project(first.project);
    let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith;
    World { store, project, agent: smith.agent, smith }
}

impl World {
    async fn start(&self, thread_id: &str) -> RunId {
        let id: RunId = self.store.ids().mint();
        let input =
            Input::Started { smith_id: self.smith.id, thread_id: thread_id.to_owned(), warnings: vec![] };
        let frames = vec![Frame::Started { smith_id: self.smith.id, thread_id: thread_id.to_owned() }];
        let run = NewRun {
            id,
            smith: self.smith.id,
            agent: self.agent,
            agent_version: None,
            thread_id: thread_id.to_owned(),
            channel: "api".to_owned(),
            model: "scripted/demo".to_owned(),
            actor: Actor {
                kind: ActorKind::Tenant,
                id: self.project.id().to_string(),
                token_id: TokenId::from_bytes([3; 16]).to_string(),
                email: String::new(),
            },
            request: RunRequest::default(),
            config: RunConfig::default(),
            node: NODE,
            beginning: (JournalEntry { input, next_seq: 1 }, NewFrames { from: 0, frames }),
            waiting: 2,
            at_once: None,
            files: vec![],
            remember: None,
            meanwhile: false,
            at: self.store.ids().now(),
        };
        assert_eq!(self.project.start_run(&self.smith.seal, &run).await.unwrap(), Started::Running);
        id
    }

    fn append(&self, run: RunId, fence: u64, standing: Standing, approvals: ApprovalChanges) -> Append<'_> {
        Append {
            run,
            seal: &self.smith.seal,
            fence,
            expected_seq: 1,
            takes_over: false,
            frames: NewFrames { from: 1, frames: vec![] },
            journal: (fence, vec![]),
            standing,
            approvals,
            remember: None,
            meanwhile: false,
            announce: false,
            at: self.store.ids().now(),
        }
    }

    async fn keep(&self, append: Append<'_>) -> Appended {
        self.store.server().append_to_run(&append).await.unwrap()
    }

    /// Pauses a run for as many questions as there are moments at which they expire.
    async fn pause(&self, run: RunId, fence: u64, expire: &[i64]) -> Vec<ApprovalId> {
        let ids: Vec<ApprovalId> = expire.iter().map(|_| self.store.ids().mint()).collect();
        let asked = ids.iter().zip(expire).map(|(id, expires)| NewApproval {
            id: *id,
            request: ApprovalRequest {
                tool_call_id: "call_1".into(),
                tool: "refund".into(),
                args: json!({"to": CANARY}).as_object().cloned().unwrap(),
                elicitation: None,
            },
            expires_at: Timestamp::from_seconds(*expires),
        });
        let approvals = ApprovalChanges {
            project: Some(self.project.id()),
            smith: Some(self.smith.id),
            asked: asked.collect(),
            ..ApprovalChanges::default()
        };
        let pause = Pause { status: Status::PausedForApproval, tokens: None, result: RunResult::default() };
        assert_eq!(
            self.keep(self.append(run, fence, Standing::Pauses(pause), approvals)).await,
            Appended::Kept
        );
        ids
    }

    async fn record(&self, run: RunId) -> RunRecord {
        self.project.run(run).await.unwrap().unwrap()
    }

    async fn approval(&self, id: ApprovalId) -> Approval {
        self.project.approval(id).await.unwrap().unwrap()
    }
}

fn decided(decided: Decided) -> ApprovalChanges {
    ApprovalChanges { decided: Some(decided), ..ApprovalChanges::default() }
}

fn end() -> Standing {
    Standing::Ends(End {
        ending: Ending::Completed { stop_reason: StopReason::EndTurn },
        tokens: None,
        result: RunResult::default(),
    })
}

#[tokio::test]
async fn a_pause_frees_the_run_and_a_decision_takes_it_up_on_any_node() {
    both(async |location| {
        let world = world(location).await;
        let run = world.start("t").await;
        let ids = world.pause(run, 1, &[4_000_000_000]).await;
        let record = world.record(run).await;
        assert_eq!((record.status, record.owner, record.fence), (Status::PausedForApproval, None, 2));
        assert_eq!(world.approval(ids[0]).await.status, "pending");
        let decision = Decision { actor: Some("ana".into()), reason: Some("fine".into()), edited_args: None };
        let taken = |fence, decision: &Decision| {
            let approvals = decided(Decided::Approved(ids[0], decision.clone()));
            world.append(run, fence, Standing::TakenUp(OTHER), approvals)
        };
        assert_eq!(world.keep(taken(1, &decision)).await, Appended::Lost, "the fence has moved");
        assert_eq!(world.keep(taken(2, &decision)).await, Appended::Kept);
        assert_eq!(world.keep(taken(3, &decision)).await, Appended::Lost, "the run is not paused any more");
        let record = world.record(run).await;
        assert_eq!((record.status, record.owner, record.fence), (Status::Running, Some(OTHER), 3));
        let approval = world.approval(ids[0]).await;
        assert_eq!((approval.status.as_str(), approval.actor.as_deref()), ("approved", Some("ana")));
        assert_eq!(approval.reason.as_deref(), Some("fine"));
        assert!(approval.resolved_at.is_some());
        assert_eq!(approval.request.unwrap().args["to"], CANARY);
    })
    .await;
}

#[tokio::test]
async fn what_is_open_when_a_run_ends_is_rejected_with_the_reason() {
    both(async |location| {
        let world = world(location).await;
        let run = world.start("t").await;
        let ids = world.pause(run, 1, &[4_000_000_000, 4_000_000_000]).await;
        let closes = ApprovalChanges {
            closes: Some(Resolution::RunEnded),
            ..decided(Decided::Rejected(ids[0], Decision::default()))
        };
        assert!(world.keep(world.append(run, 2, end(), closes)).await.is_kept());
        let (first, second) = (world.approval(ids[0]).await, world.approval(ids[1]).await);
        assert_eq!((first.status.as_str(), first.reason), ("rejected", None));
        assert_eq!((second.status.as_str(), second.reason.as_deref()), ("rejected", Some("run_ended")));
        assert_eq!(second.actor, None);
    })
    .await;
}

#[tokio::test]
async fn questions_whose_time_is_over_are_found_until_they_are_decided() {
    both(async |location| {
        let world = world(location).await;
        let run = world.start("t").await;
        let ids = world.pause(run, 1, &[20, 10, 30]).await;
        let expired = async |at: i64| {
            let found =
                world.store.server().expired_approvals(Timestamp::from_seconds(at), 10).await.unwrap();
            found.into_iter().map(|expired| expired.approval).collect::<Vec<_>>()
        };
        assert!(expired(9).await.is_empty());
        assert_eq!(expired(20).await, [ids[1], ids[0]]);
        let pause = Pause { status: Status::PausedForApproval, tokens: None, result: RunResult::default() };
        let append = world.append(run, 2, Standing::Pauses(pause), decided(Decided::Expired(ids[1])));
        assert!(world.keep(append).await.is_kept());
        assert_eq!(expired(20).await, [ids[0]]);
        assert_eq!(world.approval(ids[1]).await.reason.as_deref(), Some("expired"));
    })
    .await;
}

#[tokio::test]
async fn lists_show_the_newest_first_page_by_page_and_filtered() {
    both(async |location| {
        let world = world(location).await;
        let run = world.start("t").await;
        let ids = world.pause(run, 1, &[10, 10, 10]).await;
        let other = world.start("u").await;
        let newest = world.pause(other, 1, &[10]).await[0];
        let append = world.append(other, 2, end(), decided(Decided::Approved(newest, Decision::default())));
        assert!(world.keep(append).await.is_kept());
        let list = async |filter: &ApprovalFilter, before, limit| {
            let found = world.project.approvals(filter, before, limit).await.unwrap();
            found.into_iter().map(|approval| approval.id).collect::<Vec<_>>()
        };
        let all = ApprovalFilter::default();
        assert_eq!(list(&all, None, 2).await, [newest, ids[2]]);
        assert_eq!(list(&all, Some(ids[2]), 9).await, [ids[1], ids[0]]);
        let pending = ApprovalFilter { status: Some("pending".into()), smith: Some(world.smith.id) };
        assert_eq!(list(&pending, None, 9).await, [ids[2], ids[1], ids[0]]);
        let stranger = ApprovalFilter { smith: Some(world.store.ids().mint()), ..all };
        assert!(list(&stranger, None, 9).await.is_empty());
        let nothing = ApprovalFilter { status: Some("\0".into()), smith: None };
        assert!(list(&nothing, None, 9).await.is_empty());
        let neighbour = world.store.project(world.store.ids().mint());
        assert_eq!(neighbour.approval(newest).await.unwrap(), None);
    })
    .await;
}
