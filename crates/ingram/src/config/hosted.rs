//! The server's own keys for providers of models and of searches, from the variables that the providers' tools use.

use ::egress::Url;
use domain::models::Provider;
use engine::keys::{HostedKey, HostedKeys};
use tools::{ApiKey, Search, SearchProvider};

use super::Environment;
use super::load::Invalid;

/// The variables of each provider: its key, and where it is if not at its usual address.
const VARIABLES: [(Provider, &str, &str); 3] = [
    (Provider::Openai, "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    (Provider::Anthropic, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    (Provider::Gemini, "GEMINI_API_KEY", "GEMINI_BASE_URL"),
];

/// The variables of keys for searches.
const BRAVE: &str = "BRAVE_API_KEY";
const TAVILY: &str = "TAVILY_API_KEY";

/// Tells whether anything is read from a variable here.
pub(super) fn is_variable(name: &str) -> bool {
    VARIABLES.iter().any(|(_, key, base_url)| [*key, *base_url].contains(&name))
        || [BRAVE, TAVILY].contains(&name)
}

/// Returns the variable that the server's own key for a provider is in.
pub(crate) fn key_variable(provider: Provider) -> Option<&'static str> {
    VARIABLES.iter().find(|(of, ..)| *of == provider).map(|(_, key, _)| *key)
}

pub(super) fn keys(environment: &Environment) -> Result<HostedKeys, Invalid> {
    let mut keys = HostedKeys::new();
    for (provider, key, base_url) in VARIABLES {
        let Some(api_key) = environment.get(key) else { continue };
        let base_url = match environment.get(base_url) {
            Some(text) if is_web_address(text) => Some(text.trim().into()),
            Some(_) => {
                return Err(Invalid::one(format!("{base_url}: expected an address such as https://host/v1")));
            }
            None => None,
        };
        keys.insert(provider, HostedKey { api_key: api_key.trim().into(), base_url });
    }
    Ok(keys)
}

/// Takes the key for searches from the variable of the provider's own tools, if it is set nowhere else.
pub(super) fn find_search_key(environment: &Environment, search: &mut Search) {
    let variable = match search.provider {
        Some(SearchProvider::Brave) => BRAVE,
        Some(SearchProvider::Tavily) => TAVILY,
        Some(SearchProvider::Searxng) | None => return,
    };
    if search.api_key.is_none() {
        search.api_key = environment.get(variable).map(|key| ApiKey::new(key.trim()));
    }
}

pub(super) fn is_web_address(text: &str) -> bool {
    Url::parse(text.trim()).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
