//! Programs that use the clients, each in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Where the programs say that the server is.
const ADDRESS: &str = "http://127.0.0.1:8080";
const PATIENCE: Duration = Duration::from_secs(150);

/// Returns the folder with the sources of the programs.
pub(super) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients")
}

/// Runs a program against a server to its end.
///
/// # Panics
/// When it fails, with what it printed.
pub(super) async fn run(path: &str, server: &str, variables: &[(&str, &str)]) {
    let installed = installed().await;
    // Node.js looks for packages in the folders above a program.
    let folder = tempfile::tempdir_in(&installed).unwrap();
    let source = std::fs::read_to_string(sources().join(path)).unwrap();
    let program = folder.path().join(Path::new(path).file_name().unwrap());
    std::fs::write(&program, source.replace(ADDRESS, server)).unwrap();
    let (interpreter, options) = if path.starts_with("python/") {
        ("python/bin/python", &[][..])
    } else {
        ("node_modules/.bin/node", &["--test-reporter=spec"][..])
    };
    let output = Command::new(installed.join(interpreter))
        .args(options)
        .arg(&program)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", folder.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("the program ends").unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{path} failed:\n{}", printed.concat());
}

/// Installs the clients where they are not there yet, and returns their folder.
async fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test-peers.sh");
    let output = Command::new(script).arg("openai").env("CARGO_TARGET_DIR", target).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("openai-clients")
}
