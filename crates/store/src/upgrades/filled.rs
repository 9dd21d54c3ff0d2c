//! What a fixture is filled with: rows of every table.

use domain::content::{Content, Message, Role};
use domain::frames::Frame;
use domain::ids::{Id as _, RunId};
use domain::items::Item;
use domain::models::Provider;
use domain::principals::{Actor, ActorKind, Permission};
use domain::run::{Ending, Input, StopReason};
use domain::usage::Tokens;
use domain::{Code, ids::FileId};
use serde_json::{Map, json};

use super::STATUSES;
use crate::approvals::ApprovalChanges;
use crate::files::StoredFile;
use crate::idempotency::{IdempotencyKey, Remember};
use crate::model_keys::KeyOwner;
use crate::runs::{
    Append, End, JournalEntry, NewFrames, NewRun, NodeId, RunConfig, RunError, RunFilter, RunRequest,
    RunResult, Standing,
};
use crate::smiths::{NewSmith, SmithFilter, SmithRecord};
use crate::tokens::NewToken;
use crate::{ProjectStore, Store};

const NODE: NodeId = [1; 16];
const HEIR: NodeId = [2; 16];
const THREAD: &str = "orders";
const FILE: [u8; 16] = [6; 16];

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new([4; 16], [5; 16], "/v1/smiths/{pid}/runs", name, [1; 32])
}

/// Fills a fresh store.
pub(super) async fn fill(store: &Store) {
    let first = store.server().bootstrap().await.unwrap();
    let organization = store.organization(first.organization);
    organization.create_project("shop", json!({"a": "it's"}).as_object().unwrap(), None).await.unwrap();
    organization.mint_key(&NewToken::default(), None).await.unwrap().unwrap();
    let project = store.project(first.project);
    let mut new = NewSmith { external_id: Some("ana".to_owned()), ..NewSmith::default() };
    new.profile.apply(json!({"display_name": "Ana"}).as_object().unwrap()).unwrap();
    new.overrides.apply(json!({"instructions": "Be kind."}).as_object().unwrap()).unwrap();
    let smith = project.ensure_smith(&new, None).await.unwrap().smith;
    let named = NewToken { name: Some("backend".to_owned()), ttl_seconds: None };
    let revoked = project.mint_admin_token(&named, None).await.unwrap().unwrap();
    assert!(project.revoke_token(revoked.record.id).await.unwrap());
    project.mint_admin_token(&named, None).await.unwrap().unwrap();
    project.mint_smith_token(smith.id, &[Permission::RunsRead], &named, None).await.unwrap().unwrap();
    let url = Some("https://models.example/v1");
    assert!(project.put_model_key(KeyOwner::Project, Provider::Openai, "sk-fixture", url).await.unwrap());
    store.server().remember(&Remember::answer(key("answer"), 201, b"{}".to_vec())).await.unwrap();
    store.server().join(NODE).await.unwrap();

    let completed = Ending::Completed { stop_reason: StopReason::EndTurn };
    start_and_end(store, &project, &smith, "one", completed).await;
    let failed =
        Ending::Failed { code: Code::ModelRequestFailed, message: "refused".to_owned(), transient: false };
    start_and_end(store, &project, &smith, "two", failed).await;
    let running = start(store, &project, &smith, "three").await;
    let delta = Frame::Delta { delta: "Half".to_owned() };
    assert!(append(store, &smith, running, vec![delta], None).await);
    start(store, &project, &smith, "four").await;
}

async fn start(store: &Store, project: &ProjectStore, smith: &SmithRecord, says: &str) -> RunId {
    let id: RunId = store.ids().mint();
    let input = Input::Started { smith_id: smith.id, thread_id: THREAD.to_owned(), warnings: vec![] };
    let frames = vec![Frame::Started { smith_id: smith.id, thread_id: THREAD.to_owned() }];
    let file = StoredFile {
        id: FileId::from_bytes(FILE),
        media_type: "text/plain".to_owned(),
        filename: "note.txt".to_owned(),
        bytes: b"a note".to_vec(),
    };
    let run = NewRun {
        id,
        smith: smith.id,
        agent: smith.agent,
        agent_version: smith.agent_version,
        thread_id: THREAD.to_owned(),
        channel: "api".to_owned(),
        model: "scripted/demo".to_owned(),
        actor: Actor {
            kind: ActorKind::Tenant,
            id: project.id().to_string(),
            token_id: "tok_fixture".to_owned(),
            email: String::new(),
        },
        request: RunRequest {
            input: vec![Message { role: Role::User, content: Content::Text(says.to_owned()) }],
            metadata: json!({"order": says}).as_object().cloned().unwrap_or_else(Map::new),
            response_format: None,
            overlay: Default::default(),
        },
        config: RunConfig {
            config: smith.effective(),
            resolved_model: "scripted/demo".to_owned(),
            max_model_calls: 50,
            rendered_instructions: None,
        },
        node: NODE,
        beginning: (JournalEntry { input, next_seq: 1 }, NewFrames { from: 0, frames }),
        waiting: 16,
        at_once: None,
        files: if says == "one" { vec![file] } else { vec![] },
        remember: Some(Remember::run(key(says), id)),
        meanwhile: false,
        at: store.ids().now(),
    };
    project.start_run(&smith.seal, &run).await.unwrap();
    id
}

