use super::*;
use crate::agents::{ArchiveError, ChangeError, CreateError, RolloutError};
use crate::idempotency::{GUARD, IdempotencyKey, Remember};
use crate::testing::{Driven, both, open, open_at};
use domain::agents::Live;
use domain::{Code, Problem};

#[tokio::test]
async fn a_slug_is_numbered_where_it_is_taken_and_free_again_after_the_agent() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let mut made = Vec::new();
        for number in 1..=11 {
            let record = project.create_agent(&named("Support (EU)"), None).await.unwrap();
            let expected = if number == 1 { "support-eu".to_owned() } else { format!("support-eu-{number}") };
            assert_eq!(slug(&record), expected);
            made.push(record.agent.id);
        }
        let taken = project.create_agent(&with_slug("support-eu-3"), None).await;
        assert!(matches!(taken, Err(CreateError::SlugTaken)));
        project.archive_agent(made[2]).await.unwrap();
        let again = project.create_agent(&with_slug("support-eu-3"), None).await.unwrap();
        assert_eq!(slug(&again), "support-eu-3");
        let elsewhere = store.project(store.ids().mint());
        assert!(elsewhere.agents(None, 10).await.unwrap().is_empty());
        assert_eq!(project.agents(None, 100).await.unwrap().len(), 12);
    })
    .await;
}

#[tokio::test]
async fn a_draft_changes_alone_until_it_is_published_and_rolled_out() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let made = project.create_agent(&named("one"), None).await.unwrap();
        let agent = made.agent.id;
        assert_eq!(project.agent_record(agent).await.unwrap().as_ref(), Some(&made));
        assert_eq!((made.agent.live, made.smith_count), (Live::default(), 0));

        let publication = Publication { note: Some("first".into()), created_by: Some("tok_x".into()) };
        let first = project.publish_agent(agent, &publication, None).await.unwrap();
        assert_eq!((first.version, first.snapshot.instructions.as_deref()), (1, Some("one")));
        assert_eq!((first.note.as_deref(), first.created_by.as_deref()), (Some("first"), Some("tok_x")));
        let smith = smith(&project, agent, Some("ana")).await.id;
        let runs = async || project.smith(smith).await.unwrap().unwrap().base.instructions.clone().unwrap();
        let changed = project
            .change_agent(agent, |edit| {
                edit.name = "Two".into();
                edit.draft.instructions = Some("two".into());
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(changed.agent.slug, made.agent.slug);
        assert_eq!(project.agent_record(agent).await.unwrap(), Some(changed));
        assert_eq!(runs().await, "one");
        let second = project.publish_agent(agent, &Publication::default(), None).await.unwrap();
        assert_eq!((second.version, runs().await.as_str()), (2, "one"));
        let live = project.roll_out(agent, 2, Percent::ALL, None).await.unwrap().agent.live;
        assert_eq!((live.active_version, runs().await.as_str()), (Some(2), "two"));
        project.roll_out(agent, 1, Percent::ALL, None).await.unwrap();
        assert_eq!(runs().await, "one");
        let versions = project.agent_versions(agent, None, 10).await.unwrap().unwrap();
        assert_eq!(versions, [second.clone(), first.clone()]);
        assert_eq!(project.agent_versions(agent, Some(2), 10).await.unwrap().unwrap(), [first]);
        assert_eq!(project.agent_versions(agent, None, 1).await.unwrap().unwrap(), [second]);
        assert!(matches!(project.roll_out(agent, 3, percent(0), None).await, Err(RolloutError::NoVersion)));
    })
    .await;
}

