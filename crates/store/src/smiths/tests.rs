use domain::{Code, Problem};
use serde_json::{Map, Value, json};

use super::*;
use crate::idempotency::{GUARD, IdempotencyKey, Remember};
use crate::model_keys::KeyOwner;
use crate::testing::{both, open};
use crate::tokens::NewToken;
use crate::{Location, ProjectStore, Store};

async fn project(store: &Store) -> ProjectStore {
    store.project(store.server().bootstrap().await.unwrap().project)
}

fn body(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn new_smith(external_id: &str, value: Value) -> NewSmith {
    let mut new = NewSmith { external_id: Some(external_id.to_owned()), ..NewSmith::default() };
    new.profile.apply(&body(value.clone())).unwrap();
    new.overrides.apply(&body(value)).unwrap();
    new
}

#[tokio::test]
async fn two_that_ensure_the_same_person_get_one_smith() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let new = new_smith("ana", json!({"display_name": "Ana"}));
        let ensures = (0..8).map(|number| projects[number % 2].ensure_smith(&new, None));
        let ensured: Vec<_> =
            futures::future::join_all(ensures).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(ensured.iter().filter(|ensured| ensured.created).count(), 1);
        let first = ensured[0].smith.id;
        assert!(ensured.iter().all(|ensured| ensured.smith.id == first));
    })
    .await;
}

#[tokio::test]
async fn an_existing_smith_stays_as_it_is_and_one_without_external_id_is_always_new() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let first =
            project.ensure_smith(&new_smith("ana", json!({"display_name": "Ana"})), None).await.unwrap();
        let again =
            project.ensure_smith(&new_smith("ana", json!({"display_name": "Other"})), None).await.unwrap();
        assert!(first.created && !again.created);
        assert_eq!(again.smith.profile.display_name.as_deref(), Some("Ana"));
        let nameless = NewSmith::default();
        let one = project.ensure_smith(&nameless, None).await.unwrap();
        let two = project.ensure_smith(&nameless, None).await.unwrap();
        assert!(one.created && two.created && one.smith.id != two.smith.id);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_repeated_makes_one_smith() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let key = IdempotencyKey::new([1; 16], [1; 16], "/v1/smiths", "k", [1; 32]);
        let remember =
            |ensured: &Ensured| Ok(Remember::answer(key, 201, ensured.smith.id.to_string().into_bytes()));
        let new = NewSmith::default();
        let requests = (0..6).map(|_| project.ensure_smith(&new, Some(&remember)));
        let results = futures::future::join_all(requests).await;
        let made: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(made.len(), 1);
        for refusal in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(refusal, EnsureError::Store(error) if error.is_guard(GUARD)));
        }
        assert_eq!(project.smiths(&SmithFilter::default(), None, 10).await.unwrap().len(), 1);
        let answer = store.server().remembered(&key).await.unwrap().unwrap().answer.unwrap();
        assert_eq!(answer.1, made[0].smith.id.to_string().into_bytes());
    })
    .await;
}

#[tokio::test]
async fn what_was_ensured_is_read_back_with_what_it_inherits() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let value = json!({
            "display_name": "Ana", "locale": "pt", "timezone": "Europe/Lisbon", "metadata": {"z": 1, "a": [null]},
            "instructions": "Be kind.", "mcp_servers": []
        });
        let made = project.ensure_smith(&new_smith("ana", value), None).await.unwrap().smith;
        let found = project.smith(made.id).await.unwrap().unwrap();
        assert_eq!(found.profile, made.profile);
        assert_eq!(found.overrides, made.overrides);
        assert_eq!((found.agent, found.agent_version, found.pin), (made.agent, Some(1), None));
        assert_eq!((found.created_at, found.updated_at), (made.created_at, made.created_at));
        assert_eq!(found.effective().instructions.as_deref(), Some("Be kind."));
        assert_eq!(found.base.instructions, None);
        assert_eq!(found.profile.metadata.keys().collect::<Vec<_>>(), ["z", "a"]);
        let stranger = store.project(store.ids().mint());
        assert!(stranger.smith(made.id).await.unwrap().is_none());
        assert!(!stranger.has_smith(made.id).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn no_change_of_a_smith_is_lost() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id;
        let changes = (0..6).map(|number| {
            project.change_smith(smith, move |edit| {
                edit.profile.metadata.insert(format!("k{number}"), Value::Bool(true));
                Ok(())
            })
        });
        for change in futures::future::join_all(changes).await {
            change.unwrap();
        }
        let smith = project.smith(smith).await.unwrap().unwrap();
        assert_eq!(smith.profile.metadata.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_not_right_changes_nothing() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = project.ensure_smith(&new_smith("ana", json!({})), None).await.unwrap().smith;
        let refused =
            project.change_smith(smith.id, |_| Err(Problem::new(Code::EmptyPatch, "Say something."))).await;
        assert!(matches!(refused, Err(ChangeError::Refused(_))));
        let pinned = project
            .change_smith(smith.id, |edit| {
                edit.pin = Some(9);
                Ok(())
            })
            .await;
        assert!(matches!(pinned, Err(ChangeError::NoVersion)));
        let unknown = store.ids().mint();
        let moved = project
            .change_smith(smith.id, |edit| {
                edit.agent = unknown;
                Ok(())
            })
            .await;
        assert!(matches!(moved, Err(ChangeError::NoAgent)));
        let missing = project.change_smith(store.ids().mint(), |_| Ok(())).await;
        assert!(matches!(missing, Err(ChangeError::NoSmith)));
        let after = project.smith(smith.id).await.unwrap().unwrap();
        assert_eq!((after.version, after.pin, after.agent), (1, None, smith.agent));
        let pinned = project
            .change_smith(smith.id, |edit| {
                edit.pin = Some(1);
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!((pinned.pin, pinned.agent_version), (Some(1), Some(1)));
    })
    .await;
}

#[tokio::test]
async fn an_archived_smith_is_gone_with_its_tokens_and_its_pair_is_free() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = project.ensure_smith(&new_smith("ana", json!({})), None).await.unwrap().smith.id;
        let permissions = [domain::principals::Permission::RunsRead];
        let token =
            project.mint_smith_token(smith, &permissions, &NewToken::default(), None).await.unwrap().unwrap();
        assert_eq!(project.archive_smith(smith).await.unwrap(), Some(vec![]));
        assert_eq!(project.archive_smith(smith).await.unwrap(), None);
        assert!(project.smith(smith).await.unwrap().is_none());
        let presented = store.server().presented_token(token.record.id).await.unwrap().unwrap();
        assert!(presented.revoked_at.is_some() && presented.orphaned);
        let again = project.ensure_smith(&new_smith("ana", json!({})), None).await.unwrap();
        assert!(again.created && again.smith.id != smith);
    })
    .await;
}

