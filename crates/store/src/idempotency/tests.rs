use domain::ids::Id as _;
use serde_json::Map;

use super::*;
use crate::projects::Project;
use crate::testing::{Driven, both, open, open_at};

const DAY: i64 = 24 * 60 * 60;

fn key(name: &str, fingerprint: u8) -> IdempotencyKey {
    IdempotencyKey::new([1; 16], [2; 16], "/v1/tenant/tokens", name, [fingerprint; 32])
}

#[test]
fn a_key_is_scoped_to_tenant_subject_route_and_text() {
    let scope = |tenant, subject, route, key| {
        IdempotencyKey::new([tenant; 16], [subject; 16], route, key, [0; 32]).scope
    };
    let scopes = [
        scope(1, 2, "/a", "k"),
        scope(2, 2, "/a", "k"),
        scope(1, 1, "/a", "k"),
        scope(1, 2, "/ak", ""),
        scope(1, 2, "/b", "k"),
        scope(1, 2, "/a", "l"),
    ];
    for (index, one) in scopes.iter().enumerate() {
        assert!(scopes.iter().skip(index + 1).all(|other| other != one));
    }
    assert_eq!(key("k", 1).scope, key("k", 9).scope);
}

#[tokio::test]
async fn a_key_stands_for_its_first_effect_for_a_day() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let server = store.server();
        let run = RunId::from_bytes([9; 16]);
        assert!(server.remembered(&key("k", 1)).await.unwrap().is_none());
        server.remember(&Remember::answer(key("k", 1), 201, b"body".to_vec())).await.unwrap();
        server.remember(&Remember::run(key("r", 2), run)).await.unwrap();

        let taken =
            server.remember(&Remember::answer(key("k", 7), 200, b"other".to_vec())).await.unwrap_err();
        assert!(taken.is_guard(GUARD));
        let found = server.remembered(&key("k", 7)).await.unwrap().unwrap();
        let first = Remembered { fingerprint: [1; 32], run: None, answer: Some((201, b"body".to_vec())) };
        assert!(found == first);
        let found = server.remembered(&key("r", 2)).await.unwrap().unwrap();
        assert!(found == Remembered { fingerprint: [2; 32], run: Some(run), answer: None });

        clock.advance(DAY - 1);
        assert!(server.remembered(&key("k", 1)).await.unwrap().is_some());
        clock.advance(1);
        assert!(server.remembered(&key("k", 1)).await.unwrap().is_none());
        server.remember(&Remember::answer(key("k", 7), 200, b"other".to_vec())).await.unwrap();
        assert_eq!(server.remembered(&key("k", 1)).await.unwrap().unwrap().fingerprint, [7; 32]);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_taken_is_at_work_until_its_answer_is_kept_or_it_is_given_up() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let server = store.server();
        assert!(server.begin(&key("k", 1), store.ids().now()).await.unwrap());
        assert!(!server.begin(&key("k", 1), store.ids().now()).await.unwrap());
        assert!(!server.begin(&key("k", 2), store.ids().now()).await.unwrap());
        let found = server.remembered(&key("k", 1)).await.unwrap().unwrap();
        assert!(found == Remembered { fingerprint: [1; 32], run: None, answer: None });

        server.give_up(&key("k", 1), store.ids().now().plus_seconds(1)).await.unwrap();
        assert!(server.remembered(&key("k", 1)).await.unwrap().is_some(), "another request has taken it");
        server.give_up(&key("k", 1), store.ids().now()).await.unwrap();
        assert!(server.remembered(&key("k", 1)).await.unwrap().is_none());
        assert!(server.begin(&key("k", 2), store.ids().now()).await.unwrap());
        server.remember(&Remember::answer(key("k", 2), 200, b"done".to_vec())).await.unwrap();
        assert!(!server.begin(&key("k", 2), store.ids().now()).await.unwrap());
        server.give_up(&key("k", 2), store.ids().now()).await.unwrap();
        let kept = server.remembered(&key("k", 2)).await.unwrap().unwrap().answer;
        assert!(kept == Some((200, b"done".to_vec())), "an answer is not given up");
    })
    .await;
}

#[tokio::test]
async fn a_key_whose_process_died_at_work_is_free_again_after_a_while() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let server = store.server();
        assert!(server.begin(&key("k", 1), store.ids().now()).await.unwrap());
        clock.advance(AT_WORK - 1);
        assert!(!server.begin(&key("k", 1), store.ids().now()).await.unwrap());
        clock.advance(1);
        assert!(server.remembered(&key("k", 1)).await.unwrap().is_none());
        assert!(server.begin(&key("k", 1), store.ids().now()).await.unwrap());
        server.remember(&Remember::answer(key("k", 1), 200, Vec::new())).await.unwrap();
        clock.advance(DAY);
        assert!(server.begin(&key("k", 3), store.ids().now()).await.unwrap());
        let found = server.remembered(&key("k", 3)).await.unwrap().unwrap();
        assert!(found == Remembered { fingerprint: [3; 32], run: None, answer: None });
    })
    .await;
}

#[tokio::test]
async fn expired_keys_are_forgotten_and_the_others_stay() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let server = store.server();
        let mut batch = Batch::new();
        for number in 0..(CHUNK + 5) {
            Remember::run(key(&number.to_string(), 0), RunId::from_bytes([1; 16])).add_to(&mut batch, &store);
        }
        store.db().commit(batch).await.unwrap();
        clock.advance(DAY);
        server.remember(&Remember::run(key("young", 0), RunId::from_bytes([1; 16]))).await.unwrap();
        assert_eq!(server.forget_expired().await.unwrap(), CHUNK + 5);
        assert_eq!(server.forget_expired().await.unwrap(), 0);
        assert!(server.remembered(&key("young", 0)).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn of_two_requests_with_one_key_only_one_has_an_effect() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let organization = store.organization(first.organization);
        let remember =
            |project: &Project| Ok(Remember::answer(key("k", 1), 201, project.name.clone().into_bytes()));
        let empty = Map::new();
        let names: Vec<String> = (0..6).map(|number| format!("p{number}")).collect();
        let creations = names.iter().map(|name| organization.create_project(name, &empty, Some(&remember)));
        let results = futures::future::join_all(creations).await;
        let made: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(made.len(), 1);
        let refused = results.iter().filter_map(|result| result.as_ref().err());
        assert_eq!(refused.filter(|error| error.is_guard(GUARD)).count(), 5);
        assert_eq!(organization.projects(None, None, 10).await.unwrap().len(), 2);
        let answer = store.server().remembered(&key("k", 1)).await.unwrap().unwrap().answer.unwrap();
        assert_eq!(answer, (201, made[0].name.clone().into_bytes()));
    })
    .await;
}
