use std::sync::Arc;
use std::time::Duration;

use domain::ids::AgentId;
use serde_json::json;
use vault::{Ids, MasterKey};

use super::*;
use crate::idempotency::{GUARD, IdempotencyKey, Remember};
use crate::testing::{Driven, both, open, open_at, options};
use crate::{DbOptions, Location, Store};

async fn project(store: &Store) -> (ProjectStore, AgentId) {
    let project = store.project(store.server().bootstrap().await.unwrap().project);
    let agent = project.default_agent().await.unwrap().id;
    (project, agent)
}

fn template(name: &str) -> UiTemplate {
    UiTemplate::parse(&json!({"name": name, "tool": {"mutating": true, "description": "d"}}).to_string())
        .unwrap()
}

/// A made-up hash: the store takes the caller's word for it.
fn hash(html: &str) -> String {
    html.bytes().map(|byte| format!("{byte:02x}")).collect()
}

async fn put(project: &ProjectStore, agent: AgentId, name: &str, html: &str) -> Value {
    let content = UiContent { hash: &hash(html), html: html.as_bytes() };
    project.put_ui_template(agent, &template(name), content, None).await.unwrap()
}

async fn has(project: &ProjectStore, html: &str) -> bool {
    let content = project.ui_content(&hash(html)).await.unwrap();
    assert!(content.as_deref().is_none_or(|content| content == html.as_bytes()));
    content.is_some()
}

async fn names(project: &ProjectStore, agent: AgentId) -> Vec<String> {
    let templates = project.ui_templates(agent).await.unwrap().unwrap();
    templates.iter().filter_map(name_of).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_template_is_in_the_draft_and_replaced_by_its_name() {
    both(async |location| {
        let store = open(location).await;
        let (project, agent) = project(&store).await;
        put(&project, agent, "card", "one").await;
        put(&project, agent, "form", "two").await;
        let replaced = put(&project, agent, "card", "three").await;
        assert_eq!(names(&project, agent).await, ["card", "form"]);
        let draft = project.agent(agent).await.unwrap().unwrap().draft;
        assert_eq!(draft.ui_resources[0].to_string(), replaced.to_string());
        assert!(has(&project, "three").await && has(&project, "two").await);
        assert!(project.delete_ui_template(agent, "card").await.unwrap());
        assert!(!project.delete_ui_template(agent, "card").await.unwrap());
        assert_eq!(names(&project, agent).await, ["form"]);
        // Nobody else's agent, and no content of another project.
        let stranger = store.project(store.ids().mint());
        assert!(stranger.ui_templates(agent).await.unwrap().is_none());
        assert!(!stranger.delete_ui_template(agent, "form").await.unwrap());
        assert!(!has(&stranger, "two").await);
        let content = UiContent { hash: "00", html: b"x" };
        let refused = stranger.put_ui_template(agent, &template("a"), content, None).await;
        assert!(matches!(refused, Err(PutTemplateError::NoAgent)));
    })
    .await;
}

#[tokio::test]
async fn templates_that_come_at_the_same_time_are_all_there() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let puts = (0..8).map(async |number| {
            let (project, agent) = &projects[number % 2];
            put(project, *agent, &format!("t{number}"), "the same").await;
        });
        futures::future::join_all(puts).await;
        assert_eq!(names(&projects[0].0, projects[0].1).await.len(), 8);
    })
    .await;
}

#[tokio::test]
async fn an_agent_has_so_many_templates_and_no_more() {
    both(async |location| {
        let store = open(location).await;
        let (project, agent) = project(&store).await;
        for number in 0..MOST_TEMPLATES {
            put(&project, agent, &format!("t{number}"), "x").await;
        }
        let content = UiContent { hash: "00", html: b"x" };
        let refused = project.put_ui_template(agent, &template("more"), content, None).await;
        assert!(matches!(refused, Err(PutTemplateError::TooMany)));
        put(&project, agent, "t0", "y").await;
        assert_eq!(names(&project, agent).await.len(), MOST_TEMPLATES);
    })
    .await;
}

