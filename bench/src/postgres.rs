//! A PostgreSQL server of our own, with the settings that it comes with: durability is on.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

const USER: &str = "bench";
/// In which the server must answer, or end.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// The programs of an installed PostgreSQL.
#[derive(Clone, Debug)]
pub(crate) struct Installed(PathBuf);

/// A running server, which ends with the value. Its folder lies on the disk that is measured.
pub(crate) struct Cluster {
    programs: PathBuf,
    account: Option<Account>,
    folder: tempfile::TempDir,
    process: Child,
    port: u16,
    password: String,
    databases: AtomicU32,
}

/// A database on a cluster.
#[derive(Debug)]
pub(crate) struct Database(String);

/// As whom PostgreSQL runs when this process belongs to root, whom it refuses.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Installed {
    /// Finds the programs: on the path, or the newest where Debian puts them.
    pub(crate) fn find() -> Option<Self> {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let mut packaged: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|versions| versions.flatten().map(|version| version.path()).collect())
            .unwrap_or_default();
        packaged.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
        let packaged = packaged.into_iter().rev().map(|version| version.join("bin"));
        std::env::split_paths(&on_path)
            .chain(packaged)
            .find(|folder| ["initdb", "postgres", "createdb"].iter().all(|name| folder.join(name).is_file()))
            .map(Self)
    }

    /// Starts a server with an empty cluster in a folder of its own.
    pub(crate) fn start(&self, folder: &Path) -> anyhow::Result<Cluster> {
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir_in(folder)?;
        let account = account(folder.path())?;
        let password = password()?;
        let file = folder.path().join("password");
        let mut written = File::options().create_new(true).write(true).mode(0o600).open(&file)?;
        written.write_all(password.as_bytes())?;
        if let Some(account) = account {
            for path in [folder.path(), &file] {
                std::os::unix::fs::chown(path, Some(account.user), Some(account.group))?;
            }
        }
        let data = folder.path().join("data");
        let mut initdb = Command::new(self.0.join("initdb"));
        initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&file);
        initdb.args(["--username", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        run(&mut initdb, folder.path(), account)?;

        // The port is free now; nobody else is likely to take it in the next millisecond.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut postgres = Command::new(self.0.join("postgres"));
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        let log = File::create(folder.path().join("log"))?;
        postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = as_account(&mut postgres, folder.path(), account).spawn()?;
        let databases = AtomicU32::default();
        let mut cluster =
            Cluster { programs: self.0.clone(), account, folder, process, port, password, databases };
        cluster.wait()?;
        Ok(cluster)
    }
}

impl Cluster {
    fn wait(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            match self.database() {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(LOOK),
            }
            if let Some(status) = self.process.try_wait()? {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("PostgreSQL ended with {status}: {log}");
            }
        }
    }

    /// Makes an empty database.
    pub(crate) fn database(&self) -> anyhow::Result<Arc<Database>> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let (port, password) = (self.port, &self.password);
        let mut createdb = Command::new(self.programs.join("createdb"));
        createdb.args(["--host=127.0.0.1", "--no-password", "--username", USER]);
        createdb.args(["--port", &port.to_string(), &name]).env("PGPASSWORD", password);
        run(&mut createdb, self.folder.path(), self.account)?;
        Ok(Arc::new(Database(format!("postgres://{USER}:{password}@127.0.0.1:{port}/{name}"))))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // At once, without waiting for clients. If it is gone already, there is nothing to do.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
    }
}

impl Database {
    pub(crate) fn url(&self) -> &str {
        &self.0
    }
}

fn password() -> anyhow::Result<String> {
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Chooses another account when this process belongs to root.
fn account(own: &Path) -> anyhow::Result<Option<Account>> {
    if std::fs::metadata(own)?.uid() != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd")?;
    let found = ["postgres", "nobody"].iter().find_map(|name| {
        let line = accounts.lines().find_map(|line| line.strip_prefix(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(1);
        Some(Account { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    });
    found.map(Some).context("PostgreSQL does not run as root, and there is no user `postgres` to run it")
}

fn as_account<'a>(command: &'a mut Command, folder: &Path, account: Option<Account>) -> &'a mut Command {
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    command.current_dir(folder)
}

/// Runs a program of PostgreSQL to its end.
fn run(command: &mut Command, folder: &Path, account: Option<Account>) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = as_account(command, folder, account).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
