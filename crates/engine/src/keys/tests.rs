use std::sync::Arc;
use std::time::Duration;

use store::model_keys::KeyOwner;
use store::smiths::NewSmith;
use store::{DbOptions, Location, Store};
use vault::{Ids, MasterKey, SystemClock};

use super::*;

struct Setup {
    project: ProjectStore,
    smith: SmithId,
    _directory: tempfile::TempDir,
}

async fn setup() -> Setup {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(directory.path().join("ingram.db"));
    let options = DbOptions {
        location,
        connections: 2,
        wait: Duration::from_secs(10),
        queue: 100,
        cache_bytes: 1_000_000,
        statement_timeout: Duration::from_secs(30),
    };
    let ids = Ids::new(Arc::new(SystemClock));
    let store = Store::open(&options, MasterKey::from_bytes([7; 32]), ids).await.unwrap();
    let project = store.project(store.server().bootstrap().await.unwrap().project);
    let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith.id;
    Setup { project, smith, _directory: directory }
}

fn hosted(provider: Provider, key: &str) -> HostedKeys {
    HostedKeys::from([(provider, HostedKey { api_key: key.into(), base_url: None })])
}

#[tokio::test]
async fn the_smiths_key_comes_before_the_projects_and_that_before_the_servers() {
    let Setup { project, smith, _directory } = setup().await;
    let keys = Keys::new(hosted(Provider::Openai, "hosted"), None);
    let choose = async |smith| {
        let choice = keys.choose(&project, smith, "gpt-5-mini").await.unwrap();
        assert_eq!(choice.route, Route { provider: Provider::Openai, model: "gpt-5-mini".into() });
        (choice.credentials.api_key.to_string(), choice.credentials.origin)
    };
    assert_eq!(choose(Some(smith)).await, ("hosted".into(), Origin::Operator));
    project.put_model_key(KeyOwner::Project, Provider::Openai, "project", None).await.unwrap();
    assert_eq!(choose(Some(smith)).await, ("project".into(), Origin::Tenant));
    project.put_model_key(KeyOwner::Smith(smith), Provider::Openai, "smith", None).await.unwrap();
    assert_eq!(choose(Some(smith)).await, ("smith".into(), Origin::Tenant));
    assert_eq!(choose(None).await, ("project".into(), Origin::Tenant));
}

#[tokio::test]
async fn a_missing_key_is_named_with_the_way_to_set_it() {
    let Setup { project, smith, _directory } = setup().await;
    let keys = Keys::new(HostedKeys::default(), None);
    let refusal = keys.choose(&project, Some(smith), "claude-opus-4-1").await.unwrap_err();
    assert_eq!((refusal.code, refusal.status), (Code::ModelKeyMissing, 422));
    assert!(refusal.message.contains("Anthropic"), "{}", refusal.message);
    assert!(refusal.message.contains("PUT /v1/tenant/model_keys/anthropic"), "{}", refusal.message);
    let refusal = keys.choose(&project, Some(smith), "llama3").await.unwrap_err();
    assert_eq!(refusal.code, Code::UnknownProvider);
}

#[tokio::test]
async fn the_default_model_follows_the_setting_then_the_keys_then_the_script() {
    let Setup { project, smith, _directory } = setup().await;
    let chosen =
        async |keys: &Keys, model: &str| keys.choose(&project, Some(smith), model).await.unwrap().model;
    let none = Keys::new(HostedKeys::default(), None);
    assert_eq!(chosen(&none, "default").await, "scripted/demo");
    assert_eq!(chosen(&none, "").await, "scripted/demo");
    let gemini = Keys::new(hosted(Provider::Gemini, "hosted"), Some("default".into()));
    assert_eq!(Some(chosen(&gemini, "default").await.as_str()), Provider::Gemini.flagship());
    project.put_model_key(KeyOwner::Smith(smith), Provider::Anthropic, "own", None).await.unwrap();
    assert_eq!(Some(chosen(&gemini, "default").await.as_str()), Provider::Anthropic.flagship());
    let set = Keys::new(hosted(Provider::Gemini, "hosted"), Some("gemini-2.5-flash".into()));
    assert_eq!(chosen(&set, "default").await, "gemini-2.5-flash");
}

#[tokio::test]
async fn a_key_of_a_compatible_server_alone_makes_no_default_model() {
    let Setup { project, smith, _directory } = setup().await;
    let keys = Keys::new(HostedKeys::default(), None);
    let url = "http://127.0.0.1:11434/v1";
    project.put_model_key(KeyOwner::Project, Provider::OpenaiCompatible, "any", Some(url)).await.unwrap();
    let refusal = keys.choose(&project, Some(smith), "default").await.unwrap_err();
    assert_eq!((refusal.code, refusal.param.as_deref()), (Code::UnknownProvider, Some("model")));
    assert!(refusal.message.contains("default_model"), "{}", refusal.message);
    let set = Keys::new(HostedKeys::default(), Some("llama3".into()));
    let choice = set.choose(&project, Some(smith), "default").await.unwrap();
    assert_eq!(choice.route, Route { provider: Provider::OpenaiCompatible, model: "llama3".into() });
}

#[tokio::test]
async fn an_unknown_model_goes_to_the_compatible_endpoint_that_resolves() {
    let Setup { project, smith, _directory } = setup().await;
    let keys = Keys::new(HostedKeys::default(), None);
    let url = "http://127.0.0.1:11434/v1";
    project.put_model_key(KeyOwner::Project, Provider::OpenaiCompatible, "any", Some(url)).await.unwrap();
    let choice = keys.choose(&project, Some(smith), "llama3").await.unwrap();
    assert_eq!(choice.route.provider, Provider::OpenaiCompatible);
    assert_eq!(choice.credentials.base_url.as_deref(), Some(url));
}

#[tokio::test]
async fn what_can_be_called_says_whose_key_it_is() {
    let Setup { project, smith, _directory } = setup().await;
    let keys = Keys::new(hosted(Provider::Gemini, "hosted"), None);
    project.put_model_key(KeyOwner::Smith(smith), Provider::Openai, "own", None).await.unwrap();
    let available = keys.available(&project, Some(smith)).await.unwrap();
    assert_eq!(available.get(&Provider::Openai), Some(&KeySource::Tenant));
    assert_eq!(available.get(&Provider::Gemini), Some(&KeySource::Hosted));
    assert_eq!(available.get(&Provider::Anthropic), None);
    assert_eq!(keys.available(&project, None).await.unwrap().get(&Provider::Openai), None);
}
