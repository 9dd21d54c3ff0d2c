//! Whose key a model is called with: the smith's, the project's, the server's own.

use std::collections::HashMap;
use std::sync::Arc;

use domain::ids::SmithId;
use domain::models::{Provider, Route, SCRIPTED_DEFAULT, route};
use domain::smiths::DEFAULT_MODEL;
use domain::{Code, Problem};
use models::{Credentials, Origin};
use store::ProjectStore;
use store::model_keys::ModelKeys;

/// A key of the server itself, from its configuration. Never shown: it has no `Debug`.
#[derive(Clone)]
pub struct HostedKey {
    pub api_key: Arc<str>,
    pub base_url: Option<Arc<str>>,
}

/// The server's own keys by provider.
pub type HostedKeys = HashMap<Provider, HostedKey>;

/// Finds models and keys.
#[derive(Clone)]
pub struct Keys {
    hosted: Arc<HostedKeys>,
    default_model: Option<Arc<str>>,
}

/// A model that can be called.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The model's id as records show it.
    pub model: String,
    pub route: Route,
    pub credentials: Credentials,
}

/// Whose key makes a provider available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The tenant's or the smith's own.
    Tenant,
    /// The server's.
    Hosted,
}

impl Keys {
    pub fn new(hosted: HostedKeys, default_model: Option<String>) -> Self {
        let default_model = default_model.filter(|model| !is_default(model)).map(Into::into);
        Self { hosted: Arc::new(hosted), default_model }
    }

    /// Chooses how a model is called for a smith, or for a project by itself.
    pub async fn choose(
        &self,
        project: &ProjectStore,
        smith: Option<SmithId>,
        model: &str,
    ) -> Result<Choice, Problem> {
        // The scripted model has no key: what it answers costs no look into the keys.
        if let Ok(route) = route(model, || false)
            && route.provider == Provider::Scripted
        {
            return Ok(scripted(model, route));
        }
        let keys = project.usable_model_keys(smith).await?;
        let model = if is_default(model) { self.default_model(&keys)? } else { model.to_owned() };
        let route = route(&model, || self.source(&keys, Provider::OpenaiCompatible).is_some())?;
        if route.provider == Provider::Scripted {
            return Ok(scripted(&model, route));
        }
        let credentials = self.credentials(&keys, route.provider)?;
        Ok(Choice { model, route, credentials })
    }

    /// Tells for each provider whose key would be taken.
    pub async fn available(
        &self,
        project: &ProjectStore,
        smith: Option<SmithId>,
    ) -> Result<HashMap<Provider, KeySource>, Problem> {
        let keys = project.usable_model_keys(smith).await?;
        let sources =
            Provider::ALL.iter().filter_map(|provider| Some((*provider, self.source(&keys, *provider)?)));
        Ok(sources.collect())
    }

    /// Tells whether the server has a key of its own for a provider.
    pub fn is_hosted(&self, provider: Provider) -> bool {
        self.hosted.contains_key(&provider)
    }

    fn source(&self, keys: &ModelKeys, provider: Provider) -> Option<KeySource> {
        if keys.has(provider) {
            return Some(KeySource::Tenant);
        }
        self.is_hosted(provider).then_some(KeySource::Hosted)
    }

    /// The server's setting; else the flagship of the first provider with a key; else, without any key, the script.
    fn default_model(&self, keys: &ModelKeys) -> Result<String, Problem> {
        if let Some(model) = &self.default_model {
            return Ok(model.to_string());
        }
        let mut usable = Provider::ALL.iter().filter(|provider| self.source(keys, **provider).is_some());
        let flagship = usable.clone().find_map(|provider| provider.flagship());
        match flagship {
            Some(flagship) => Ok(flagship.to_owned()),
            // Whoever has set a key does not want to be answered by a script without a word.
            None if usable.next().is_some() => {
                Err(Problem::new(Code::UnknownProvider, NO_DEFAULT).at("model"))
            }
            None => Ok(SCRIPTED_DEFAULT.to_owned()),
        }
    }

    fn credentials(&self, keys: &ModelKeys, provider: Provider) -> Result<Credentials, Problem> {
        if let Some(key) = keys.resolve(provider)? {
            return Ok(Credentials {
                provider,
                api_key: key.api_key.into(),
                base_url: key.base_url.map(Into::into),
                origin: Origin::Tenant,
            });
        }
        if let Some(key) = self.hosted.get(&provider) {
            return Ok(Credentials {
                provider,
                api_key: Arc::clone(&key.api_key),
                base_url: key.base_url.clone(),
                origin: Origin::Operator,
            });
        }
        Err(key_missing(provider))
    }
}

const NO_DEFAULT: &str = "No model is named, and the only key is one of an OpenAI-compatible server, whose models are not known \
    here. Set the `model` of the smith or its agent, such as `openai_compatible/llama3`, or the server's `default_model`.";

fn is_default(model: &str) -> bool {
    model.is_empty() || model == DEFAULT_MODEL
}

fn key_missing(provider: Provider) -> Problem {
    let (label, name) = (provider.label(), provider.as_str());
    let with = if provider == Provider::OpenaiCompatible { " with its base_url" } else { "" };
    let message = format!(
        "No key is set for {label}. Set one{with} with PUT /v1/tenant/model_keys/{name} for the project, or with \
         PUT /v1/smiths/{{pid}}/model_keys/{name} for one smith."
    );
    Problem::new(Code::ModelKeyMissing, message).at("model")
}

fn scripted(model: &str, route: Route) -> Choice {
    let credentials = Credentials {
        provider: Provider::Scripted,
        api_key: "".into(),
        base_url: None,
        origin: Origin::Operator,
    };
    Choice { model: model.to_owned(), route, credentials }
}

#[cfg(test)]
mod tests;
