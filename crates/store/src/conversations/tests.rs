use domain::Clock as _;
use domain::conversations::merge_metadata;
use domain::ids::Id as _;
use futures::future::join_all;
use serde_json::json;

use super::*;
use crate::db::params;
use crate::smiths::{NewSmith, SmithRecord};
use crate::testing::{Driven, both, open, open_at};
use crate::{Location, ProjectStore, Store};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn titled(title: &str) -> ConversationEdit {
    ConversationEdit { title: Some(title.to_owned()), metadata: object(json!({"z": 1, "a": {"b": null}})) }
}

/// A project with two smiths.
struct World {
    project: ProjectStore,
    ana: SmithRecord,
    bo: SmithRecord,
}

impl World {
    async fn on(store: &Store) -> Self {
        let project = store.project(store.server().bootstrap().await.unwrap().project);
        let smith = async |name: &str| {
            let new = NewSmith { external_id: Some(name.to_owned()), ..NewSmith::default() };
            project.ensure_smith(&new, None).await.unwrap().smith
        };
        let (ana, bo) = (smith("ana").await, smith("bo").await);
        Self { project, ana, bo }
    }

    async fn create(&self, smith: &SmithRecord, new: &ConversationEdit) -> Conversation {
        self.project.create_conversation(smith, new, None).await.unwrap().unwrap()
    }

    async fn find(&self, smith: &SmithRecord, id: ConversationId) -> Option<Conversation> {
        self.project.conversation(smith, id).await.unwrap()
    }
}

