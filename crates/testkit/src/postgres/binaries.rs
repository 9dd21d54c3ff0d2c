//! Where the programs of PostgreSQL are, and as whom they run.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const MISSING: &str = "PostgreSQL is not installed: the tests need its programs initdb and pg_ctl. Install them \
    (Debian: `apt-get install postgresql`), or set INGRAM_TEST_POSTGRES_URL to a server where databases may be created";

/// The account that runs the server: PostgreSQL refuses to run as root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// Finds the folder with `initdb` and `pg_ctl`: as `pg_config` says, else the newest of Debian's, else on the path.
pub(super) fn folder() -> Result<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    told.into_iter()
        .chain(packaged())
        .chain(std::env::split_paths(&on_path))
        .find(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file()))
        .context(MISSING)
}

/// Lists Debian's versions, the newest first.
fn packaged() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut versions: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    versions.into_iter().rev().map(|version| version.join("bin")).collect()
}

/// Chooses another account when this process belongs to root.
pub(super) fn account(own_file: &Path) -> Result<Option<Account>> {
    // A file just made belongs to the effective user; the standard library has no other way to ask.
    if std::fs::metadata(own_file)?.uid() != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    for wanted in ["postgres", "nobody"] {
        if let Some(account) = accounts.lines().find_map(|line| parse_account(line, wanted)) {
            return Ok(Some(account));
        }
    }
    bail!(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it: add one"
    )
}

fn parse_account(line: &str, wanted: &str) -> Option<Account> {
    let mut fields = line.split(':');
    if fields.next()? != wanted {
        return None;
    }
    let user = fields.nth(1)?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Account { user, group })
}

/// Runs a program of PostgreSQL to its end.
pub(super) fn run(command: &mut Command, account: Option<Account>) -> Result<()> {
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {name}"))?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{name} failed with {}:\n{out}{err}", output.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_its_line() {
        let account =
            parse_account("postgres:x:107:115:PostgreSQL:/var/lib/postgresql:/bin/bash", "postgres").unwrap();
        assert_eq!((account.user, account.group), (107, 115));
        assert!(parse_account("postgres2:x:1:1::/:/bin/sh", "postgres").is_none());
        assert!(parse_account("postgres:x", "postgres").is_none());
    }
}
