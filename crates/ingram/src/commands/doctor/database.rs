//! What the database says.

use std::fs;

use store::checkup::Checkup;
use store::{DbError, Schema, Store, Upgrade};
use vault::MasterKey;

use super::{Finding, TOLERANCE, fine, ids, note, seconds_between, wrong};
use crate::config::Config;
use crate::data;

/// An embedded database of up to so many bytes is read as a whole, which takes seconds.
const READ_WHOLE: u64 = 512 << 20;
/// How many given-up runs are named.
const NAMED_RUNS: usize = 10;

pub(super) async fn examine(config: &Config, key: MasterKey) -> Vec<Finding> {
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
    let size = fs::metadata(settings.database_path()).map_or(0, |database| database.len());
    let damage = match found.is_ok() && size <= READ_WHOLE {
        true => store.server().find_damage().await,
        false => Ok(None),
    };
    let mut findings =
        found.unwrap_or_else(|error| vec![wrong(check, format!("{:#}", data::name_place(config, error)))]);
    match damage {
        Ok(None) => {}
        Ok(Some(damage)) => {
            let file = settings.database_path();
            let text = format!(
                "{} is damaged ({damage}): stop the server and restore it from your backup; `sqlite3 FILE .recover` saves \
                 what can still be read",
                file.display()
            );
            findings.push(wrong(check, text));
        }
        Err(error) => findings.push(wrong(check, format!("{:#}", data::name_place(config, error)))),
    }
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
        let mut findings = vec![fine(check, format!("it can be read and written, schema version {found}"))];
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
    let mut findings = vec![clock(&checkup)];
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

/// Compares this machine's clock with the database's, and with what is stored.
fn clock(checkup: &Checkup) -> Finding {
    let Checkup { now, of_database, latest } = *checkup;
    if let Some(latest) = latest.filter(|latest| *latest > now.plus_seconds(1)) {
        return wrong(
            "clock",
            format!(
                "it says {now}, but something stored is from {latest}: the clock was set back; set it right"
            ),
        );
    }
    match of_database.filter(|of_database| seconds_between(now, *of_database) > TOLERANCE) {
        Some(other) => wrong(
            "clock",
            format!("it says {now}, and the database's says {other}; have both machines set theirs by NTP"),
        ),
        None => fine("clock", format!("it says {now}")),
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_behind_what_is_stored_or_far_from_the_databases_is_wrong() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let is_wrong = |latest, of_database| {
            matches!(clock(&Checkup { now, of_database, latest }).verdict, Verdict::Wrong(_))
        };
        assert!(is_wrong(Some(now.plus_seconds(60)), None));
        assert!(!is_wrong(Some(now), None) && !is_wrong(None, None));
        assert!(is_wrong(None, Some(now.plus_seconds(40))) && is_wrong(None, Some(now.plus_seconds(-40))));
        assert!(!is_wrong(Some(now), Some(now.plus_seconds(20))));
    }
}
