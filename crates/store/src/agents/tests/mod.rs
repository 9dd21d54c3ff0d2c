//! What several of the tests need.

mod attach;
mod counts;
mod default;
mod life;
mod races;
mod scale;

use domain::agents::{Percent, Slug};
use domain::ids::AgentId;
use domain::smiths::Config;

use super::{AgentRecord, NewAgent, Publication};
use crate::db::params;
use crate::smiths::{NewSmith, SmithRecord};
use crate::{ProjectStore, Store};

async fn project(store: &Store) -> ProjectStore {
    store.project(store.server().bootstrap().await.unwrap().project)
}

fn draft(instructions: &str) -> Config {
    Config { instructions: Some(instructions.to_owned()), ..Config::default() }
}

fn named(name: &str) -> NewAgent {
    NewAgent { name: name.to_owned(), slug: None, draft: draft(name) }
}

fn slug(record: &AgentRecord) -> &str {
    record.agent.slug.as_deref().unwrap()
}

fn with_slug(text: &str) -> NewAgent {
    NewAgent { slug: Some(Slug::parse(text).unwrap()), ..named("Named") }
}

/// Makes an agent with a version that is live.
async fn published(project: &ProjectStore, name: &str) -> AgentId {
    let agent = project.create_agent(&named(name), None).await.unwrap().agent.id;
    project.publish_agent(agent, &Publication::default(), None).await.unwrap();
    agent
}

fn on(agent: AgentId, external_id: Option<&str>) -> NewSmith {
    NewSmith { agent: Some(agent), external_id: external_id.map(str::to_owned), ..NewSmith::default() }
}

async fn smith(project: &ProjectStore, agent: AgentId, external_id: Option<&str>) -> SmithRecord {
    project.ensure_smith(&on(agent, external_id), None).await.unwrap().smith
}

async fn count(project: &ProjectStore, agent: AgentId) -> u64 {
    project.agent_record(agent).await.unwrap().unwrap().smith_count
}

fn percent(percent: u32) -> Percent {
    Percent::new(percent).unwrap()
}

/// Checks that what is counted of each agent is what is there.
async fn counts_are_true(store: &Store) {
    let wrong = store
        .db()
        .read(
            "select agents.name from agents where \
             (select count(*) from smiths where smiths.agent_id = agents.id and smiths.archived_at is null) <> \
             (select coalesce(sum(smith_count), 0) from agent_smith_counts where agent_id = agents.id)",
            params![],
        )
        .await
        .unwrap();
    assert_eq!(wrong, []);
}