#[tokio::test]
async fn content_that_nothing_names_is_deleted_after_a_while() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let (project, agent) = project(&store).await;
        for (name, html) in [("a", "dropped"), ("b", "published"), ("c", "shared"), ("d", "shared"), ("e", "again")] {
            put(&project, agent, name, html).await;
        }
        let mut batch = Batch::new();
        batch.exec(
            "insert into agent_versions (agent_id, version, snapshot, created_at) select id, 2, draft, 0 from agents where id = $1",
            params![agent],
        );
        // What only the version still names must not go, so the other is not in it.
        put(&project, agent, "a", "replaced").await;
        store.db().commit(batch).await.unwrap();
        for name in ["b", "c", "e"] {
            assert!(project.delete_ui_template(agent, name).await.unwrap());
        }
        put(&project, agent, "f", "again").await;
        clock.advance(WAIT - 1);
        put(&project, agent, "z", "other").await;
        assert!(has(&project, "dropped").await, "a version may be on its way");
        clock.advance(1);
        put(&project, agent, "z", "other").await;
        assert!(!has(&project, "dropped").await);
        for kept in ["published", "shared", "again", "replaced", "other"] {
            assert!(has(&project, kept).await, "{kept}");
        }
        // What was kept because something named it goes when nothing does.
        project.delete_ui_template(agent, "f").await.unwrap();
        let mut batch = Batch::new();
        batch.exec("delete from agent_versions where version = 2", params![]);
        store.db().commit(batch).await.unwrap();
        clock.advance(WAIT);
        project.delete_ui_template(agent, "z").await.unwrap();
        assert!(!has(&project, "again").await);
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_is_repeated_is_stored_once() {
    both(async |location| {
        let store = open(location).await;
        let (project, agent) = project(&store).await;
        let key = IdempotencyKey::new([1; 16], [1; 16], "/ui", "k", [1; 32]);
        let remember = |record: &Value| Ok(Remember::answer(key, 200, record.to_string().into_bytes()));
        let template = template("card");
        let content = UiContent { hash: "00", html: b"x" };
        let puts = (0..4).map(|_| project.put_ui_template(agent, &template, content, Some(&remember)));
        let results = futures::future::join_all(puts).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for refusal in results.into_iter().filter_map(Result::err) {
            assert!(matches!(refusal, PutTemplateError::Store(error) if error.is_guard(GUARD)));
        }
        let answer = store.server().remembered(&key).await.unwrap().unwrap().answer.unwrap().1;
        assert_eq!(answer, template.record("00").to_string().into_bytes());
    })
    .await;
}

#[tokio::test]
async fn an_upload_does_not_fail_with_the_deletion_of_old_html() {
    let database = testkit::postgres::database().await;
    let clock = Driven::new();
    let options = DbOptions {
        statement_timeout: Duration::from_millis(500),
        ..options(Location::Postgres(database.url()))
    };
    let ids = Ids::new(Arc::new(clock.clone()));
    let store = Store::open(&options, MasterKey::from_bytes([7; 32]), ids).await.unwrap();
    let (project, agent) = project(&store).await;
    put(&project, agent, "card", "old").await;
    put(&project, agent, "card", "new").await;
    clock.advance(WAIT);
    // Somebody holds what is to be deleted, for longer than a statement may take.
    let mut other = database.client().await;
    let held = other.transaction().await.unwrap();
    let sql = "select 1 from ui_contents where hash = $1 for update";
    assert_eq!(held.query(sql, &[&hash("old")]).await.unwrap().len(), 1);
    put(&project, agent, "form", "newer").await;
    assert_eq!(names(&project, agent).await, ["card", "form"]);
    assert!(project.delete_ui_template(agent, "form").await.unwrap());
    assert!(has(&project, "old").await);
    held.rollback().await.unwrap();
    put(&project, agent, "form", "newest").await;
    assert!(!has(&project, "old").await);
}
