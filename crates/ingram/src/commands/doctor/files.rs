//! What is on this machine's disk: the data folder, its room, the configuration file, the master key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use vault::MasterKey;

use super::{Finding, fine, ids, note, wrong};
use crate::config::{Config, FILE, Settings};
use crate::data;

/// Settings that are secrets, or can hold one.
const SECRETS: [&str; 4] = ["database_url", "master_key", "metrics_token", "tools.search.api_key"];
/// Less room than this is soon none.
const LITTLE: u64 = 100 << 20;
const MIB: u64 = 1 << 20;

pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let check = "data folder";
    let path = settings.data.display();
    if !settings.uses_data() {
        return vec![note(check, "not used: database and master key are elsewhere")];
    }
    let Ok(metadata) = fs::metadata(&settings.data) else {
        return vec![note(check, format!("{path} is not there yet; the first start of the server makes it"))];
    };
    if !metadata.is_dir() {
        return vec![wrong(check, format!("{path} is no folder; choose another with --data"))];
    }
    let mode = metadata.permissions().mode() & 0o777;
    let folder = if mode & 0o007 != 0 {
        wrong(check, format!("{path} is open to others (mode {mode:03o}); run: chmod 700 {path}"))
    } else if access(&settings.data, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        wrong(
            check,
            format!("{path} cannot be written; look as the user that the server runs as, who must own it"),
        )
    } else if mode & 0o070 != 0 {
        // Volumes of clusters are their group's. The key is its owner's alone, and what people say is sealed with it.
        note(check, format!("{path} is open to its group (mode {mode:03o}); better: chmod 700 {path}"))
    } else {
        fine(check, path)
    };
    if settings.database_url.is_some() {
        // The key alone is there, and written once.
        return vec![folder];
    }
    let size = fs::metadata(settings.database_path()).map_or(0, |database| database.len());
    let room = statvfs(&settings.data).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    vec![folder, disk(&settings.data, room.ok(), size)]
}

/// Looks who else can read the configuration file, where it holds what nobody else must know.
pub(super) fn configuration(config: &Config) -> Finding {
    let check = "configuration";
    let path = config.file.as_deref().unwrap_or(Path::new(FILE));
    let in_file = SECRETS.iter().filter(|setting| config.places.is_in_file(setting));
    let secrets: Vec<_> = in_file.map(|setting| format!("`{setting}`")).collect();
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if secrets.is_empty() || mode & 0o077 == 0 {
        return fine(check, "it can be read");
    }
    let (path, secrets) = (path.display(), secrets.join(", "));
    let holds = format!("{path} holds {secrets} and is open to");
    if mode & 0o007 != 0 {
        wrong(check, format!("{holds} others (mode {mode:03o}); run: chmod o= {path}"))
    } else {
        note(check, format!("{holds} its group (mode {mode:03o})"))
    }
}

/// Judges the room on the disk of the data folder, for a database of that size.
fn disk(folder: &Path, room: Option<u64>, size: u64) -> Finding {
    let (check, folder) = ("disk", folder.display());
    let Some(room) = room else { return note(check, format!("its room at {folder} cannot be told")) };
    let free = format!("{} MiB free at {folder}", room / MIB);
    if room < LITTLE {
        wrong(check, format!("only {free}; make room, or what is written is refused soon"))
    } else if room < size {
        note(
            check,
            format!("{free}, less than the database takes ({} MiB): an upgrade may need as much", size / MIB),
        )
    } else {
        fine(check, free)
    }
}

/// Reads the master key, and makes none.
pub(super) async fn master_key(config: &Config) -> anyhow::Result<Option<MasterKey>> {
    let settings = &config.settings;
    // What cannot be looked at is not missing: reading it says why.
    let is_missing =
        settings.master_key.is_none() && matches!(settings.master_key_path().try_exists(), Ok(false));
    let has_database = settings.database_url.is_none() && settings.database_path().exists();
    if is_missing && settings.master_key_file.is_none() && !has_database {
        data::look_for_lost_key(config).await?;
        return Ok(None);
    }
    data::master_key(config, &ids()).map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_disk_that_is_all_but_full_is_wrong() {
        let verdict = |room, size| disk(Path::new("data"), room, size).verdict;
        assert!(
            matches!(verdict(Some(LITTLE - 1), 0), Verdict::Wrong(text) if text.contains("only 99 MiB free at data"))
        );
        assert!(matches!(verdict(Some(LITTLE), LITTLE + 1), Verdict::Note(_)));
        assert!(matches!(verdict(Some(LITTLE), LITTLE), Verdict::Fine(_)));
        assert!(matches!(verdict(None, 0), Verdict::Note(_)));
    }

    #[test]
    fn a_folder_that_others_can_open_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data: folder.path().to_owned(), ..Settings::default() };
        let verdict = |mode| {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            examine(&settings).swap_remove(0).verdict
        };
        assert!(
            matches!(verdict(0o755), Verdict::Wrong(text) if text.contains("mode 755") && text.contains("chmod 700"))
        );
        assert!(matches!(verdict(0o770), Verdict::Note(text) if text.contains("its group")));
        assert!(matches!(verdict(0o700), Verdict::Fine(_)));
    }
}
