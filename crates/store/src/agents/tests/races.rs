use futures::future::join_all;

use super::*;
use crate::agents::{ArchiveError, CreateError};
use crate::smiths::{ChangeError, EnsureError};
use crate::testing::{both, open};

#[tokio::test]
async fn names_that_are_asked_for_at_the_same_moment_get_slugs_of_their_own() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let new = named("Support");
        let made = join_all((0..12).map(|number| projects[number % 2].create_agent(&new, None))).await;
        let slugs: std::collections::BTreeSet<String> =
            made.into_iter().map(|record| slug(&record.unwrap()).to_owned()).collect();
        assert_eq!(slugs.len(), 12);
        assert!(slugs.contains("support"));
    })
    .await;
}

#[tokio::test]
async fn of_those_that_want_one_slug_one_gets_it() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let new = with_slug("support");
        let made = join_all((0..8).map(|number| projects[number % 2].create_agent(&new, None))).await;
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
        let refused = made.into_iter().filter_map(Result::err);
        assert!(refused.into_iter().all(|refusal| matches!(refusal, CreateError::SlugTaken)));
    })
    .await;
}

#[tokio::test]
async fn all_that_publish_at_the_same_moment_succeed_with_numbers_of_their_own() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let agent = projects[0].create_agent(&named("one"), None).await.unwrap().agent.id;
        let publication = Publication::default();
        let published =
            join_all((0..12).map(|number| projects[number % 2].publish_agent(agent, &publication, None)))
                .await;
        let mut numbers: Vec<u32> = published.into_iter().map(|version| version.unwrap().version).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
        let live = projects[0].agent_record(agent).await.unwrap().unwrap().agent.live;
        assert_eq!(live.active_version, Some(1));
    })
    .await;
}

#[tokio::test]
async fn no_change_of_a_draft_is_lost() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let agent = project.create_agent(&named("one"), None).await.unwrap().agent.id;
        let changes = (0..8).map(|number| {
            project.change_agent(agent, move |edit| {
                edit.draft.vector_store_ids.push(format!("vs_{number}"));
                Ok(())
            })
        });
        assert!(join_all(changes).await.iter().all(Result::is_ok));
        let draft = project.agent_record(agent).await.unwrap().unwrap().agent.draft;
        assert_eq!(draft.vector_store_ids.len(), 8);
    })
    .await;
}

/// Whichever is faster, an archived agent never has a live smith.
#[tokio::test]
async fn no_smith_slips_into_an_agent_that_is_being_archived() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let mover = smith(&projects[0], projects[0].default_agent().await.unwrap().id, None).await.id;
        let (mut kept, mut archived) = (0, 0);
        for round in 0..20 {
            let agent = published(&projects[0], &format!("agent {round}")).await;
            let new = on(agent, None);
            // The later the archiving starts, the likelier the smiths are first.
            let archive = async {
                for _ in 0..round {
                    tokio::task::yield_now().await;
                }
                projects[1].archive_agent(agent).await
            };
            let create = async { projects[0].ensure_smith(&new, None).await };
            let attach = async {
                projects[0]
                    .change_smith(mover, |edit| {
                        edit.agent = agent;
                        Ok(())
                    })
                    .await
            };
            let (archive, create, attach) =
                futures::join!(Box::pin(archive), Box::pin(create), Box::pin(attach));
            match archive {
                Ok(()) => {
                    archived += 1;
                    assert!(matches!(create, Err(EnsureError::NoAgent)));
                    assert!(matches!(attach, Err(ChangeError::NoAgent)));
                }
                Err(ArchiveError::InUse) => {
                    kept += 1;
                    assert!(create.is_ok() || attach.is_ok());
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(kept + archived, 20);
        let orphans = stores[0]
            .db()
            .read(
                "select smiths.id from smiths join agents on agents.id = smiths.agent_id \
                 where agents.archived_at is not null and smiths.archived_at is null",
                params![],
            )
            .await
            .unwrap();
        assert_eq!(orphans, []);
        counts_are_true(&stores[0]).await;
    })
    .await;
}
