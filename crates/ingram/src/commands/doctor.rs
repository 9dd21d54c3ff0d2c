//! `ingram doctor`

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::egress::reqwest::Method;
use ::egress::{Egress, Policy, Timeouts, Url};
use domain::Timestamp;
use domain::models::Provider;
use engine::keys::HostedKey;
use models::scripted::Scripts;
use store::{DbError, Schema, Store, Upgrade};
use vault::{Ids, MasterKey, SystemClock};

use super::say;
use crate::config::{Config, Environment, Listen, Overrides, Settings};
use crate::data;

/// How long a provider gets to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many given-up runs are named.
const NAMED_RUNS: usize = 10;

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
            findings.push(fine("configuration", "it can be read"));
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

async fn examine(config: &Config, online: bool) -> Vec<Finding> {
    let settings = &config.settings;
    let mut findings = vec![listen(config).await, folder(settings), scripts(config)];
    let key = master_key(config).await;
    findings.push(match &key {
        Ok(Some(key)) => fine("master key", format!("fingerprint {}", key.fingerprint())),
        Ok(None) => note("master key", "not made yet; the first start of the server makes it"),
        Err(error) => wrong("master key", format!("{error:#}")),
    });
    match key {
        Ok(Some(key)) => findings.extend(database(config, key).await),
        _ => findings.push(note("database", "not looked at: there is no usable master key")),
    }
    findings.extend(providers(config, online).await);
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

fn folder(settings: &Settings) -> Finding {
    let check = "data folder";
    let path = settings.data.display();
    if !settings.uses_data() {
        return note(check, "not used: database and master key are elsewhere");
    }
    let Ok(metadata) = fs::metadata(&settings.data) else {
        return note(check, format!("{path} is not there yet; the first start of the server makes it"));
    };
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_dir() {
        wrong(check, format!("{path} is no folder; choose another with --data"))
    } else if mode & 0o077 != 0 {
        note(check, format!("{path} is open to others (mode {mode:03o}); better: chmod 700 {path}"))
    } else {
        fine(check, path)
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

/// Reads the master key, and makes none.
async fn master_key(config: &Config) -> anyhow::Result<Option<MasterKey>> {
    let settings = &config.settings;
    let is_missing = settings.master_key.is_none() && !settings.master_key_path().exists();
    let has_database = settings.database_url.is_none() && settings.database_path().exists();
    if is_missing && settings.master_key_file.is_none() && !has_database {
        data::look_for_lost_key(config).await?;
        return Ok(None);
    }
    data::master_key(config, &ids()).map(Some)
}

async fn database(config: &Config, key: MasterKey) -> Vec<Finding> {
    let settings = &config.settings;
    let check = "database";
    if settings.database_url.is_none() && !settings.database_path().exists() {
        return vec![note(check, "not there yet; the first start of the server makes it")];
    }
    // A look must not bring the schema of a running server's database up to date.
    let store = match Store::open_with(&settings.database(), Upgrade::Never, key, ids()).await {
        Ok(store) => store,
        Err(error) => return vec![wrong(check, format!("{:#}", data::name_place(config, error)))],
    };
    let found = inside(&store).await;
    let findings =
        found.unwrap_or_else(|error| vec![wrong(check, format!("{:#}", data::name_place(config, error)))]);
    store.db().close().await;
    findings
}

async fn inside(store: &Store) -> Result<Vec<Finding>, store::Error> {
    let (check, schema) = ("database", store.db().schema().await?);
    let Schema { found: Some(found), brought } = schema else {
        return Ok(vec![note(check, "empty; the first start of the server fills it")]);
    };
    store.server().check_master_key().await?;
    if schema.is_newer() {
        let text =
            format!("the schema is version {found}, this program knows {brought}; run a newer program");
        return Ok(vec![wrong(check, text)]);
    }
    let looked = contents(store).await;
    if !schema.is_older() {
        let mut findings = vec![fine(check, format!("read and written, schema version {found}"))];
        findings.extend(looked?);
        return Ok(findings);
    }
    let text =
        format!("the schema is version {found}, this program brings {brought}; start the server to migrate");
    let mut findings = vec![note(check, text)];
    match looked {
        // The schema of an older program may lack what this one looks at.
        Err(store::Error::Db(DbError::Statement(_))) => {
            findings.push(note("runs", "not looked at: the schema is older than this program"));
        }
        looked => findings.extend(looked?),
    }
    Ok(findings)
}

async fn contents(store: &Store) -> Result<Vec<Finding>, store::Error> {
    let checkup = store.server().checkup().await?;
    let mut findings = vec![clock(store.ids().now(), checkup.latest)];
    let poisoned = store.server().poisoned_runs(NAMED_RUNS).await?;
    findings.push(if poisoned.is_empty() {
        fine("runs", "none was given up")
    } else {
        let names: Vec<_> = poisoned.iter().map(ToString::to_string).collect();
        let text = "given up because the server went down with them again and again, or could not read what is stored of \
                    them (at most 10 are named); the log of that time says which, report them with it";
        note("runs", format!("{}: {text}", names.join(", ")))
    });
    Ok(findings)
}

fn clock(now: Timestamp, latest: Option<Timestamp>) -> Finding {
    match latest {
        Some(latest) if latest > now.plus_seconds(1) => wrong(
            "clock",
            format!(
                "it says {now}, but something stored is from {latest}: the clock was set back; set it right"
            ),
        ),
        _ => fine("clock", format!("it says {now}")),
    }
}

async fn providers(config: &Config, online: bool) -> Vec<Finding> {
    let check = "providers";
    if config.hosted.is_empty() {
        let text = "no key in the environment; where tenants set none either, the scripted model answers";
        return vec![note(check, text)];
    }
    let mut findings = Vec::new();
    for provider in Provider::ALL {
        let Some(key) = config.hosted.get(provider) else { continue };
        let name = provider.label();
        if !online {
            findings
                .push(fine(check, format!("{name} has a key (--online looks whether it can be reached)")));
            continue;
        }
        findings.push(match reach(*provider, key).await {
            Ok(()) => fine(check, format!("{name} has a key and can be reached")),
            Err(error) => wrong(
                check,
                format!("{name} cannot be reached: {error:#}; check the network and the provider's base URL"),
            ),
        });
    }
    findings
}

/// Asks a provider's address for any answer at all, without the key.
async fn reach(provider: Provider, key: &HostedKey) -> anyhow::Result<()> {
    let address = key.base_url.as_deref().or_else(|| models::base_url(provider)).unwrap_or_default();
    let timeouts = Timeouts { connect: PATIENCE, idle: Some(PATIENCE), total: Some(PATIENCE) };
    let client = Egress::new()?.client(Policy::Any, timeouts)?;
    client.request(Method::HEAD, &Url::parse(address)?)?.send().await?;
    Ok(())
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
    fn a_clock_behind_what_is_stored_is_wrong() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let is_wrong = |latest| matches!(clock(now, latest).verdict, Verdict::Wrong(_));
        assert!(is_wrong(Some(now.plus_seconds(60))));
        assert!(!is_wrong(Some(now)) && !is_wrong(None));
    }

    #[test]
    fn a_line_says_what_was_checked_and_how_it_is() {
        assert_eq!(fine("clock", "it ticks").to_string(), "ok    clock         it ticks");
        assert_eq!(wrong("master key", "gone").to_string(), "WRONG master key    gone");
    }
}
