//! The data folder: made on the first start, locked while a server uses it, home of the master key.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use vault::{Ids, InvalidMasterKey, MasterKey};
use zeroize::Zeroizing;

use crate::config::Config;

const LOCK: &str = "server.lock";
/// More than any form of a key has.
const LONGEST_KEY: u64 = 1_024;

/// Holds the data folder for one server. The system gives it free when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Makes the data folder, for nobody but its owner, unless it is there.
pub(crate) fn prepare(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| {
        format!("the data folder {} cannot be made; choose another with --data", folder.display())
    })
}

/// Takes the data folder for this server.
pub(crate) fn lock(folder: &Path) -> anyhow::Result<Lock> {
    let path = folder.join(LOCK);
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
    let unwritable = || {
        format!(
            "{} cannot be written; the data folder must belong to the user that runs the server, and its disk have room",
            path.display()
        )
    };
    let mut file = open.with_context(unwritable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = (&file).take(32).read_to_string(&mut pid);
            bail!(
                "another server (process {}) uses the data folder {}; stop it, or choose another folder with --data",
                pid.trim(),
                folder.display()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
        }
    }
    let written = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    written.with_context(unwritable)?;
    Ok(Lock(file))
}

/// Reads the master key from where the settings say, or makes one on the first start.
pub(crate) fn master_key(config: &Config, ids: &Ids) -> anyhow::Result<MasterKey> {
    let Config { settings, places, .. } = config;
    if let Some(text) = &settings.master_key {
        let key = MasterKey::parse(text.expose());
        return key.with_context(|| format!("{}: the master key is not usable", places.label("master_key")));
    }
    let path = settings.master_key_path();
    if settings.master_key_file.is_some() {
        return read_key(&path).with_context(|| places.label("master_key_file"));
    }
    match read_key(&path) {
        Err(error) if is_missing(&error) => {
            let database = settings.database_path();
            if settings.database_url.is_none() && database.exists() {
                bail!(
                    "{} is missing, but {} is there, and cannot be read without its key; restore the key file from your \
                     backup, or give the key with INGRAM_MASTER_KEY",
                    path.display(),
                    database.display()
                );
            }
            make_key(&path, ids)
        }
        outcome => outcome,
    }
}

/// Makes sure that a key that is not there may be made: not where it was lost, for a database that another process fills too.
pub(crate) async fn look_for_lost_key(config: &Config) -> anyhow::Result<()> {
    let settings = &config.settings;
    let path = settings.master_key_path();
    let is_given = settings.master_key.is_some() || settings.master_key_file.is_some();
    if is_given || settings.database_url.is_none() || !matches!(path.try_exists(), Ok(false)) {
        return Ok(());
    }
    let has_key = store::bootstrap::has_master_key(&settings.database()).await;
    if has_key.map_err(|error| name_place(config, error))? {
        bail!(
            "{} is missing, but the database is there, and cannot be read without its key; restore the key file from your \
             backup, copy it from another replica, or give the key with INGRAM_MASTER_KEY or INGRAM_MASTER_KEY_FILE",
            path.display()
        );
    }
    Ok(())
}

/// Says of an error of the database which database it is, or where the master key is from if that is what is wrong.
pub(crate) fn name_place(config: &Config, error: store::Error) -> anyhow::Error {
    let Config { settings, places, .. } = config;
    if !matches!(error, store::Error::OtherMasterKey { .. }) {
        return anyhow::Error::new(error).context(match settings.database_url {
            Some(_) => places.label("database_url"),
            None => settings.database_path().display().to_string(),
        });
    }
    let origin = match (&settings.master_key, &settings.master_key_file) {
        (Some(_), _) => places.label("master_key"),
        (None, Some(_)) => places.label("master_key_file"),
        (None, None) => settings.master_key_path().display().to_string(),
    };
    anyhow!("{origin}: {error}")
}

/// Reads a key file. Others than the owner must not be able to.
pub(crate) fn read_key(path: &Path) -> anyhow::Result<MasterKey> {
    let unreadable = || format!("the master key file {} cannot be read", path.display());
    let file = File::open(path).with_context(unreadable)?;
    let mode = file.metadata().with_context(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!(
            "the master key file {} can be read by others (mode {mode:03o}); run: chmod 600 {}",
            path.display(),
            path.display()
        );
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(2_048));
    file.take(LONGEST_KEY).read_to_end(&mut bytes).with_context(unreadable)?;
    let key = std::str::from_utf8(&bytes).ok().and_then(|text| MasterKey::parse(text).ok());
    key.with_context(|| {
        let what = if bytes.trim_ascii().is_empty() { "is empty" } else { "is damaged" };
        format!(
            "the master key file {} {what}: {InvalidMasterKey}; restore it from your backup. Only where nothing is stored \
             yet, remove it, and the next start makes another",
            path.display()
        )
    })
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Makes a key file that is complete from the moment it is there. Of two processes that try, one makes it.
fn make_key(path: &Path, ids: &Ids) -> anyhow::Result<MasterKey> {
    let key = MasterKey::generate(ids);
    let draft = draft(path);
    let unmade = || {
        format!(
            "the master key file {} cannot be made; its folder must be one that this user can write, and its disk have room",
            path.display()
        )
    };
    write_key(&draft, &key).with_context(unmade)?;
    // Unlike a rename, a link never replaces the file of a faster process.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return read_key(path),
        Err(error) => return Err(error).with_context(unmade),
    }
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    tracing::info!(
        path = %path.display(),
        "Made the master key. Back it up apart from the database: without it, nobody can read what is stored."
    );
    Ok(key)
}

