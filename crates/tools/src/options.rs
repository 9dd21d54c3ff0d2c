//! Bounds on calls of tools, as `ingram.toml` may set them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// How long and how much (`[tools]`). Durations are seconds, written as numbers: `10`, `0.5`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The longest wait for a connection, name resolution and TLS included. Default 10 seconds.
    #[serde(deserialize_with = "seconds")]
    pub connect: Duration,
    /// The longest that fetching a page may take, redirects included. Default 20 seconds.
    #[serde(deserialize_with = "seconds")]
    pub fetch_timeout: Duration,
    /// How much of a page is read, in bytes. Default 2 MiB.
    pub fetch_max_bytes: usize,
    /// How much text of a page a model can get, in characters. Default 50,000.
    pub fetch_max_characters: usize,
    /// How much text of a page a model gets that does not say, in characters. Default 20,000.
    pub fetch_default_characters: usize,
    /// The largest result of a webhook tool, in bytes. Default 1 MiB.
    pub webhook_max_bytes: usize,
    /// How often a call of a webhook tool that may be repeated is tried, the first time included. Default 3.
    pub webhook_attempts: u32,
    /// The wait before the second attempt; it doubles with every further one. Default 0.5 seconds.
    #[serde(deserialize_with = "seconds")]
    pub webhook_backoff: Duration,
    pub search: Search,
}

/// Where `web_search` searches (`[tools.search]`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Whose search is used. None: there is no `web_search`.
    pub provider: Option<SearchProvider>,
    /// The key for the provider.
    pub api_key: Option<ApiKey>,
    /// Where the provider is, if not at its usual address; needed for SearXNG.
    pub base_url: Option<String>,
    /// The longest that a search may take. Default 15 seconds.
    #[serde(deserialize_with = "seconds")]
    pub timeout: Duration,
}

/// A provider of searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchProvider {
    Brave,
    Tavily,
    Searxng,
}

impl SearchProvider {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brave => "brave",
            Self::Tavily => "tavily",
            Self::Searxng => "searxng",
        }
    }
}

/// A key, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(20),
            fetch_max_bytes: 2 << 20,
            fetch_max_characters: 50_000,
            fetch_default_characters: 20_000,
            webhook_max_bytes: 1 << 20,
            webhook_attempts: 3,
            webhook_backoff: Duration::from_millis(500),
            search: Search::default(),
        }
    }
}

impl Default for Search {
    fn default() -> Self {
        Self { provider: None, api_key: None, base_url: None, timeout: Duration::from_secs(15) }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    // No call takes an hour; the bound keeps moments within what the clock can represent.
    if !(0.0..=3_600.0).contains(&seconds) {
        return Err(de::Error::custom("expected a number of seconds from 0 to 3600"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(toml::from_str::<Options>("").unwrap(), Options::default());
        let options: Options =
            toml::from_str("connect = 0.5\n[search]\nprovider = \"searxng\"\nbase_url = \"http://search\"")
                .unwrap();
        assert_eq!(options.connect, Duration::from_millis(500));
        assert_eq!(options.search.provider, Some(SearchProvider::Searxng));
        assert_eq!(options.search.timeout, Search::default().timeout);
    }

    #[test]
    fn unknown_settings_providers_and_impossible_times_are_errors() {
        for wrong in [
            "conect = 3",
            "connect = -1",
            "fetch_timeout = nan",
            "fetch_timeout = 3601",
            "[search]\nkey = \"x\"",
            "[search]\nprovider = \"altavista\"",
        ] {
            assert!(toml::from_str::<Options>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let options: Options = toml::from_str("[search]\napi_key = \"hush\"").unwrap();
        assert!(!format!("{options:?}").contains("hush"));
    }
}
