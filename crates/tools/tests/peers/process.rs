//! Programs that run beside a test.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout};

/// A server that ends with the test.
pub(crate) struct Peer {
    pub(crate) url: String,
    /// Killed when dropped.
    _child: Child,
    _output: (Option<ChildStdout>, Option<ChildStderr>),
}

/// Installs what is not there yet, and returns the folder of it all.
///
/// # Panics
/// When it cannot be installed.
pub(crate) fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test-peers.sh");
    let output = Command::new(script).arg("mcp").env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("mcp-peers")
}

/// Starts the server that is built with the Python SDK.
pub(crate) async fn python() -> Peer {
    let program = installed().join("python/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/server.py");
    let mut command = tokio::process::Command::new(program);
    command.arg(script).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let url = BufReader::new(&mut output).lines().next_line().await.unwrap().unwrap();
    Peer { url, _child: child, _output: (Some(output), None) }
}

/// Starts the server of the protocol's authors that shows everything.
pub(crate) async fn everything() -> Peer {
    let folder = installed();
    // It takes the port that it is told, which others may have taken in between.
    for _ in 0..5 {
        let port = free_port();
        let mut command = tokio::process::Command::new(folder.join("node_modules/.bin/node"));
        command
            .arg(folder.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js"))
            .arg("streamableHttp")
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        let mut lines = BufReader::new(&mut errors).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(&format!("listening on port {port}")) {
                let url = format!("http://127.0.0.1:{port}/mcp");
                return Peer { url, _child: child, _output: (None, Some(errors)) };
            }
        }
    }
    panic!("the server does not start")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listener.local_addr().unwrap().port()
}
