use super::*;
use crate::smiths::NewSmith;
use crate::testing::{both, open};

#[tokio::test]
async fn a_smiths_key_comes_before_its_projects() {
    both(async |location| {
        let store = open(location).await;
        let project = store.project(store.server().bootstrap().await.unwrap().project);
        let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id;
        let (own, shared) = (KeyOwner::Smith(smith), KeyOwner::Project);
        assert!(project.put_model_key(shared, Provider::Openai, "shared", None).await.unwrap());
        assert!(project.put_model_key(shared, Provider::Gemini, "gemini", None).await.unwrap());
        assert!(project.put_model_key(own, Provider::Openai, "first", None).await.unwrap());
        let url = "https://models.example/v1";
        assert!(project.put_model_key(own, Provider::Openai, "own", Some(url)).await.unwrap());

        let resolve = async |smith, provider| {
            let keys = project.usable_model_keys(smith).await.unwrap();
            let key = keys.resolve(provider).unwrap();
            assert_eq!(key.is_some(), keys.has(provider));
            key.map(|key| (key.api_key, key.base_url))
        };
        let some = |key: &str, url: Option<&str>| Some((key.to_owned(), url.map(str::to_owned)));
        assert_eq!(resolve(Some(smith), Provider::Openai).await, some("own", Some(url)));
        assert_eq!(resolve(Some(smith), Provider::Gemini).await, some("gemini", None));
        assert_eq!(resolve(None, Provider::Openai).await, some("shared", None));
        assert_eq!(resolve(None, Provider::Anthropic).await, None);

        let listed = project.model_keys(own).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].provider, listed[0].base_url.as_deref()), (Provider::Openai, Some(url)));
        assert_eq!(project.model_keys(shared).await.unwrap().len(), 2);

        assert!(project.delete_model_key(own, Provider::Openai).await.unwrap());
        assert!(!project.delete_model_key(own, Provider::Openai).await.unwrap());
        assert_eq!(resolve(Some(smith), Provider::Openai).await, some("shared", None));
    })
    .await;
}

#[tokio::test]
async fn another_project_neither_sees_nor_sets_the_keys() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let project = store.project(first.project);
        let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id;
        let owner = KeyOwner::Smith(smith);
        project.put_model_key(owner, Provider::Openai, "own", None).await.unwrap();

        let organization = store.organization(first.organization);
        let other = organization.create_project("other", &serde_json::Map::new(), None).await.unwrap();
        let other = store.project(other.id);
        assert!(!other.put_model_key(owner, Provider::Gemini, "stolen", None).await.unwrap());
        assert!(!other.delete_model_key(owner, Provider::Openai).await.unwrap());
        assert!(other.model_keys(owner).await.unwrap().is_empty());
        assert!(!other.usable_model_keys(Some(smith)).await.unwrap().has(Provider::Openai));
        project.archive_smith(smith).await.unwrap();
        assert!(!project.put_model_key(owner, Provider::Gemini, "late", None).await.unwrap());
    })
    .await;
}
