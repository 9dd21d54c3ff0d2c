//! `ingram doctor`

mod database;
mod files;
mod providers;

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use domain::{Clock as _, Timestamp};
use models::scripted::Scripts;
use vault::{Ids, SystemClock};

use super::say;
use crate::config::{Config, Environment, Listen, Overrides};

/// How far two clocks may be apart, in seconds: what is on the way takes some of it.
const TOLERANCE: u64 = 30;

/// What a check has found.
struct Finding {
    check: &'static str,
    verdict: Verdict,
}

enum Verdict {
    Fine(String),
    /// Not wrong, but worth knowing.
    Note(String),
    /// What is wrong, and what to do.
    Wrong(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, text) = match &self.verdict {
            Verdict::Fine(text) => ("ok   ", text),
            Verdict::Note(text) => ("note ", text),
            Verdict::Wrong(text) => ("WRONG", text),
        };
        write!(formatter, "{mark} {:13} {text}", self.check)
    }
}

/// Checks everything that can be checked, prints a line for each check, and fails when something is wrong.
pub(super) async fn doctor(
    environment: Environment,
    overrides: Overrides,
    online: bool,
) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    match Config::load(&environment, &overrides) {
        Ok(config) => {
            findings.push(files::configuration(&config));
            findings.extend(examine(&config, online).await);
        }
        Err(error) => findings.push(wrong("configuration", error)),
    }
    for finding in &findings {
        say(&finding.to_string())?;
    }
    let is_well = !findings.iter().any(|finding| matches!(finding.verdict, Verdict::Wrong(_)));
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks at everything, and changes nothing of it.
async fn examine(config: &Config, online: bool) -> Vec<Finding> {
    let mut findings = vec![listen(config).await];
    findings.extend(files::examine(&config.settings));
    findings.push(scripts(config));
    let key = files::master_key(config).await;
    findings.push(match &key {
        Ok(Some(key)) => fine("master key", format!("fingerprint {}", key.fingerprint())),
        Ok(None) => note("master key", "not made yet; the first start of the server makes it"),
        Err(error) => wrong("master key", format!("{error:#}")),
    });
    match key {
        Ok(Some(key)) => findings.extend(database::examine(config, key).await),
        _ => findings.push(note("database", "not looked at: there is no usable master key")),
    }
    findings.extend(providers::examine(config, online, SystemClock.now()).await);
    findings
}

/// Looks up where the server is to listen, and leaves the port to the server that may be running.
async fn listen(config: &Config) -> Finding {
    let (check, listen) = ("listen", &config.settings.listen);
    match listen.addresses().await {
        Ok(_) if matches!(listen, Listen::Address(_)) => fine(check, listen),
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            fine(check, format!("{listen} is {}", addresses.join(" or ")))
        }
        Err(error) => wrong(check, format!("{}: {error:#}", config.places.label("listen"))),
    }
}

fn scripts(config: &Config) -> Finding {
    let check = "scripts";
    let Some(folder) = config.settings.scripts() else { return fine(check, "the built-in ones") };
    match Scripts::load(folder) {
        Ok(scripts) => fine(check, scripts.names().collect::<Vec<_>>().join(", ")),
        Err(error) => wrong(check, format!("{}: {error}", config.places.label("scripts"))),
    }
}

fn seconds_between(one: Timestamp, other: Timestamp) -> u64 {
    one.as_seconds().abs_diff(other.as_seconds())
}

fn ids() -> Ids {
    Ids::new(Arc::new(SystemClock))
}

fn fine(check: &'static str, text: impl fmt::Display) -> Finding {
    Finding { check, verdict: Verdict::Fine(text.to_string()) }
}

fn note(check: &'static str, text: impl fmt::Display) -> Finding {
    Finding { check, verdict: Verdict::Note(text.to_string()) }
}

fn wrong(check: &'static str, text: impl fmt::Display) -> Finding {
    Finding { check, verdict: Verdict::Wrong(text.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_checked_and_how_it_is() {
        assert_eq!(fine("clock", "it ticks").to_string(), "ok    clock         it ticks");
        assert_eq!(wrong("master key", "gone").to_string(), "WRONG master key    gone");
    }
}
