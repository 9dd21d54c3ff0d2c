use crate::testing::{both, open};
use crate::tokens::NewToken;

#[tokio::test]
async fn replicas_that_need_a_key_together_use_the_same_one() {
    both(async |location| {
        let replicas = [open(location.clone()).await, open(location).await];
        let keys = replicas.iter().map(|store| async { store.server().signing_key().await.unwrap() });
        let keys = futures::future::join_all(keys).await;
        assert_eq!(keys[0].kid(), keys[1].kid());
        let jwks = replicas[1].server().jwks().await.unwrap();
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
        assert_eq!(jwks["keys"][0]["kid"], keys[0].kid());
        assert_eq!(jwks["keys"][0]["alg"], "RS256");
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_looked_before_there_was_a_key_learns_of_it() {
    both(async |location| {
        let clock = crate::testing::Driven::new();
        let late = crate::testing::open_at(location.clone(), &clock).await;
        let other = open(location).await;
        let before = late.server().verifier().await.unwrap();
        let project = other.server().bootstrap().await.unwrap().project;
        let minted =
            other.project(project).mint_admin_token(&NewToken::default(), None).await.unwrap().unwrap();
        let now = late.ids().now();
        assert_eq!(before.verify(&minted.text, now), Err(vault::TokenError::UnknownKey));
        assert!(late.server().newer_verifier().await.unwrap().is_none(), "it looked a moment ago");
        clock.advance(1);
        let after = late.server().newer_verifier().await.unwrap().unwrap();
        assert_eq!(after.verify(&minted.text, now).unwrap().claims.jti, minted.record.id);
    })
    .await;
}