#[tokio::test]
async fn a_list_can_be_narrowed_in_every_way() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        for name in ["a", "ab", "abc", "b", "a\u{10FFFF}", "A"] {
            project.ensure_smith(&new_smith(name, json!({})), None).await.unwrap();
        }
        let agent = project.default_agent().await.unwrap().id;
        let names = async |filter: SmithFilter| {
            let smiths = project.smiths(&filter, None, 100).await.unwrap();
            smiths.into_iter().filter_map(|smith| smith.external_id).collect::<Vec<_>>()
        };
        let all = names(SmithFilter::default()).await;
        assert_eq!(all, ["A", "a\u{10FFFF}", "b", "abc", "ab", "a"]);
        let by_prefix =
            |prefix: &str| SmithFilter { external_id_prefix: Some(prefix.into()), ..SmithFilter::default() };
        assert_eq!(names(by_prefix("a")).await, ["a\u{10FFFF}", "abc", "ab", "a"]);
        assert_eq!(names(by_prefix("ab")).await, ["abc", "ab"]);
        assert_eq!(names(by_prefix("")).await.len(), 6);
        assert!(names(by_prefix("%")).await.is_empty());
        let by_name = |name: &str| SmithFilter { external_id: Some(name.into()), ..SmithFilter::default() };
        assert_eq!(names(by_name("ab")).await, ["ab"]);
        assert!(names(by_name("a\0")).await.is_empty());
        assert_eq!(names(SmithFilter { agent: Some(agent), ..SmithFilter::default() }).await.len(), 6);
        let no_agent = SmithFilter { agent: Some(store.ids().mint()), ..SmithFilter::default() };
        assert!(names(no_agent).await.is_empty());
        let no_customer = SmithFilter { customer: Some(store.ids().mint()), ..SmithFilter::default() };
        assert!(names(no_customer).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn pages_have_no_gaps_and_no_duplicates_while_smiths_are_added() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let mut wanted = Vec::new();
        for _ in 0..7 {
            wanted.push(project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id);
        }
        wanted.reverse();
        let mut seen: Vec<SmithId> = Vec::new();
        loop {
            let page = project.smiths(&SmithFilter::default(), seen.last().copied(), 2).await.unwrap();
            project.ensure_smith(&NewSmith::default(), None).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|smith| smith.id));
        }
        assert_eq!(seen, wanted);
    })
    .await;
}

#[tokio::test]
async fn the_database_file_shows_nothing_personal_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(Location::Sqlite(directory.path().join("ingram.db"))).await;
    let project = project(&store).await;
    let value = json!({
        "display_name": "canary-name", "metadata": {"canary-key": "canary-value"}, "instructions": "canary-instructions",
        "model": "canary-model"
    });
    let remembered = std::sync::Mutex::new(None);
    let key = IdempotencyKey::new([1; 16], [1; 16], "/v1/smiths", "canary-idempotency", [1; 32]);
    let remember = |_: &Ensured| {
        let remember = Remember::answer(key, 201, b"canary-answer".to_vec());
        *remembered.lock().unwrap() = Some(remember.clone());
        Ok(remember)
    };
    let smith =
        project.ensure_smith(&new_smith("visible-id", value), Some(&remember)).await.unwrap().smith.id;
    assert!(remembered.lock().unwrap().is_some());
    let provider = domain::models::Provider::Openai;
    for owner in [KeyOwner::Project, KeyOwner::Smith(smith)] {
        project.put_model_key(owner, provider, "canary-provider-key", None).await.unwrap();
    }
    let token = project.mint_admin_token(&NewToken::default(), None).await.unwrap().unwrap().text;
    let signature = token.rsplit('.').next().unwrap().to_owned();
    store.db().ping().await.unwrap();

    let mut everything = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        everything.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| everything.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("visible-id"), "what is read is where the data is");
    assert!(!holds("canary"));
    assert!(!holds(&signature) && !holds("PRIVATE KEY"));
}
