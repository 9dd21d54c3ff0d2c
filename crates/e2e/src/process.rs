//! A process of the real program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long a start, a drain or a command may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the program that the same build made.
pub fn program() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let program = path.join("ingram");
    assert!(
        program.exists(),
        "{} is missing: build the workspace first (cargo build -p ingram)",
        program.display()
    );
    program
}

/// Makes a command that sees nothing of the environment of whoever runs the tests.
pub(crate) fn command(arguments: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().kill_on_drop(true).stdin(Stdio::null());
    if let Ok(path) = std::env::var("PATH") {
        command.env("PATH", path);
    }
    command.envs(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    command
}

/// Runs a command to its end and returns what it printed.
pub(crate) async fn output(arguments: &[&str], environment: &[(String, String)]) -> std::process::Output {
    tokio::time::timeout(PATIENCE, command(arguments, environment).output())
        .await
        .expect("the command ends in time")
        .expect("the command starts")
}

/// A server process that listens.
pub(crate) struct Process {
    child: Child,
    pub(crate) base_url: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a server and waits until it says where it listens.
    pub(crate) async fn start(arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut command = command(arguments, environment);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (found, mut address) = watch::channel(String::new());
        let found = Arc::new(found);
        read(child.stdout.take().expect("piped"), Arc::clone(&log), Arc::clone(&found));
        read(child.stderr.take().expect("piped"), Arc::clone(&log), found);
        let waited = tokio::time::timeout(PATIENCE, address.wait_for(|address| !address.is_empty())).await;
        let base_url = match waited {
            Ok(Ok(address)) => address.clone(),
            _ => panic!("the server did not say where it listens:\n{}", log.lock().unwrap()),
        };
        Self { child, base_url, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Takes the process away without a warning, as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.child.start_kill().expect("the server runs");
        self.child.wait().await.expect("the server can be waited for");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("the server runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success(), "the signal {signal} could not be sent");
    }

    /// Waits for the process to end by itself, and returns whether it ended well.
    pub(crate) async fn ended(&mut self) -> bool {
        let status =
            tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the server ends in time");
        status.expect("the server can be waited for").success()
    }
}

fn read(
    stream: impl AsyncRead + Unpin + Send + 'static,
    log: Arc<Mutex<String>>,
    found: Arc<watch::Sender<String>>,
) {
    #[expect(clippy::disallowed_methods, reason = "ends with the process that it reads from")]
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(address) = address_in(&line) {
                found.send_if_modified(|known| {
                    let is_new = known.is_empty();
                    if is_new {
                        *known = address;
                    }
                    is_new
                });
            }
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// Finds `http://127.0.0.1:<port>`, or that of all interfaces, in a line of the log.
fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("http://127.0.0.1:").or_else(|| line.split_once("http://0.0.0.0:"))?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!port.is_empty()).then(|| format!("http://127.0.0.1:{port}"))
}

/// Copies the files of a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        if entry.file_type().expect("the entry has a type").is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("the file can be copied");
        }
    }
}
