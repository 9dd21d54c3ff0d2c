use serde_json::{Map, json};

use super::*;
use crate::testing::{both, open};
use crate::tokens::NewToken;

async fn organization(store: &crate::Store) -> OrganizationStore {
    store.organization(store.server().bootstrap().await.unwrap().organization)
}

#[tokio::test]
async fn a_live_name_is_adopted_and_a_free_one_is_made_once() {
    both(async |location| {
        let store = open(location).await;
        let organization = organization(&store).await;
        let metadata = json!({"z": 1, "a": "x\u{0}"}).as_object().cloned().unwrap();
        let empty = Map::new();
        let creations = (0..8).map(|_| organization.create_project("shop", &metadata, None));
        let made: Vec<_> =
            futures::future::join_all(creations).await.into_iter().map(Result::unwrap).collect();
        assert!(made.iter().all(|project| project.id == made[0].id));
        let adopted = organization.create_project("shop", &empty, None).await.unwrap();
        assert_eq!(adopted.id, made[0].id);
        assert_eq!(adopted.metadata.keys().collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(organization.projects(Some("shop"), None, 10).await.unwrap().len(), 1);
        assert!(organization.projects(Some("sho\0p"), None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_archived_project_is_gone_with_its_tokens_and_its_name_is_free() {
    both(async |location| {
        let store = open(location).await;
        let organization = organization(&store).await;
        let project = organization.create_project("shop", &Map::new(), None).await.unwrap();
        let handle = store.project(project.id);
        let token = handle.mint_admin_token(&NewToken::default(), None).await.unwrap().unwrap();

        assert!(organization.archive_project(project.id).await.unwrap());
        assert!(!organization.archive_project(project.id).await.unwrap());
        assert_eq!(organization.project(project.id).await.unwrap(), None);
        let presented = store.server().presented_token(token.record.id).await.unwrap().unwrap();
        assert!(presented.revoked_at.is_some() && presented.orphaned);
        assert!(handle.mint_admin_token(&NewToken::default(), None).await.unwrap().is_none());

        let again = organization.create_project("shop", &Map::new(), None).await.unwrap();
        assert_ne!(again.id, project.id);
        let server = store.server();
        assert_eq!(server.find_project("shop").await.unwrap(), Some(again.clone()));
        assert_eq!(server.find_project(&again.id.to_string()).await.unwrap(), Some(again));
        assert_eq!(server.find_project(&project.id.to_string()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn another_organization_sees_none_of_them() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let stranger = store.organization(store.ids().mint());
        assert!(stranger.project(first.project).await.unwrap().is_none());
        assert!(!stranger.archive_project(first.project).await.unwrap());
        assert!(stranger.projects(None, None, 10).await.unwrap().is_empty());
    })
    .await;
}
