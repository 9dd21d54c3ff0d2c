//! The server that is measured: the release build, in a process of its own.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http::Method;
use serde_json::json;

use crate::client::Client;
use crate::mock::Mock;
use crate::postgres::Database;

/// The bearer of the metrics, which only this machine can reach.
const METRICS_TOKEN: &str = "bench";
/// The master key of servers that share a database.
const MASTER_KEY: &str = "YmVuY2hiZW5jaGJlbmNoYmVuY2hiZW5jaGJlbmNoYmU=";
/// The provider whose key leads to the mock.
const PROVIDER: &str = "openai_compatible";
/// In which the server must answer, or end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether it answers.
const LOOK: Duration = Duration::from_micros(100);

/// The program, and where its data may lie.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    folder: PathBuf,
}

/// A folder for a server's data, which goes away with it, and the database that is used instead of the embedded one.
pub(crate) struct Data {
    folder: tempfile::TempDir,
    database: Option<Arc<Database>>,
}

/// A running server.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Program {
    pub(crate) fn new(path: PathBuf, folder: PathBuf) -> anyhow::Result<Self> {
        let path = path
            .canonicalize()
            .context("the program is not there; build it with: cargo build --release -p ingram")?;
        std::fs::create_dir_all(&folder).context("the folder for data cannot be made")?;
        Ok(Self { path, folder })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty folder for data.
    pub(crate) fn data(&self) -> anyhow::Result<Data> {
        self.data_on(None)
    }

    /// Makes an empty folder for the data of a server on this database.
    pub(crate) fn data_on(&self, database: Option<Arc<Database>>) -> anyhow::Result<Data> {
        let folder = tempfile::tempdir_in(&self.folder)?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        Ok(Data { folder, database })
    }

    /// Makes an empty folder for the data of another server on the same database.
    pub(crate) fn data_beside(&self, data: &Data) -> anyhow::Result<Data> {
        self.data_on(data.database.clone())
    }

    /// Starts a server and waits until `/health` answers 200.
    pub(crate) fn start(&self, data: &Data) -> anyhow::Result<Server> {
        // The port is free now; nobody else is likely to take it in the next millisecond.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = data.log();
        let mut command = self.command(&["serve", "--listen", &address.to_string()], data);
        command.env("INGRAM_METRICS_TOKEN", METRICS_TOKEN).stdout(Stdio::null()).stderr(File::create(&log)?);
        let start = Instant::now();
        let process = command.spawn().context("the program does not start")?;
        let mut server = Server { process, address, started_in: Duration::ZERO };
        while !is_healthy(address) {
            if let Some(status) = server.process.try_wait()? {
                bail!("the server ended with {status}: {}", std::fs::read_to_string(&log)?);
            }
            ensure!(start.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(LOOK);
        }
        server.started_in = start.elapsed();
        Ok(server)
    }

    /// Mints a token that administers the first project.
    pub(crate) fn admin_token(&self, data: &Data) -> anyhow::Result<String> {
        let output = self.command(&["token", "create", "--admin"], data).output()?;
        ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Runs the program for nothing but its version, and returns how long that took.
    pub(crate) fn version(&self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let output = Command::new(&self.path).arg("--version").env_clear().output()?;
        ensure!(output.status.success(), "the program does not tell its version");
        Ok(start.elapsed())
    }

    /// Makes a command that sees nothing of the environment that the benchmark was started in.
    fn command(&self, arguments: &[&str], data: &Data) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).arg("--data").arg(data.path());
        command.env_clear().current_dir(data.folder.path()).stdin(Stdio::null());
        if let Some(database) = &data.database {
            command.env("INGRAM_DATABASE_URL", database.url()).env("INGRAM_MASTER_KEY", MASTER_KEY);
        }
        command
    }
}

impl Data {
    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Server {
    /// Returns the time from before the start of the process to the first 200 of `/health`.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks the server to stop and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        )?;
        let asked = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            ensure!(asked.elapsed() < PATIENCE, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop`, both do nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_healthy(address: SocketAddr) -> bool {
    ask_health(address).unwrap_or(false)
}

fn ask_health(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    match stream.read_exact(&mut status) {
        Ok(()) => Ok(&status == b"HTTP/1.1 200"),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A project on a server: a token, and smiths that the mock answers.
pub(crate) struct Project {
    pub(crate) client: Client,
    address: SocketAddr,
    token: String,
}

impl Project {
    pub(crate) async fn new(
        program: &Program,
        data: &Data,
        server: &Server,
        mock: &Mock,
    ) -> anyhow::Result<Self> {
        let token = program.admin_token(data)?;
        let client = Client::with_token(server.address, &token)?;
        let key = json!({ "api_key": "sk-bench", "base_url": mock.base_url() });
        client.json(Method::PUT, &format!("/v1/tenant/model_keys/{PROVIDER}"), &key).await?;
        Ok(Self { client, address: server.address, token })
    }

    /// Makes a client of the same project on another server.
    pub(crate) fn through(&self, server: &Server) -> anyhow::Result<Client> {
        Client::with_token(server.address, &self.token)
    }

    /// Registers the mock's tool.
    pub(crate) async fn register_tool(&self, mock: &Mock, approval: &str) -> anyhow::Result<()> {
        let tool = json!({ "description": "Pays an amount.", "input_schema": { "type": "object" },
            "execution": "webhook", "url": mock.tool_url(), "approval": approval });
        self.client.json(Method::PUT, "/v1/tenant/tools/pay", &tool).await?;
        Ok(())
    }

    /// Makes smiths on a model of the mock and returns the paths of their runs.
    pub(crate) async fn smiths(&self, model: &str, count: usize) -> anyhow::Result<Vec<String>> {
        self.smiths_with(model, json!({}), count).await
    }

    /// Makes smiths with these fields in their configuration too.
    pub(crate) async fn smiths_with(
        &self,
        model: &str,
        mut body: serde_json::Value,
        count: usize,
    ) -> anyhow::Result<Vec<String>> {
        if let Some(fields) = body.as_object_mut() {
            fields.insert("model".to_owned(), json!(format!("{PROVIDER}/{model}")));
        }
        let mut paths = Vec::new();
        for number in 0..count {
            if let Some(fields) = body.as_object_mut() {
                fields.insert("external_id".to_owned(), external_id(model, number).into());
            }
            let smith = self.client.json(Method::POST, "/v1/smiths", &body).await?;
            let id = smith.pointer("/id").and_then(|id| id.as_str()).context("a smith without an id")?;
            paths.push(format!("/v1/smiths/{id}/runs"));
        }
        Ok(paths)
    }

    /// Returns what the server has counted.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let client = Client::with_token(self.address, METRICS_TOKEN)?;
        client.text(Method::GET, "/metrics", bytes::Bytes::new()).await
    }
}

/// Names a smith as the product that it belongs to does.
pub(crate) fn external_id(model: &str, number: usize) -> String {
    format!("{model}-{number}")
}
