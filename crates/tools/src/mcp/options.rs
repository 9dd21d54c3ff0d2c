//! Bounds on calls of MCP servers, as `ingram.toml` may set them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// How long and how much. Durations are seconds, written as numbers: `10`, `0.5`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The longest wait for a connection, name resolution and TLS included. Default 10 seconds.
    #[serde(deserialize_with = "seconds")]
    pub connect: Duration,
    /// The longest a server may take to list its tools, all requests that this needs together. Default 15 seconds.
    #[serde(deserialize_with = "seconds")]
    pub discovery: Duration,
    /// The longest wait for the result of a call. Each notice of progress begins it anew. Default 60 seconds.
    #[serde(deserialize_with = "seconds")]
    pub call: Duration,
    /// The longest a call may take, however much progress it makes. Default 600 seconds.
    #[serde(deserialize_with = "seconds")]
    pub call_total: Duration,
    /// The most tools that a server may offer. Default 512.
    #[serde(deserialize_with = "most::<10_000, _>")]
    pub max_tools: usize,
    /// The largest list of tools, in bytes of what is kept of it. Default 4 MiB.
    #[serde(deserialize_with = "most::<{ 64 << 20 }, _>")]
    pub max_manifest_bytes: usize,
    /// The largest answer as it comes in, in bytes, with all that comes before it in its stream. Default 16 MiB.
    #[serde(deserialize_with = "most::<{ 256 << 20 }, _>")]
    pub max_answer_bytes: usize,
    /// The longest text of a result, in bytes; a longer one is cut. Default 1 MiB.
    #[serde(deserialize_with = "most::<{ 64 << 20 }, _>")]
    pub max_result_bytes: usize,
    /// The most images and files of a result; further ones are left out. Default 16.
    #[serde(deserialize_with = "most::<1_000, _>")]
    pub max_attachments: usize,
    /// The images and files of a result together, in bytes; what goes beyond is left out. Default 8 MiB.
    #[serde(deserialize_with = "most::<{ 256 << 20 }, _>")]
    pub max_attachment_bytes: usize,
    /// The most sessions that are kept with servers of older revisions. Default 1024.
    #[serde(deserialize_with = "most::<100_000, _>")]
    pub max_sessions: usize,
    /// How long a session is kept that nobody uses. Default 300 seconds.
    #[serde(deserialize_with = "seconds")]
    pub session_idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            discovery: Duration::from_secs(15),
            call: Duration::from_secs(60),
            call_total: Duration::from_secs(600),
            max_tools: 512,
            max_manifest_bytes: 4 << 20,
            max_answer_bytes: 16 << 20,
            max_result_bytes: 1 << 20,
            max_attachments: 16,
            max_attachment_bytes: 8 << 20,
            max_sessions: 1_024,
            session_idle: Duration::from_secs(300),
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

fn most<'de, const MOST: usize, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = usize::deserialize(deserializer)?;
    if number == 0 || number > MOST {
        return Err(de::Error::custom(format!("expected a number from 1 to {MOST}")));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(toml::from_str::<Options>("").unwrap(), Options::default());
        let options: Options = toml::from_str("call = 2.5\nmax_tools = 3").unwrap();
        assert_eq!((options.call, options.max_tools), (Duration::from_millis(2_500), 3));
        assert_eq!(options.call_total, Options::default().call_total);
    }

    #[test]
    fn unknown_settings_and_impossible_bounds_are_errors() {
        for text in ["cal = 3", "call = -1", "call = 1e9", "max_tools = 0", "max_tools = 10001"] {
            assert!(toml::from_str::<Options>(text).is_err(), "{text}");
        }
    }
}