fn draft(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.draft", std::process::id()))
}

fn write_key(path: &Path, key: &MasterKey) -> io::Result<()> {
    // A draft that a crashed process with the same number has left.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(key.to_text().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vault::SystemClock;

    use super::*;
    use crate::config::{Environment, Overrides, Settings};

    fn ids() -> Ids {
        Ids::new(Arc::new(SystemClock))
    }

    fn config(folder: &Path) -> Config {
        let settings = Settings { data: folder.join("data"), ..Settings::default() };
        Config { settings, ..Config::default() }
    }

    #[test]
    fn the_first_start_makes_a_folder_and_a_key_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let settings = &config.settings;
        prepare(&settings.data).unwrap();
        let key = master_key(&config, &ids()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&settings.data), 0o700);
        assert_eq!(mode(&settings.master_key_path()), 0o600);
        assert_eq!(master_key(&config, &ids()).unwrap().fingerprint(), key.fingerprint());
        assert_eq!(fs::read_dir(&settings.data).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let settings = &config.settings;
        prepare(&settings.data).unwrap();
        master_key(&config, &ids()).unwrap();
        fs::set_permissions(settings.master_key_path(), Permissions::from_mode(0o640)).unwrap();
        let error = master_key(&config, &ids()).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_key_file_that_is_damaged_says_what_to_do_and_nothing_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        prepare(&config.settings.data).unwrap();
        master_key(&config, &ids()).unwrap();
        let path = config.settings.master_key_path();
        let whole = fs::read(&path).unwrap();
        let check = |content: &[u8], what: &str| {
            fs::write(&path, content).unwrap();
            let told = format!("{:#}", master_key(&config, &ids()).unwrap_err());
            let start = format!("the master key file {} {what}: a master key is 32 bytes", path.display());
            assert!(told.starts_with(&start), "{told}");
            assert!(told.contains("restore it from your backup"), "{told}");
            assert!(content.is_empty() || !told.contains("hush"), "{told}");
            assert_eq!(fs::read(&path).unwrap(), content, "nothing is made in its place");
        };
        check(b"", "is empty");
        check(b" \n", "is empty");
        check(&whole[..20], "is damaged");
        check(b"hush hush", "is damaged");
        check(&[0xff, 0xfe, b'h', b'u', b's', b'h'], "is damaged");
        check(&[0; 5_000], "is damaged");
        fs::remove_file(&path).unwrap();
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        let told = format!("{:#}", master_key(&config, &ids()).unwrap_err());
        assert!(
            told.starts_with(&format!("the master key file {} cannot be read: ", path.display())),
            "{told}"
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK);
        let check = || {
            let told = format!("{:#}", lock(folder.path()).unwrap_err());
            let start =
                format!("{} cannot be written; the data folder must belong to the user", path.display());
            assert!(told.starts_with(&start), "{told}");
        };
        fs::create_dir(&path).unwrap();
        check();
        fs::remove_dir(&path).unwrap();
        // A file that can be opened and takes nothing, as on a full disk.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        check();
    }

    #[test]
    fn a_database_without_its_key_gets_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let settings = &config.settings;
        prepare(&settings.data).unwrap();
        fs::write(settings.data.join("ingram.db"), "").unwrap();
        let error = master_key(&config, &ids()).unwrap_err().to_string();
        assert!(error.contains("restore the key file"), "{error}");
        assert!(!settings.master_key_path().exists());
    }

    #[test]
    fn a_key_file_that_was_named_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("named.key");
        let mut config = config(folder.path());
        config.settings.master_key_file = Some(path.clone());
        assert!(master_key(&config, &ids()).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_key_that_is_not_usable_names_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let clean = |text: String| text.replace(&folder.path().display().to_string(), "DIR");
        let check = |text: &str, variable: Option<&str>, place: &str, wrong: &str| {
            let file = folder.path().join("ingram.toml");
            fs::write(&file, text).unwrap();
            let overrides = Overrides { config: Some(file), ..Overrides::default() };
            let environment: Environment = variable.map(|name| (name, "hush")).into_iter().collect();
            let config = Config::load(&environment, &overrides).unwrap();
            let told = clean(format!("{:#}", master_key(&config, &ids()).unwrap_err()));
            assert!(told.starts_with(&format!("{place}: {wrong}")), "{told}");
            let other = store::Error::OtherMasterKey { stored: "a".into(), given: "b".into() };
            let told = clean(name_place(&config, other).to_string());
            assert!(told.starts_with(&format!("{place}: the database was filled under another")), "{told}");
        };
        let (key, path) = ("the master key is not usable", "the master key file hush cannot be read");
        check("master_key = \"hush\"", None, "DIR/ingram.toml: `master_key`", key);
        check("", Some("INGRAM_MASTER_KEY"), "INGRAM_MASTER_KEY", key);
        check("master_key_file = \"hush\"", None, "DIR/ingram.toml: `master_key_file`", path);
        check("", Some("INGRAM_MASTER_KEY_FILE"), "INGRAM_MASTER_KEY_FILE", path);
    }

    #[test]
    fn a_folder_has_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let error = lock(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        lock(folder.path()).unwrap();
    }
}
