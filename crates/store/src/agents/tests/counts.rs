use domain::ids::SmithId;

use super::*;
use crate::Location;
use crate::db::Db;
use crate::testing::{both, open, options};

#[tokio::test]
async fn smiths_are_counted_as_they_come_move_and_go() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let agents = [published(&project, "a").await, published(&project, "b").await];
        let mut smiths: Vec<SmithId> = Vec::new();
        for number in 0..30 {
            smiths.push(smith(&project, agents[0], Some(&format!("user_{number}"))).await.id);
        }
        assert!(!project.ensure_smith(&on(agents[0], Some("user_0")), None).await.unwrap().created);
        assert_eq!(count(&project, agents[0]).await, 30);
        for smith in &smiths[..10] {
            let moved = project
                .change_smith(*smith, |edit| {
                    edit.agent = agents[1];
                    Ok(())
                })
                .await;
            assert_eq!(moved.unwrap().agent, agents[1]);
        }
        assert_eq!((count(&project, agents[0]).await, count(&project, agents[1]).await), (20, 10));
        for smith in &smiths[5..15] {
            assert!(project.archive_smith(*smith).await.unwrap().is_some());
            assert!(project.archive_smith(*smith).await.unwrap().is_none());
        }
        assert_eq!((count(&project, agents[0]).await, count(&project, agents[1]).await), (15, 5));
        counts_are_true(&store).await;
    })
    .await;
}

#[tokio::test]
async fn all_that_come_and_go_at_the_same_moment_are_counted() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let agent = published(&projects[0], "a").await;
        let new = on(agent, None);
        let come_and_go = (0..48).map(async |number: usize| {
            let project = &projects[number % 2];
            let smith = project.ensure_smith(&new, None).await.unwrap().smith.id;
            if number.is_multiple_of(3) {
                project.archive_smith(smith).await.unwrap().unwrap();
            }
        });
        futures::future::join_all(come_and_go).await;
        assert_eq!(count(&projects[0], agent).await, 32);
        counts_are_true(&stores[0]).await;
    })
    .await;
}

/// A database that was filled before anything was counted.
async fn old(location: &Location) -> Db {
    let db = Db::open_at_version(&options(location.clone()), 1).await.unwrap();
    let id = |byte: u8| [byte; 16];
    for (sql, values) in [
        ("insert into organizations (id, name, created_at) values ($1, 'o', 0)", params![id(1)]),
        (
            "insert into projects (id, organization_id, name, metadata, created_at) values ($1, $2, 'p', '{}', 0)",
            params![id(2), id(1)],
        ),
    ] {
        let mut batch = crate::Batch::new();
        batch.exec(sql, values);
        db.commit(batch).await.unwrap();
    }
    for (agent, is_default) in [(3, true), (4, false)] {
        let mut batch = crate::Batch::new();
        batch.exec(
            "insert into agents (id, project_id, name, is_default, draft, rollout_percent, created_at, updated_at) \
             values ($1, $2, 'a', $3, '{}', 0, 0, 0)",
            params![id(agent), id(2), is_default],
        );
        db.commit(batch).await.unwrap();
    }
    for (smith, archived_at) in [(10, None), (11, None), (12, Some(1_i64))] {
        let mut batch = crate::Batch::new();
        batch.exec(
            "insert into smiths (id, project_id, agent_id, data_key, profile, version, created_at, updated_at, archived_at) \
             values ($1, $2, $3, $4, $4, 1, 0, 0, $5)",
            params![id(smith), id(2), id(3), id(0), archived_at],
        );
        db.commit(batch).await.unwrap();
    }
    db
}

#[tokio::test]
async fn smiths_from_before_the_counts_are_counted() {
    both(async |location| {
        old(&location).await.close().await;
        let store = open(location).await;
        let rows = store
            .db()
            .read(
                "select agent_id, count(*), cast(sum(smith_count) as BIGINT) from agent_smith_counts group by agent_id \
                 order by agent_id",
                params![],
            )
            .await
            .unwrap();
        let counted = |row: &crate::db::Row| -> (AgentId, i64, i64) {
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap())
        };
        let counted: Vec<_> = rows.iter().map(counted).collect();
        let agent = |byte| <AgentId as domain::ids::Id>::from_bytes([byte; 16]);
        assert_eq!(counted, [(agent(3), 16, 2), (agent(4), 16, 0)]);
        counts_are_true(&store).await;
        // They can be counted out, too, in whichever of the rows they would be counted now.
        let project = store.project(domain::ids::Id::from_bytes([2; 16]));
        for smith in [10, 11] {
            assert!(project.archive_smith(domain::ids::Id::from_bytes([smith; 16])).await.unwrap().is_some());
        }
        assert_eq!(count(&project, agent(3)).await, 0);
        project.archive_agent(agent(4)).await.unwrap();
    })
    .await;
}