#[tokio::test]
async fn what_is_so_already_is_not_written_again() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let project = project(&store).await;
        let agent = published(&project, "one").await;
        project.publish_agent(agent, &Publication::default(), None).await.unwrap();
        clock.advance(1);
        let begun = project.roll_out(agent, 2, percent(20), None).await.unwrap();
        clock.advance(1);
        assert_eq!(project.roll_out(agent, 2, percent(20), None).await.unwrap(), begun);
        let key = IdempotencyKey::new([1; 16], [1; 16], "/rollout", "k", [1; 32]);
        let remember =
            |record: &AgentRecord| Ok(Remember::answer(key, 200, record.updated_at.to_string().into_bytes()));
        assert_eq!(project.roll_out(agent, 2, percent(20), Some(&remember)).await.unwrap(), begun);
        let answer = store.server().remembered(&key).await.unwrap().unwrap().answer.unwrap();
        assert_eq!(answer.1, begun.updated_at.to_string().into_bytes());
        let again = project.roll_out(agent, 1, percent(50), Some(&remember)).await;
        assert!(matches!(again, Err(RolloutError::Store(error)) if error.is_guard(GUARD)));
        assert_eq!(project.agent_record(agent).await.unwrap().unwrap(), begun);
        let changed = project.roll_out(agent, 2, percent(21), None).await.unwrap();
        assert!(changed.updated_at > begun.updated_at);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_is_needed_stays() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let agent = published(&project, "one").await;
        let ana = smith(&project, agent, None).await;
        assert!(matches!(project.archive_agent(agent).await, Err(ArchiveError::InUse)));
        assert_eq!(count(&project, agent).await, 1, "the counts are as they were");
        project.archive_smith(ana.id).await.unwrap();
        project.archive_agent(agent).await.unwrap();
        assert!(matches!(project.archive_agent(agent).await, Err(ArchiveError::NoAgent)));
        let default = project.default_agent().await.unwrap().id;
        assert!(matches!(project.archive_agent(default).await, Err(ArchiveError::Default)));

        assert!(project.agent_record(agent).await.unwrap().is_none());
        assert!(project.agent_versions(agent, None, 10).await.unwrap().is_none());
        assert!(project.agent_version(agent, 1).await.unwrap().is_some(), "for the runs that name it");
        let changed = project.change_agent(agent, |_| Ok(())).await;
        assert!(matches!(changed, Err(ChangeError::NoAgent)));
        let rolled_out = project.roll_out(agent, 1, Percent::ALL, None).await;
        assert!(matches!(rolled_out, Err(RolloutError::NoAgent)));
        assert!(project.ensure_smith(&on(agent, None), None).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_refused_changes_nothing() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let agent = project.create_agent(&named("one"), None).await.unwrap();
        let refused = project
            .change_agent(agent.agent.id, |edit| {
                edit.name = "Other".into();
                Err(Problem::new(Code::EmptyPatch, "Say something."))
            })
            .await;
        assert!(matches!(refused, Err(ChangeError::Refused(_))));
        assert_eq!(project.agent_record(agent.agent.id).await.unwrap(), Some(agent));
    })
    .await;
}

#[tokio::test]
async fn another_project_sees_nothing_of_an_agent() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let own = store.project(first.project);
        let agent = published(&own, "one").await;
        let organization = store.organization(first.organization);
        let other = organization.create_project("other", &serde_json::Map::new(), None).await.unwrap();
        let other = store.project(other.id);
        assert!(other.agent_record(agent).await.unwrap().is_none());
        assert!(other.agent_versions(agent, None, 10).await.unwrap().is_none());
        assert!(matches!(other.archive_agent(agent).await, Err(ArchiveError::NoAgent)));
        assert!(other.publish_agent(agent, &Publication::default(), None).await.is_err());
        assert!(matches!(other.roll_out(agent, 1, Percent::ALL, None).await, Err(RolloutError::NoAgent)));
        assert!(matches!(other.change_agent(agent, |_| Ok(())).await, Err(ChangeError::NoAgent)));
        // A slug is a name within its project.
        let twin = other.create_agent(&with_slug("one"), None).await.unwrap();
        assert_eq!(slug(&twin), "one");
        assert_eq!(own.agents(None, 10).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_newest_agents_come_first_and_pages_fit_together() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let mut wanted = vec![project.default_agent().await.unwrap().id];
        for number in 0..5 {
            wanted.push(project.create_agent(&named(&format!("a{number}")), None).await.unwrap().agent.id);
        }
        wanted.reverse();
        let mut seen: Vec<AgentId> = Vec::new();
        loop {
            let page = project.agents(seen.last().copied(), 2).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|record| record.agent.id));
        }
        assert_eq!(seen, wanted);
    })
    .await;
}
