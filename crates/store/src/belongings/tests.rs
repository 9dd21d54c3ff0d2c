//! A smith with something in every table, and a neighbour whose things must stay.

mod erase;
mod export;
mod schema;

use domain::content::{Content, Message, Role};
use domain::frames::Frame;
use domain::ids::{FileId, Id as _, RunId};
use domain::items::Item;
use domain::models::Provider;
use domain::principals::{Actor, ActorKind, Permission};
use domain::run::{Ending, Input, StopReason};
use domain::usage::Tokens;
use serde_json::{Map, Value as Json, json};

use crate::approvals::{ApprovalChanges, ApprovalRequest, NewApproval, Resolution};
use crate::conversations::ConversationEdit;
use crate::files::StoredFile;
use crate::idempotency::{IdempotencyKey, Remember};
use crate::model_keys::KeyOwner;
use crate::runs::{
    Append, End, JournalEntry, NewFrames, NewRun, NodeId, RunConfig, RunRequest, RunResult, Standing, Started,
};
use crate::smiths::{NewSmith, SmithRecord};
use crate::tokens::NewToken;
use crate::{ProjectStore, Store};

const NODE: NodeId = [1; 16];

/// A person whose texts all begin with the same word.
pub(super) struct Person {
    pub(super) word: &'static str,
    pub(super) smith: SmithRecord,
    pub(super) runs: Vec<RunId>,
}

fn object(value: Json) -> Map<String, Json> {
    value.as_object().cloned().unwrap()
}

pub(super) async fn project(store: &Store) -> ProjectStore {
    store.project(store.server().bootstrap().await.unwrap().project)
}

impl Person {
    /// Makes a person with runs that have ended and one that has not, and with a row in every table.
    pub(super) async fn with_everything(project: &ProjectStore, word: &'static str, ended: usize) -> Self {
        let mut new = NewSmith { external_id: Some(format!("{word}-external")), ..NewSmith::default() };
        let body = object(json!({
            "display_name": format!("{word}-name"),
            "metadata": {"key": format!("{word}-metadata")},
            "instructions": format!("{word}-instructions"),
        }));
        new.profile.apply(&body).unwrap();
        new.overrides.apply(&body).unwrap();
        let smith = project.ensure_smith(&new, None).await.unwrap().smith;
        let mut person = Self { word, smith, runs: Vec::new() };
        for number in 0..ended {
            let run = person.start(project, &format!("{word}-thread-{number}")).await;
            assert!(person.finish(project, run).await);
        }
        person.start(project, &format!("{word}-open")).await;
        let conversation = ConversationEdit {
            title: Some(person.text("title")),
            metadata: object(json!({"note": person.text("kept-in-mind")})),
        };
        project.create_conversation(&person.smith, &conversation, None).await.unwrap().unwrap();
        let id = person.smith.id;
        let new = NewToken { name: Some(format!("{word}-token")), ttl_seconds: Some(60) };
        project.mint_smith_token(id, &[Permission::RunsRead], &new, None).await.unwrap().unwrap();
        let address = format!("https://{word}-host.example");
        let key = format!("{word}-key");
        let owner = KeyOwner::Smith(id);
        assert!(project.put_model_key(owner, Provider::Openai, &key, Some(&address)).await.unwrap());
        let remember = Remember::answer(key_of(word), 201, format!("{word}-answer").into_bytes());
        project.store.server().remember(&remember.of_smith(Some(id))).await.unwrap();
        person
    }

    fn text(&self, what: &str) -> String {
        format!("{}-{what}", self.word)
    }

    pub(super) fn new_run(&self, project: &ProjectStore, thread_id: &str) -> NewRun {
        let smith = self.smith.id;
        let input = Input::Started { smith_id: smith, thread_id: thread_id.to_owned(), warnings: vec![] };
        let frames = vec![Frame::Started { smith_id: smith, thread_id: thread_id.to_owned() }];
        let ids = project.store.ids();
        NewRun {
            id: ids.mint(),
            smith,
            agent: self.smith.agent,
            agent_version: self.smith.agent_version,
            thread_id: thread_id.to_owned(),
            channel: self.text("channel"),
            model: "scripted/demo".to_owned(),
            actor: Actor {
                kind: ActorKind::Smith,
                id: smith.to_string(),
                token_id: domain::ids::TokenId::from_bytes([3; 16]).to_string(),
                email: self.text("mail"),
            },
            request: RunRequest {
                input: vec![Message { role: Role::User, content: Content::Text(self.text("question")) }],
                metadata: object(json!({"note": self.text("note")})),
                response_format: None,
                overlay: Default::default(),
            },
            config: RunConfig::default(),
            node: NODE,
            beginning: (JournalEntry { input, next_seq: 1 }, NewFrames { from: 0, frames }),
            waiting: 16,
            at_once: None,
            files: vec![StoredFile {
                id: ids.mint::<FileId>(),
                media_type: "text/plain".to_owned(),
                filename: format!("{}-file.txt", self.word),
                bytes: self.text("content").into_bytes(),
            }],
            remember: None,
            meanwhile: false,
            at: ids.now(),
        }
    }

    pub(super) async fn start(&mut self, project: &ProjectStore, thread_id: &str) -> RunId {
        let run = self.new_run(project, thread_id);
        assert_eq!(project.start_run(&self.smith.seal, &run).await.unwrap(), Started::Running);
        self.runs.push(run.id);
        run.id
    }

    /// Appends a delta to a run, as its driver does.
    pub(super) async fn append(&self, project: &ProjectStore, run: RunId, seq: u64) -> bool {
        let append = self.addition(run, seq, Frame::Delta { delta: self.text("delta") });
        project.store.server().append_to_run(&append).await.unwrap().is_kept()
    }

    pub(super) async fn finish(&self, project: &ProjectStore, run: RunId) -> bool {
        let frame = Frame::Completed { stop_reason: "end_turn".into(), usage: None, warnings: vec![] };
        let mut append = self.addition(run, 1, frame);
        append.standing = Standing::Ends(End {
            ending: Ending::Completed { stop_reason: StopReason::EndTurn },
            tokens: Some(Tokens { input: 7, output: 2, ..Tokens::default() }),
            result: RunResult {
                content: self.text("answer"),
                transcript: vec![Item::assistant(self.text("answer"))],
                ..RunResult::default()
            },
        });
        append.approvals = ApprovalChanges {
            project: Some(project.id()),
            smith: Some(self.smith.id),
            asked: vec![NewApproval {
                id: project.store.ids().mint(),
                request: ApprovalRequest {
                    tool_call_id: "call_1".into(),
                    tool: "refund".into(),
                    args: object(json!({"note": self.text("arguments")})),
                    elicitation: None,
                },
                expires_at: project.store.ids().now(),
            }],
            decided: None,
            closes: Some(Resolution::RunEnded),
            withdrawn: Vec::new(),
        };
        project.store.server().append_to_run(&append).await.unwrap().is_kept()
    }

    fn addition(&self, run: RunId, seq: u64, frame: Frame) -> Append<'_> {
        Append {
            run,
            seal: &self.smith.seal,
            fence: 1,
            expected_seq: seq,
            takes_over: false,
            frames: NewFrames { from: seq, frames: vec![frame] },
            journal: (1, vec![]),
            standing: Standing::Runs,
            approvals: ApprovalChanges::default(),
            remember: None,
            meanwhile: false,
            announce: false,
            at: domain::Timestamp::from_seconds(1),
        }
    }
}

pub(super) fn key_of(word: &str) -> IdempotencyKey {
    IdempotencyKey::new([1; 16], [2; 16], "/v1/smiths", word, [0; 32])
}
