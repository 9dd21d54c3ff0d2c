//! The models that lists show. Others can be used just as well: the provider judges them.

use crate::models::Provider;

/// A model that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    pub id: &'static str,
    pub provider: Provider,
    pub label: &'static str,
}

macro_rules! models {
    ($($provider:ident: { $($id:literal = $label:literal,)* })*) => {
        /// Every known model, by provider, the strongest first.
        pub const MODELS: &[Model] = &[$($(Model { id: $id, provider: Provider::$provider, label: $label },)*)*];
    };
}

models! {
    Anthropic: {
        "claude-opus-4-1" = "Claude Opus 4.1",
        "claude-sonnet-4-5" = "Claude Sonnet 4.5",
        "claude-haiku-4-5" = "Claude Haiku 4.5",
    }
    Openai: {
        "gpt-5" = "GPT-5",
        "gpt-5-mini" = "GPT-5 mini",
        "gpt-5-nano" = "GPT-5 nano",
        "gpt-4.1" = "GPT-4.1",
        "gpt-4.1-mini" = "GPT-4.1 mini",
        "o3" = "o3",
        "o4-mini" = "o4-mini",
    }
    Gemini: {
        "gemini-2.5-pro" = "Gemini 2.5 Pro",
        "gemini-2.5-flash" = "Gemini 2.5 Flash",
        "gemini-2.5-flash-lite" = "Gemini 2.5 Flash-Lite",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::route;

    #[test]
    fn every_known_model_leads_to_its_provider_by_its_id_alone() {
        for model in MODELS {
            assert_eq!(route(model.id, || false).unwrap().provider, model.provider, "{}", model.id);
        }
    }

    #[test]
    fn every_flagship_is_known() {
        for flagship in Provider::ALL.iter().filter_map(|provider| provider.flagship()) {
            assert!(MODELS.iter().any(|model| model.id == flagship), "{flagship}");
        }
    }
}
