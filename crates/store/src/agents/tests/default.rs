use crate::testing::{both, open};

#[tokio::test]
async fn the_default_agent_is_made_once_however_many_need_it_first() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let organization = store.organization(first.organization);
        let made = organization.create_project("second", &serde_json::Map::new(), None).await.unwrap();
        let project = store.project(made.id);
        let agents = futures::future::join_all((0..8).map(|_| project.default_agent())).await;
        let agents: Vec<_> = agents.into_iter().map(Result::unwrap).collect();
        assert!(agents.iter().all(|agent| *agent == agents[0]));
        let agent = agents[0].id;
        assert!(project.agent_version(agent, 1).await.unwrap().is_some());
        assert!(project.agent_version(agent, 2).await.unwrap().is_none());

        let other = store.project(first.project);
        assert!(other.agent(agent).await.unwrap().is_none());
        assert!(other.agent_version(agent, 1).await.unwrap().is_none());
    })
    .await;
}
