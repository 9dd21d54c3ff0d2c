//! An engine on a fresh database of each kind, for tests.

use std::sync::Arc;
use std::time::Duration;

use domain::content::{Content, Message, Role};
use domain::frames::Frame;
use domain::ids::RunId;
use domain::principals::{Actor, ActorKind};
use domain::run::Input;
use egress::{Egress, Policy};
use models::Models;
use models::scripted::Scripts;
use store::runs::{JournalEntry, NewFrames, NewRun, NodeId, RunConfig, RunRequest};
use store::smiths::{NewSmith, SmithRecord};
use store::{DbOptions, Location, ProjectStore, Store};
use tools::Tools;
use vault::{Ids, MasterKey, SystemClock};

use crate::Engine;
use crate::keys::{HostedKeys, Keys};
use crate::options::Options;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) project: ProjectStore,
    pub(crate) smith: SmithRecord,
}

/// Runs a test body with an engine on each database.
pub(crate) async fn both(body: impl AsyncFn(World)) {
    let directory = tempfile::tempdir().unwrap();
    body(world(Location::Sqlite(directory.path().join("ingram.db"))).await).await;
    let database = testkit::postgres::database().await;
    body(world(Location::Postgres(database.url())).await).await;
}

async fn world(location: Location) -> World {
    let options = DbOptions {
        location,
        connections: 4,
        wait: Duration::from_secs(10),
        queue: 1_000,
        cache_bytes: 1_000_000,
        statement_timeout: Duration::from_secs(30),
    };
    let ids = Ids::new(Arc::new(SystemClock));
    let store = Store::open(&options, MasterKey::from_bytes([7; 32]), ids).await.unwrap();
    let project = store.project(store.server().bootstrap().await.unwrap().project);
    let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith;
    let egress = Egress::new().unwrap();
    let models = Models::new(
        models::Options::default(),
        &egress,
        Policy::LocalToo,
        Scripts::bundled(),
        Arc::new(|| 0.5),
    );
    let keys = Keys::new(HostedKeys::new(), None);
    let ids = store.ids().clone();
    let options = tools::Options::default();
    let tools = Tools {
        hosted: tools::HostedTools::new(&egress, Policy::LocalToo, &options, ids.clone()).unwrap(),
        webhooks: tools::Webhooks::new(&egress, Policy::LocalToo, &options, ids).unwrap(),
        mcp: tools::Mcp::new(&egress, Policy::LocalToo, tools::mcp::Options::default()).unwrap(),
    };
    let engine = Engine::new(store.clone(), keys, models.unwrap(), tools, Options::default()).await.unwrap();
    World { engine, store, project, smith }
}

impl World {
    /// Stores a run that another replica runs.
    pub(crate) async fn run_elsewhere(&self, node: NodeId) -> RunId {
        let id: RunId = self.store.ids().mint();
        let thread_id = "t".to_owned();
        let input =
            Input::Started { smith_id: self.smith.id, thread_id: thread_id.clone(), warnings: vec![] };
        let frames = vec![Frame::Started { smith_id: self.smith.id, thread_id: thread_id.clone() }];
        let run = NewRun {
            id,
            smith: self.smith.id,
            agent: self.smith.agent,
            agent_version: self.smith.agent_version,
            thread_id,
            channel: "api".to_owned(),
            model: "scripted/demo".to_owned(),
            actor: Actor {
                kind: ActorKind::Tenant,
                id: self.project.id().to_string(),
                token_id: String::new(),
                email: String::new(),
            },
            request: RunRequest {
                input: vec![Message { role: Role::User, content: Content::Text("x".to_owned()) }],
                ..RunRequest::default()
            },
            config: RunConfig {
                max_model_calls: 10,
                resolved_model: "scripted/demo".to_owned(),
                ..RunConfig::default()
            },
            node,
            beginning: (JournalEntry { input, next_seq: 1 }, NewFrames { from: 0, frames }),
            waiting: 16,
            at_once: None,
            files: vec![],
            remember: None,
            meanwhile: false,
            at: self.store.ids().now(),
        };
        self.project.start_run(&self.smith.seal, &run).await.unwrap();
        id
    }
}