async fn start_and_end(
    store: &Store,
    project: &ProjectStore,
    smith: &SmithRecord,
    says: &str,
    ending: Ending,
) {
    let run = start(store, project, smith, says).await;
    let (frame, error) = match &ending {
        Ending::Failed { code, message, .. } => (
            Frame::Failed { error: message.clone(), code: *code },
            Some(RunError { code: *code, message: message.clone(), transient: false }),
        ),
        _ => (Frame::Completed { stop_reason: "end_turn".into(), usage: None, warnings: vec![] }, None),
    };
    let end = End {
        ending,
        tokens: Some(Tokens { input: 7, output: 2, ..Tokens::default() }),
        result: RunResult {
            content: format!("You said {says}."),
            transcript: vec![Item::assistant(format!("You said {says}."))],
            error,
            ..RunResult::default()
        },
    };
    assert!(append(store, smith, run, vec![frame], Some(end)).await);
}

async fn append(
    store: &Store,
    smith: &SmithRecord,
    run: RunId,
    frames: Vec<Frame>,
    end: Option<End>,
) -> bool {
    let append = Append {
        run,
        seal: &smith.seal,
        fence: 1,
        expected_seq: 1,
        takes_over: false,
        frames: NewFrames { from: 1, frames },
        journal: (1, vec![]),
        standing: end.map_or(Standing::Runs, Standing::Ends),
        approvals: ApprovalChanges::default(),
        remember: None,
        meanwhile: false,
        announce: false,
        at: store.ids().now(),
    };
    store.server().append_to_run(&append).await.unwrap().is_kept()
}

/// What [`fill`] has made, found again without knowing an id.
pub(super) struct Filled {
    project: ProjectStore,
    smith: SmithRecord,
    /// Oldest first.
    runs: Vec<RunId>,
}

impl Filled {
    pub(super) async fn find(store: &Store) -> Self {
        let first = store.server().bootstrap().await.unwrap();
        let project = store.project(first.project);
        let smiths = project.smiths(&SmithFilter::default(), None, 10).await.unwrap();
        assert_eq!(smiths.len(), 1);
        let smith = project.smith(smiths[0].id).await.unwrap().unwrap();
        let mut runs = project.runs(&RunFilter::default(), None, 10).await.unwrap();
        runs.reverse();
        Self { project, smith, runs: runs.into_iter().map(|run| run.id).collect() }
    }

    /// Reads everything, and goes on with what was under way.
    pub(super) async fn check(&self, store: &Store) {
        self.check_tenant(store).await;
        self.check_runs().await;
        self.go_on(store).await;
    }

    async fn check_tenant(&self, store: &Store) {
        let (project, smith) = (&self.project, &self.smith);
        assert_eq!(smith.external_id.as_deref(), Some("ana"));
        assert_eq!(smith.profile.display_name.as_deref(), Some("Ana"));
        assert_eq!(smith.effective().instructions.as_deref(), Some("Be kind."));
        let tokens = project.tokens(None, 10).await.unwrap();
        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens.iter().filter(|token| token.revoked_at.is_some()).count(), 1);
        for token in &tokens {
            let presented = store.server().presented_token(token.id).await.unwrap().unwrap();
            assert_eq!((presented.scopes, presented.orphaned), (token.scopes.clone(), false));
        }
        let minted = project.mint_admin_token(&NewToken::default(), None).await.unwrap();
        assert!(minted.is_some(), "the signing key still signs");
        assert_eq!(store.server().jwks().await.unwrap()["keys"].as_array().unwrap().len(), 1);
        let keys = project.usable_model_keys(Some(smith.id)).await.unwrap();
        assert_eq!(keys.resolve(Provider::Openai).unwrap().unwrap().api_key, "sk-fixture");
        let first = store.server().bootstrap().await.unwrap();
        let organization = store.organization(first.organization);
        assert_eq!(organization.projects(Some("shop"), None, 10).await.unwrap()[0].metadata["a"], "it's");
        assert_eq!(organization.keys(None, 10).await.unwrap().len(), 1);
    }

    async fn check_runs(&self) {
        let (project, smith) = (&self.project, &self.smith);
        for ((run, status), says) in self.runs.iter().zip(STATUSES).zip(["one", "two", "three", "four"]) {
            let record = project.run(*run).await.unwrap().unwrap();
            assert_eq!(record.status, status);
            assert_eq!(record.request.metadata["order"], says);
            let frames = project.frames(*run, &smith.seal, 0, 10).await.unwrap();
            let count: usize = frames.iter().map(|block| block.frames.len()).sum();
            assert_eq!(u64::try_from(count).unwrap(), record.next_seq);
            if status.is_final() {
                assert_eq!(record.result.unwrap().content, format!("You said {says}."));
                assert_eq!(record.tokens.unwrap().input, 7);
            }
        }
        let turns = project.turns_before(self.runs[2], smith.id, THREAD, &smith.seal, 10).await.unwrap();
        assert_eq!(turns.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [self.runs[1], self.runs[0]]);
        let file = project.file(smith.id, FileId::from_bytes(FILE), &smith.seal).await.unwrap().unwrap();
        assert_eq!((file.filename.as_str(), file.bytes.as_slice()), ("note.txt", b"a note".as_slice()));
    }

    async fn go_on(&self, store: &Store) {
        let (project, server) = (&self.project, store.server());
        assert_eq!(server.other_nodes(HEIR).await.unwrap(), [(NODE, 0)]);
        server.join(HEIR).await.unwrap();
        assert!(server.bury(NODE, 0).await.unwrap());
        let claimed = server.claim_orphans(HEIR, 10).await.unwrap();
        assert_eq!(claimed.iter().map(|claimed| claimed.run).collect::<Vec<_>>(), [self.runs[2]]);
        let saved = project.saved_run(self.runs[2]).await.unwrap().unwrap();
        assert_eq!((saved.journal.len(), saved.record.next_seq, saved.record.crashes), (1, 2, 1));
        assert_eq!(saved.config.max_model_calls, 50);
        start(store, project, &self.smith, "five").await;
        assert_eq!(project.runs(&RunFilter::default(), None, 10).await.unwrap().len(), 5);
    }
}
