//! The one cluster that the test processes of a checkout share.
//!
//! Two lock files in the target folder carry the agreement. `start.lock` is held while somebody starts or stops the
//! cluster. `users.lock` is held *shared* by every test process for its life, so that the watchdog, who asks for it
//! exclusively, knows when nobody is left. A process takes `users.lock` first: from then on the cluster it finds stays.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{binaries, watchdog};

/// Speed is all that counts here: nothing in a test cluster needs to survive a crash of the machine.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "max_connections=400",
    "shared_buffers=64MB",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "wal_recycle=off",
    "max_wal_senders=0",
    "checkpoint_timeout=1h",
    "autovacuum=off",
    "jit=off",
    "log_min_messages=warning",
];

/// What a process must know to join a running cluster.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    folder: PathBuf,
    port: u16,
    password: String,
}

impl Description {
    fn url(&self) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// Asks on the socket in the cluster's own folder: the port may have gone to somebody else by now.
    fn answers(&self) -> bool {
        UnixStream::connect(self.folder.join(format!(".s.PGSQL.{}", self.port))).is_ok()
    }
}

/// This process's membership: its share of the lock, never given back before the process ends.
struct Membership {
    _users: File,
    url: String,
}

/// Returns the URL of the cluster's database `postgres`, and starts the cluster when it is not there.
pub(super) fn url() -> Result<String> {
    static MEMBERSHIP: Mutex<Option<Membership>> = Mutex::new(None);
    let mut membership = MEMBERSHIP.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(membership) = membership.as_ref() {
        return Ok(membership.url.clone());
    }
    let joined = join(&state_folder()?)?;
    let url = joined.url.clone();
    *membership = Some(joined);
    Ok(url)
}

/// Returns random hexadecimal text of twice as many characters as bytes asked for.
pub(super) fn random_text(bytes: usize) -> Result<String> {
    let mut random = vec![0_u8; bytes];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("read /dev/urandom")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Finds `<target>/testkit-postgres`: the test binary lies in the target folder, which cargo marks with a tag file.
fn state_folder() -> Result<PathBuf> {
    let binary = std::env::current_exe().context("path of the test binary")?;
    let marked = binary.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target =
        marked.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), Path::to_owned);
    let folder = target.join("testkit-postgres");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

fn join(state: &Path) -> Result<Membership> {
    let users = lock_file(&state.join("users.lock"))?;
    users.lock_shared().context("lock users.lock")?;
    let start = lock_file(&state.join("start.lock"))?;
    start.lock().context("lock start.lock")?;
    let description = match read_description(&state.join("cluster.json"))? {
        Some(description) if description.answers() => description,
        stale => {
            if let Some(stale) = stale {
                remove_folder(&stale.folder)?;
            }
            start_cluster(state)?
        }
    };
    watchdog::ensure(state)?;
    Ok(Membership { _users: users, url: description.url() })
}

fn lock_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    file.with_context(|| format!("open {}", path.display()))
}

fn read_description(path: &Path) -> Result<Option<Description>> {
    match std::fs::read(path) {
        // Half a file is left when its writer was killed: as good as none.
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("remove the old cluster"),
        _ => Ok(()),
    }
}

fn start_cluster(state: &Path) -> Result<Description> {
    let programs = binaries::folder()?;
    // The path of a Unix socket has room for about a hundred bytes, and the account that runs the server must be able to
    // reach it: TMPDIR promises neither.
    let folder =
        tempfile::Builder::new().prefix("ingram-postgres-").tempdir_in("/tmp").context("create a folder")?;
    let password = random_text(16)?;
    let password_file = folder.path().join("password");
    write_private(&password_file, &password)?;
    let account = binaries::account(&password_file)?;
    if let Some(account) = account {
        for path in [folder.path(), &password_file] {
            std::os::unix::fs::chown(path, Some(account.user), Some(account.group)).context("chown")?;
        }
    }
    let data = folder.path().join("data");
    let mut initdb = Command::new(programs.join("initdb"));
    initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file).args([
        "--username=postgres",
        "--auth-local=trust",
        "--auth-host=password",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    binaries::run(initdb.current_dir(folder.path()), account)?;

    let port = start_server(&programs, folder.path(), account)?;
    let description = Description { folder: folder.path().to_owned(), port, password };
    write_private(&state.join("cluster.folder"), &format!("{}\n", description.folder.display()))?;
    write_private(&state.join("cluster.json"), &serde_json::to_string(&description)?)?;
    let _kept = folder.keep();
    Ok(description)
}

/// Starts the server on a free port; somebody else may take the port in between, so it has several tries.
fn start_server(programs: &Path, folder: &Path, account: Option<binaries::Account>) -> Result<u16> {
    let log = folder.join("log");
    let mut last = anyhow::anyhow!("not tried");
    for _ in 0..5 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut options = format!("-p {port} -k {}", folder.display());
        for setting in SETTINGS {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        let mut start = Command::new(programs.join("pg_ctl"));
        start.args(["start", "--wait", "--silent", "--timeout=60"]);
        start.arg("--pgdata").arg(folder.join("data")).arg("--log").arg(&log).arg("--options").arg(options);
        // A server that inherited the pipes of this command would keep them open for as long as it lives.
        start.stdin(std::process::Stdio::null());
        match binaries::run(start.current_dir(folder), account) {
            Ok(()) => return Ok(port),
            Err(problem) => last = problem,
        }
    }
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    Err(last.context(format!("the server does not start; its log:\n{log}")))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let written = (|| {
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        std::io::Write::write_all(&mut &file, text.as_bytes())
    })();
    written.with_context(|| format!("write {}", path.display()))
}
