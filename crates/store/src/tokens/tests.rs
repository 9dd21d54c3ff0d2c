use super::*;
use crate::smiths::NewSmith;
use crate::testing::{both, open};

fn named(name: &str) -> NewToken {
    NewToken { name: Some(name.to_owned()), ttl_seconds: None }
}

async fn project(store: &Store) -> ProjectStore {
    store.project(store.server().bootstrap().await.unwrap().project)
}

#[tokio::test]
async fn a_minted_token_is_known_by_its_hash_and_says_what_it_was_minted_for() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id;
        let new = NewToken { name: Some("phone".into()), ttl_seconds: Some(60) };
        let permissions = [Permission::RunsWrite, Permission::RunsRead, Permission::RunsWrite];
        let minted = project.mint_smith_token(smith, &permissions, &new, None).await.unwrap().unwrap();

        let verifier = store.server().verifier().await.unwrap();
        let verified = verifier.verify(&minted.text, store.ids().now()).unwrap();
        assert_eq!(verified.kind, TokenKind::Smith);
        assert_eq!(verified.subject, Subject::Smith(project.id(), smith));
        assert_eq!(verified.claims.scope, "runs:read runs:write");
        assert_eq!(verified.claims.jti, minted.record.id);
        assert_eq!(verified.claims.exp, Some(verified.claims.iat + 60));
        assert_eq!(minted.record.expires_at.map(Timestamp::as_seconds), verified.claims.exp);

        let presented = store.server().presented_token(minted.record.id).await.unwrap().unwrap();
        assert_eq!(presented.hash, token_hash(&minted.text));
        assert_eq!(presented.subject, verified.subject);
        assert_eq!(presented.scopes, ["runs:read", "runs:write"]);
        assert_eq!(presented.expires_at, minted.record.expires_at);
        assert!(!presented.orphaned && presented.revoked_at.is_none());
        assert!(store.server().presented_token(store.ids().mint()).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn nobody_gets_a_token_for_who_is_not_there() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let stranger = store.project(store.ids().mint());
        let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id;
        let new = NewToken::default();
        let permissions = [Permission::RunsRead];
        assert!(stranger.mint_admin_token(&new, None).await.unwrap().is_none());
        assert!(stranger.mint_smith_token(smith, &permissions, &new, None).await.unwrap().is_none());
        let unknown = store.ids().mint();
        assert!(project.mint_smith_token(unknown, &permissions, &new, None).await.unwrap().is_none());
        assert!(store.organization(store.ids().mint()).mint_key(&new, None).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn revoking_acts_once_can_be_repeated_and_stays_within_the_project() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let (project, organization) = (store.project(first.project), store.organization(first.organization));
        let token = project.mint_admin_token(&named("a"), None).await.unwrap().unwrap().record.id;
        let key = organization.mint_key(&named("b"), None).await.unwrap().unwrap().record.id;

        assert!(!store.project(store.ids().mint()).revoke_token(token).await.unwrap());
        assert!(!project.revoke_token(key).await.unwrap());
        assert!(!organization.revoke_key(token).await.unwrap());
        for id in [token, key] {
            assert!(store.server().presented_token(id).await.unwrap().unwrap().revoked_at.is_none());
        }
        assert!(project.revoke_token(token).await.unwrap() && organization.revoke_key(key).await.unwrap());
        let revoked_at = store.server().presented_token(token).await.unwrap().unwrap().revoked_at;
        assert!(revoked_at.is_some());
        assert!(project.revoke_token(token).await.unwrap());
        assert_eq!(store.server().presented_token(token).await.unwrap().unwrap().revoked_at, revoked_at);
        assert!(!project.revoke_token(store.ids().mint()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_list_has_no_gaps_and_no_duplicates_while_tokens_are_added() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let mut wanted = Vec::new();
        for number in 0..7 {
            let minted = project.mint_admin_token(&named(&number.to_string()), None).await.unwrap().unwrap();
            wanted.push(minted.record);
        }
        wanted.reverse();
        let mut seen: Vec<TokenRecord> = Vec::new();
        loop {
            let page = project.tokens(seen.last().map(|token| token.id), 3).await.unwrap();
            project.mint_admin_token(&named("later"), None).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, wanted);
    })
    .await;
}

#[tokio::test]
async fn organization_keys_and_project_tokens_are_listed_apart() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let (project, organization) = (store.project(first.project), store.organization(first.organization));
        let token = project.mint_admin_token(&named("token"), None).await.unwrap().unwrap().record;
        let key = organization.mint_key(&named("key"), None).await.unwrap().unwrap().record;
        assert_eq!(key.scopes, ["organization:*"]);
        assert_eq!(project.tokens(None, 10).await.unwrap(), [token]);
        assert_eq!(organization.keys(None, 10).await.unwrap(), [key]);
    })
    .await;
}

#[tokio::test]
async fn the_name_of_a_smiths_token_is_sealed_with_the_smith() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id;
        let permissions = [Permission::RunsRead];
        for name in ["old", "new"] {
            project.mint_smith_token(smith, &permissions, &named(name), None).await.unwrap().unwrap();
        }
        project.mint_admin_token(&named("admin"), None).await.unwrap().unwrap();
        let alter = async |sql: &str| {
            let mut batch = Batch::new();
            batch.exec(sql.to_owned(), vec![]);
            store.db().commit(batch).await.unwrap();
        };
        let names = async || {
            let tokens = project.tokens(None, 3).await.unwrap();
            tokens.into_iter().map(|token| token.name).collect::<Vec<_>>()
        };
        let rows =
            store.db().read("select name from tokens where smith_id is not null", vec![]).await.unwrap();
        assert!(rows.iter().all(|row| row.get::<Option<String>>(0).unwrap().is_none()));
        // One of a version that did not seal names.
        alter(
            "update tokens set name = 'old', sealed_name = null \
               where id = (select id from tokens where smith_id is not null order by id limit 1)",
        )
        .await;
        let text = |name: &str| Some(name.to_owned());
        assert_eq!(names().await, [text("admin"), text("new"), text("old")]);
        // One whose name cannot be read is listed without it, and so is one whose smith is being erased.
        alter("update tokens set sealed_name = 'x' where sealed_name is not null").await;
        assert_eq!(names().await, [text("admin"), None, text("old")]);
        project.begin_erasing(smith).await.unwrap().unwrap();
        project.destroy_key(smith).await.unwrap();
        assert_eq!(names().await, [text("admin"), None, text("old")]);
    })
    .await;
}
