//! Names of models and of the providers that serve them.

use serde::{Deserialize, Serialize};

use crate::problems::{Code, Problem};

/// A provider that the server has an adapter for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Anthropic,
    Openai,
    Gemini,
    OpenaiCompatible,
    Scripted,
}

impl Provider {
    /// Every provider, the ones that are preferred for a default model first.
    pub const ALL: &'static [Self] =
        &[Self::Anthropic, Self::Openai, Self::Gemini, Self::OpenaiCompatible, Self::Scripted];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Gemini => "gemini",
            Self::OpenaiCompatible => "openai_compatible",
            Self::Scripted => "scripted",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Anthropic => "Anthropic",
            Self::Openai => "OpenAI",
            Self::Gemini => "Google Gemini",
            Self::OpenaiCompatible => "OpenAI-compatible",
            Self::Scripted => "Scripted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|provider| provider.as_str() == text)
    }

    /// Tells whether the provider is called with a key.
    pub const fn needs_key(self) -> bool {
        !matches!(self, Self::Scripted)
    }

    /// The model that is taken when nobody chose one and a key for this provider resolves.
    pub const fn flagship(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("claude-sonnet-4-5"),
            Self::Openai => Some("gpt-5"),
            Self::Gemini => Some("gemini-2.5-pro"),
            Self::OpenaiCompatible | Self::Scripted => None,
        }
    }
}

/// The model that answers where no key of any provider resolves.
pub const SCRIPTED_DEFAULT: &str = "scripted/demo";

/// Where a model id leads: the provider, and the id as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub provider: Provider,
    pub model: String,
}

/// Finds the provider of a model id.
///
/// `provider/model` routes explicitly, well-known prefixes route by themselves, everything else goes to the
/// OpenAI-compatible endpoint if the caller has one.
pub fn route(model: &str, has_compatible_endpoint: impl FnOnce() -> bool) -> Result<Route, Problem> {
    let to = |provider, model: &str| Ok(Route { provider, model: model.to_owned() });
    if let Some((name, rest)) = model.split_once('/')
        && let Some(provider) = Provider::parse(name)
        && !rest.is_empty()
    {
        return to(provider, rest);
    }
    let prefixes: &[(&str, Provider)] = &[
        ("gpt-", Provider::Openai),
        ("o1", Provider::Openai),
        ("o3", Provider::Openai),
        ("o4", Provider::Openai),
        ("chatgpt-", Provider::Openai),
        ("claude-", Provider::Anthropic),
        ("gemini-", Provider::Gemini),
    ];
    if let Some((_, provider)) = prefixes.iter().find(|(prefix, _)| model.starts_with(prefix)) {
        return to(*provider, model);
    }
    if has_compatible_endpoint() {
        return to(Provider::OpenaiCompatible, model);
    }
    Err(Problem::new(
        Code::UnknownProvider,
        format!(
            "No provider is known for the model `{}`. Write it as `provider/model` with one of anthropic, openai, gemini, \
             openai_compatible or scripted, or set a key with a base_url for openai_compatible.",
            model.chars().take(100).collect::<String>()
        ),
    )
    .at("model"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_id_leads_to_its_provider() {
        let check = |model: &str, provider, name: &str| {
            assert_eq!(route(model, || false).unwrap(), Route { provider, model: name.into() }, "{model}");
        };
        check("gpt-5-mini", Provider::Openai, "gpt-5-mini");
        check("o3", Provider::Openai, "o3");
        check("claude-opus-4-1", Provider::Anthropic, "claude-opus-4-1");
        check("gemini-2.5-flash", Provider::Gemini, "gemini-2.5-flash");
        check("openai_compatible/meta/llama-3", Provider::OpenaiCompatible, "meta/llama-3");
        check("scripted/demo", Provider::Scripted, "demo");
    }

    #[test]
    fn an_unknown_model_goes_to_the_compatible_endpoint_or_nowhere() {
        assert_eq!(route("llama3", || true).unwrap().provider, Provider::OpenaiCompatible);
        assert_eq!(route("llama3", || false).unwrap_err().code, Code::UnknownProvider);
        assert_eq!(route("meta/llama3", || true).unwrap().model, "meta/llama3");
        assert_eq!(route("scripted/", || false).unwrap_err().code, Code::UnknownProvider);
    }
}