#[tokio::test]
async fn a_conversation_is_found_as_it_was_made_by_its_own_smith() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let world = World::on(&store).await;
        let made = world.create(&world.ana, &titled("Heating")).await;
        assert_eq!(made.created_at, clock.now());
        let found = world.find(&world.ana, made.id).await.unwrap();
        assert_eq!(found, made);
        assert_eq!(Value::Object(found.metadata).to_string(), r#"{"z":1,"a":{"b":null}}"#);
        assert_eq!(world.find(&world.bo, made.id).await, None);
        let organization = store.server().bootstrap().await.unwrap().organization;
        let elsewhere = store.organization(organization);
        let elsewhere = elsewhere.create_project("other", &Map::new(), None).await.unwrap();
        assert_eq!(store.project(elsewhere.id).conversation(&world.ana, made.id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_a_conversation_is_called_is_sealed() {
    both(async |location| {
        let store = open(location).await;
        let world = World::on(&store).await;
        let made = world.create(&world.ana, &titled("canary-title")).await;
        assert!(!world.project.title_if_untitled(&world.ana, made.id, "canary-other").await.unwrap());
        let rows = store.db().read("select title, metadata from conversations", params![]).await.unwrap();
        for column in [0, 1] {
            let sealed: Vec<u8> = rows[0].get(column).unwrap();
            assert!(!String::from_utf8_lossy(&sealed).contains("canary"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_title_is_given_once_and_never_over_one_that_was_set() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let world = World::on(&store).await;
        let World { project, ana, bo } = &world;
        let made = world.create(ana, &ConversationEdit::default()).await;
        clock.advance(5);
        assert!(!project.title_if_untitled(bo, made.id, "Theirs").await.unwrap());
        assert!(project.title_if_untitled(ana, made.id, "First").await.unwrap());
        clock.advance(5);
        assert!(!project.title_if_untitled(ana, made.id, "Second").await.unwrap());
        let found = world.find(ana, made.id).await.unwrap();
        assert_eq!(
            (found.title.as_deref(), found.updated_at),
            (Some("First"), made.created_at.plus_seconds(5))
        );
        let renamed = project.change_conversation(
            ana,
            made.id,
            |edit| {
                edit.title = Some("Own".to_owned());
                Ok(())
            },
            None,
        );
        assert_eq!(renamed.await.unwrap().title.as_deref(), Some("Own"));
        assert!(!project.title_if_untitled(ana, made.id, "Third").await.unwrap());
        let never = ConversationId::from_bytes([9; 16]);
        assert!(!project.title_if_untitled(ana, never, "Nobody's").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn no_change_is_lost_among_others() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let world = World::on(&stores[0]).await;
        let made = world.create(&world.ana, &ConversationEdit::default()).await;
        let projects = stores.each_ref().map(|store| store.project(world.project.id()));
        let changes = (0..8).map(|number| {
            let (project, smith) = (&projects[number % 2], &world.ana);
            async move {
                let change = object(json!({format!("key-{number}"): number}));
                let edit = |edit: &mut ConversationEdit| merge_metadata(&mut edit.metadata, &change);
                project.change_conversation(smith, made.id, edit, None).await.unwrap();
            }
        });
        join_all(changes).await;
        assert_eq!(world.find(&world.ana, made.id).await.unwrap().metadata.len(), 8);
    })
    .await;
}

#[tokio::test]
async fn lists_are_read_from_either_end_and_from_behind_any_entry() {
    both(async |location| {
        let store = open(location).await;
        let world = World::on(&store).await;
        let mut made = Vec::new();
        for number in 0..5 {
            made.push(world.create(&world.ana, &titled(&number.to_string())).await.id);
        }
        world.create(&world.bo, &titled("theirs")).await;
        let list = async |order, after, limit| {
            let listed = world.project.conversations(&world.ana, order, after, limit).await.unwrap();
            listed.into_iter().map(|conversation| conversation.id).collect::<Vec<_>>()
        };
        assert_eq!(list(Order::OldestFirst, None, 9).await, made);
        assert_eq!(list(Order::OldestFirst, Some(made[1]), 2).await, made[2..4]);
        made.reverse();
        assert_eq!(list(Order::NewestFirst, None, 9).await, made);
        assert_eq!(list(Order::NewestFirst, Some(made[1]), 2).await, made[2..4]);
        assert!(list(Order::NewestFirst, Some(made[4]), 2).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_for_its_smith_only() {
    both(async |location| {
        let store = open(location).await;
        let world = World::on(&store).await;
        let World { project, ana, bo } = &world;
        let made = world.create(ana, &titled("a")).await;
        assert!(!project.delete_conversation(bo, made.id).await.unwrap());
        assert!(project.delete_conversation(ana, made.id).await.unwrap());
        assert!(!project.delete_conversation(ana, made.id).await.unwrap());
        assert_eq!(world.find(ana, made.id).await, None);
        let changed = project.change_conversation(ana, made.id, |_| Ok(()), None).await;
        assert!(matches!(changed, Err(ChangeError::NoConversation)));
    })
    .await;
}

#[tokio::test]
async fn an_archived_smith_gets_no_conversation() {
    both(async |location| {
        let store = open(location).await;
        let World { project, ana, .. } = World::on(&store).await;
        project.archive_smith(ana.id).await.unwrap().unwrap();
        assert_eq!(project.create_conversation(&ana, &titled("a"), None).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn one_that_cannot_be_read_hides_no_other_and_is_not_written_over() {
    both(async |location: Location| {
        let store = open(location).await;
        let world = World::on(&store).await;
        let World { project, ana, .. } = &world;
        let (damaged, whole) = (world.create(ana, &titled("a")).await, world.create(ana, &titled("b")).await);
        let mut batch = crate::Batch::new();
        batch.exec(
            "update conversations set metadata = $1 where id = $2",
            params![vec![1_u8, 2, 3], damaged.id],
        );
        store.db().commit(batch).await.unwrap();
        let listed = project.conversations(ana, Order::OldestFirst, None, 9).await.unwrap();
        assert_eq!((listed[0].title.as_deref(), listed[0].metadata.len()), (None, 0));
        assert_eq!(listed[1], whole);
        let changed = project.change_conversation(ana, damaged.id, |_| Ok(()), None).await;
        assert!(matches!(changed, Err(ChangeError::Store(error)) if error.is_damage()));
    })
    .await;
}
