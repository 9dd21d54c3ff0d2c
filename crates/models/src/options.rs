//! Bounds on calls of models, as `ingram.toml` may set them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// How long, how often and how much. Durations are seconds, written as numbers: `10`, `0.5`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The longest wait for a connection, name resolution and TLS included. Default 10 seconds.
    #[serde(deserialize_with = "seconds")]
    pub connect: Duration,
    /// The longest wait from sending a request to the first byte of the answer's stream. Default 180 seconds: a local
    /// server may have to load the model first.
    #[serde(deserialize_with = "seconds")]
    pub first_byte: Duration,
    /// The longest silence within a stream. Any complete line counts as a sound, comments and unknown events too.
    /// Default 300 seconds: models that think do not always say so.
    #[serde(deserialize_with = "seconds")]
    pub idle: Duration,
    /// The longest a call may take, with all its attempts and the waits between them. Default 1800 seconds.
    #[serde(deserialize_with = "seconds")]
    pub total: Duration,
    /// How often a call is tried, the first time included. Default 3.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles with every further one. Default 0.5 seconds.
    #[serde(deserialize_with = "seconds")]
    pub backoff_base: Duration,
    /// The longest wait between attempts, also where the provider asks for a longer one. Default 30 seconds.
    #[serde(deserialize_with = "seconds")]
    pub backoff_max: Duration,
    /// The longest answer of a call to Anthropic that names no limit, in tokens, thinking apart. Default 8192.
    pub anthropic_max_tokens: u64,
    /// The largest single event of a stream, in bytes. Default 8 MiB: OpenAI's last event repeats the whole answer.
    pub max_event_bytes: usize,
    /// The largest answer, in bytes of its stream. Default 64 MiB.
    pub max_answer_bytes: u64,
    /// How long a stored answer that is still being made is waited for. Default 120 seconds.
    #[serde(deserialize_with = "seconds")]
    pub reattach: Duration,
    /// The wait between two looks at a stored answer. Default 2 seconds.
    #[serde(deserialize_with = "seconds")]
    pub reattach_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(180),
            idle: Duration::from_secs(300),
            total: Duration::from_secs(1_800),
            attempts: 3,
            backoff_base: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            anthropic_max_tokens: 8_192,
            max_event_bytes: 8 << 20,
            max_answer_bytes: 64 << 20,
            reattach: Duration::from_secs(120),
            reattach_interval: Duration::from_secs(2),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    // A day is longer than any call; the bound keeps moments within what the clock can represent.
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err(de::Error::custom("expected a number of seconds from 0 to 86400"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(toml::from_str::<Options>("").unwrap(), Options::default());
        let options: Options = toml::from_str("connect = 3\nbackoff_base = 0.25\nattempts = 1").unwrap();
        assert_eq!(options.connect, Duration::from_secs(3));
        assert_eq!(options.backoff_base, Duration::from_millis(250));
        assert_eq!(options.attempts, 1);
        assert_eq!(options.idle, Options::default().idle);
    }

    #[test]
    fn unknown_settings_and_impossible_times_are_errors() {
        assert!(toml::from_str::<Options>("conect = 3").is_err());
        assert!(toml::from_str::<Options>("connect = -1").is_err());
        assert!(toml::from_str::<Options>("connect = nan").is_err());
        assert!(toml::from_str::<Options>("connect = 1e9").is_err());
    }
}
