use domain::principals::ActorKind;
use serde_json::{Map, Value, json};

use super::*;
use crate::Store;
use crate::idempotency::{GUARD, IdempotencyKey, Remember};
use crate::smiths::NewSmith;
use crate::testing::{both, open};

async fn project(store: &Store) -> ProjectStore {
    store.project(store.server().bootstrap().await.unwrap().project)
}

fn body(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn actor() -> Actor {
    Actor { kind: ActorKind::Tenant, id: "proj_1".into(), token_id: "tok_1".into(), email: String::new() }
}

async fn made(project: &ProjectStore, value: Value) -> SmithRecord {
    let mut new = NewSmith { author: Some(actor()), ..NewSmith::default() };
    new.overrides.apply(&body(value)).unwrap();
    project.ensure_smith(&new, None).await.unwrap().smith
}

async fn change(project: &ProjectStore, smith: SmithId, value: Value) -> SmithRecord {
    let changed = project.change_smith(smith, |edit| {
        edit.author = Some(actor());
        edit.profile.apply(&body(value.clone()))?;
        edit.overrides.apply(&body(value.clone()))?;
        Ok(())
    });
    changed.await.unwrap()
}

/// Reads all revisions as their numbers and what they say.
async fn history(project: &ProjectStore, smith: SmithId) -> Vec<(u32, Value)> {
    let smith = project.smith(smith).await.unwrap().unwrap();
    let revisions = project.smith_revisions(&smith, None, 1_000).await.unwrap();
    let said = |revision: Revision| (revision.number, serde_json::to_value(&revision.overrides).unwrap());
    revisions.into_iter().map(said).collect()
}

#[tokio::test]
async fn each_change_of_the_configuration_is_a_revision_and_nothing_else_is() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = made(&project, json!({"instructions": "one"})).await;
        change(&project, smith.id, json!({"instructions": "two", "locale": "pt"})).await;
        for nothing in [json!({"instructions": "two"}), json!({"locale": "de"}), json!({"model": null})] {
            change(&project, smith.id, nothing).await;
        }
        let last = change(&project, smith.id, json!({"instructions": null, "tools": []})).await;
        let wanted = [
            (3, json!({"tools": []})),
            (2, json!({"instructions": "two"})),
            (1, json!({"instructions": "one"})),
        ];
        assert_eq!(history(&project, smith.id).await, wanted);
        let revisions = project.smith_revisions(&last, Some(3), 1).await.unwrap();
        assert_eq!(revisions.iter().map(|revision| revision.number).collect::<Vec<_>>(), [2]);
        assert_eq!((&revisions[0].actor, &revisions[0].note), (&Some(actor()), &None));
        // A person who is there already is not made again.
        let pair = NewSmith { external_id: Some("ana".into()), ..NewSmith::default() };
        let first = project.ensure_smith(&pair, None).await.unwrap().smith;
        project.ensure_smith(&pair, None).await.unwrap();
        assert_eq!(history(&project, first.id).await, [(1, json!({}))]);
    })
    .await;
}

#[tokio::test]
async fn restoring_is_a_change_like_any_other() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith =
            made(&project, json!({"instructions": "one", "skills": [{"version": 2, "skill_id": "s"}]})).await;
        change(&project, smith.id, json!({"instructions": "two", "skills": null, "auto_memory": true})).await;
        let restored = project.restore_revision(smith.id, 1, &actor(), Some("back"), None).await.unwrap();
        assert_eq!((restored.number, restored.note.as_deref()), (3, Some("back")));
        let now = project.smith(smith.id).await.unwrap().unwrap();
        assert_eq!(now.overrides, smith.overrides);
        assert_eq!(project.smith_revisions(&now, None, 1).await.unwrap(), std::slice::from_ref(&restored));
        // As it is is a revision, too.
        assert_eq!(project.restore_revision(smith.id, 3, &actor(), None, None).await.unwrap().number, 4);
        for unknown in [0, 5, u32::MAX] {
            let refused = project.restore_revision(smith.id, unknown, &actor(), None, None).await;
            assert!(matches!(refused, Err(RestoreError::NoRevision)));
        }
        let stranger = store.project(store.ids().mint());
        let refused = stranger.restore_revision(smith.id, 1, &actor(), None, None).await;
        assert!(matches!(refused, Err(RestoreError::NoSmith)));
        assert_eq!(history(&project, smith.id).await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn changes_at_the_same_time_lose_and_double_no_number() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let smith = made(&projects[0], json!({})).await.id;
        let changes = (0..6).map(async |number| {
            let project = &projects[number % 2];
            if number == 5 {
                project.restore_revision(smith, 1, &actor(), None, None).await.unwrap();
            } else {
                change(project, smith, json!({"instructions": number.to_string()})).await;
            }
        });
        futures::future::join_all(changes).await;
        let history = history(&projects[0], smith).await;
        let numbers: Vec<u32> = history.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1]);
        let now = projects[0].smith(smith).await.unwrap().unwrap();
        assert_eq!(serde_json::to_value(&now.overrides).unwrap(), history[0].1, "the newest is what is");
    })
    .await;
}

#[tokio::test]
async fn a_restoration_that_is_repeated_is_done_once() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = made(&project, json!({})).await.id;
        let key = IdempotencyKey::new([1; 16], [1; 16], "/restore", "k", [1; 32]);
        let remember =
            |revision: &Revision| Ok(Remember::answer(key, 200, revision.number.to_string().into_bytes()));
        let actor = actor();
        let restores = (0..4).map(|_| project.restore_revision(smith, 1, &actor, None, Some(&remember)));
        let results = futures::future::join_all(restores).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for refusal in results.into_iter().filter_map(Result::err) {
            assert!(matches!(refusal, RestoreError::Store(error) if error.is_guard(GUARD)));
        }
        assert_eq!(history(&project, smith).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_revisions_are_forgotten() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = made(&project, json!({})).await.id;
        for number in 0..KEPT {
            change(&project, smith, json!({"instructions": number.to_string()})).await;
        }
        let history = history(&project, smith).await;
        assert_eq!(history.len(), usize::try_from(KEPT).unwrap());
        assert_eq!((history[0].0, history.last().unwrap().0), (KEPT + 1, 2));
        let refused = project.restore_revision(smith, 1, &actor(), None, None).await;
        assert!(matches!(refused, Err(RestoreError::NoRevision)));
    })
    .await;
}
