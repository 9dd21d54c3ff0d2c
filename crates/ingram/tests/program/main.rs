//! The program as people start it: what it prints, how it ends.

#![expect(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

mod doctor;
mod next;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use store::{Batch, Db, DbOptions, Location, Upgrade};
use testkit::http::Client;

fn ingram(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingram"));
    // An environment of its own: settings of whoever runs the tests must not decide them.
    command.env_clear().current_dir(folder).args(line.split(' '));
    command
}

fn output(folder: &Path, line: &str) -> (i32, String, String) {
    let Output { status, stdout, stderr } = ingram(folder, line).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A server in a process of its own, which ends with the test.
struct Process {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    url: String,
    start: serde_json::Value,
}

impl Process {
    fn start(folder: &Path, line: &str) -> Self {
        Self::start_with(&mut ingram(folder, line))
    }

    fn start_with(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut process = Self { child, log, url: String::new(), start: serde_json::Value::Null };
        while process.url.is_empty() {
            let mut text = String::new();
            assert_ne!(process.log.read_line(&mut text).unwrap(), 0, "the server ended before it served");
            process.start = serde_json::from_str(&text).unwrap();
            let url = process.start.get("url").and_then(serde_json::Value::as_str);
            process.url = url.unwrap_or_default().to_owned();
        }
        process
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, and returns the exit code and the rest of the log.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_program_tells_its_version_and_how_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = output(folder.path(), "--version");
    assert_eq!((code, out.as_str()), (0, concat!("ingram ", env!("CARGO_PKG_VERSION"), "\n")));
    let (code, out, _) = output(folder.path(), "--help");
    assert!(code == 0 && out.contains("serve") && out.contains("token") && out.contains("doctor"), "{out}");
    assert_eq!(output(folder.path(), "bake").0, 2);
}

#[tokio::test]
async fn a_token_is_printed_alone_and_works_on_the_server_that_runs_beside() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), "serve --listen 127.0.0.1:0");
    assert_eq!(server.start["data"], "data");
    assert_eq!(server.start["providers"], "none");
    assert!(server.start["message"].as_str().unwrap().contains("token create --admin --data data"));
    let (code, token, log) = output(folder.path(), "token create --admin --data data --ttl 1h");
    assert_eq!((code, log.as_str()), (0, ""));
    let token = token.strip_suffix('\n').unwrap();
    assert!(token.starts_with("tha_live_") && !token.contains(char::is_whitespace));
    let answer = Client::new(&server.url).with_bearer(token).get("/v1/tenant/tokens").await;
    assert_eq!(answer.status, 200);
}

#[test]
fn a_server_that_is_told_to_stop_ends_well() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Process::start(folder.path(), "serve --listen 127.0.0.1:0");
        server.signal(signal);
        let (code, log) = server.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("The server has stopped."), "{log}");
    }
}

#[test]
fn a_server_that_is_told_to_stop_twice_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = ingram(folder.path(), "serve --listen 127.0.0.1:0");
    let mut server = Process::start_with(command.env("INGRAM_SERVER_CLOSE_MS", "60000"));
    let (_, token, _) = output(folder.path(), "token create --admin");
    // A client in the middle of its request holds the server up.
    let mut client = std::net::TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST /v1/tenant/tokens HTTP/1.1\r\nhost: a\r\nic-api-version: 2026-05-01\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 9\r\nexpect: 100-continue\r\n\r\n",
        token.trim_end()
    );
    client.write_all(head.as_bytes()).unwrap();
    let mut goes_on = [0; 12];
    client.read_exact(&mut goes_on).unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100");
    server.signal("TERM");
    let mut line = String::new();
    while !line.contains("Shutting down") {
        line.clear();
        assert_ne!(server.log.read_line(&mut line).unwrap(), 0, "it ended");
    }
    server.signal("INT");
    let (code, log) = server.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("told to stop twice"), "{log}");
}

#[test]
fn a_server_that_waits_for_its_database_can_be_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections, and says nothing on them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://me@{}/name", silent.local_addr().unwrap());
    let mut command = ingram(folder.path(), &format!("serve --listen 127.0.0.1:0 --database-url {url}"));
    command.env("INGRAM_DATABASE_WAIT_MS", "60000").env("INGRAM_MASTER_KEY", "07".repeat(32));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut server = Process { child, log, url: String::new(), start: serde_json::Value::Null };
    let _connection = silent.accept().unwrap();
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("Told to stop before the server had started"), "{log}");
}

#[test]
fn a_second_server_on_the_same_folder_says_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path(), "serve --listen 127.0.0.1:0");
    let (code, _, log) = output(folder.path(), "serve --listen 127.0.0.1:0");
    assert_eq!(code, 1);
    assert!(log.contains(&format!("another server (process {})", first.child.id())), "{log}");
}

#[test]
fn a_setting_that_is_wrong_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ingram.toml"), "listen = 8080\n").unwrap();
    let (code, _, log) = output(folder.path(), "serve");
    assert_eq!(code, 1);
    assert!(log.contains("ingram.toml: `listen`: expected a text, found a number"), "{log}");
}

#[test]
fn a_setting_that_is_nothing_or_no_text_is_not_passed_over() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let empty = ingram(folder.path(), "token create --admin").args(["--data", ""]).output().unwrap();
    assert!(String::from_utf8(empty.stderr).unwrap().contains("--data: expected a path, found nothing"));
    for variable in ["INGRAM_DATA", "IC_METRICS_TOKEN", "OPENAI_BASE_URL", "TAVILY_API_KEY"] {
        let mut command = ingram(folder.path(), "token create --admin");
        let output = command.env(variable, std::ffi::OsStr::from_bytes(b"d\xff")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{variable}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(&format!("{variable}: expected a text in Unicode")), "{log}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made in another place");
}

#[test]
fn every_command_names_where_a_wrong_value_came_from() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["serve --listen 127.0.0.1:0", "token create --admin", "doctor"] {
        let told = |variable: &str, value: &str| {
            let Output { status, stdout, stderr } =
                ingram(folder.path(), line).env(variable, value).output().unwrap();
            assert_eq!(status.code(), Some(1), "{line}");
            String::from_utf8([stdout, stderr].concat()).unwrap()
        };
        let text = told("INGRAM_HTTP_MAX_REQUESTS", "0");
        assert!(
            text.contains("  INGRAM_HTTP_MAX_REQUESTS: expected a number from 1 to 1000000000\n"),
            "{line}: {text}"
        );
        let text = told("INGRAM_MASTER_KEY", "hush");
        assert!(text.contains("INGRAM_MASTER_KEY: the master key is not usable"), "{line}: {text}");
        assert!(!text.contains("hush"), "{line}: {text}");
    }
    let (code, _, log) = output(folder.path(), "token create --admin --database-url host");
    assert_eq!(code, 1);
    assert!(log.contains("--database-url: expected an address that begins with postgres://"), "{log}");
    std::fs::write(folder.path().join("ingram.toml"), "scripts = \"nowhere\"\n").unwrap();
    let (code, out, _) = output(folder.path(), "doctor");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("ingram.toml: `scripts`: nowhere cannot be read"), "{out}");
}

#[test]
fn a_host_without_an_address_ends_the_start_and_is_found_by_the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let missing = "there is no address for the host `nowhere.invalid`; check the name";
    let (code, _, log) = output(folder.path(), "serve --listen nowhere.invalid:8080");
    assert_eq!(code, 1);
    assert!(log.contains(&format!("ingram: --listen: {missing}")), "{log}");
    std::fs::write(folder.path().join("ingram.toml"), "listen = \"nowhere.invalid:8080\"\n").unwrap();
    let (code, out, _) = output(folder.path(), "doctor");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains(&format!("WRONG listen        ingram.toml: `listen`: {missing}")), "{out}");
    assert_eq!(output(folder.path(), "token create --admin").0, 0, "a token needs no address");
}

/// Opens a database as it is, to make it one of another program.
async fn open(location: Location) -> Db {
    let wait = std::time::Duration::from_secs(10);
    let options =
        DbOptions { location, connections: 2, wait, queue: 10, cache_bytes: 0, statement_timeout: wait };
    Db::open_with(&options, Upgrade::Never).await.unwrap()
}

async fn change_versions(db: &Db, to: &str) {
    let mut batch = Batch::new();
    batch.exec(format!("update schema_migrations set version = {to}"), Vec::new());
    db.commit(batch).await.unwrap();
}

#[tokio::test]
async fn only_a_server_changes_the_schema_of_a_database_that_is_there() {
    let database = testkit::postgres::database().await;
    for on_postgres in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let place = if on_postgres { format!(" --database-url {}", database.url()) } else { String::new() };
        let command = |line: &str| output(folder.path(), &format!("{line}{place}"));
        let open = async || {
            open(if on_postgres {
                Location::Postgres(database.url())
            } else {
                Location::Sqlite(folder.path().join("data/ingram.db"))
            })
            .await
        };
        assert_eq!(command("token create --admin").0, 0, "where there is none it is made");

        let db = open().await;
        change_versions(&db, "-version").await;
        let before = db.schema().await.unwrap();
        assert!(before.is_older());
        let (code, out, _) = command("doctor");
        assert_eq!(code, 0, "{out}");
        let told =
            format!("note  database      the schema is version -1, this program brings {}", before.brought);
        assert!(out.contains(&told) && out.contains("start the server to migrate"), "{out}");
        assert!(out.contains("ok    clock") && out.contains("none was given up"), "it goes on: {out}");
        let (code, out, log) = command("token create --admin");
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(log.contains("has schema version -1") && log.contains("start its server first"), "{log}");
        assert_eq!(db.schema().await.unwrap(), before, "nobody has touched it");

        change_versions(&db, "1000 + version").await;
        let (code, out, _) = command("doctor");
        assert!(code == 1 && out.contains("WRONG database") && out.contains("run a newer program"), "{out}");
        assert_eq!(command("token create --admin").0, 1);
        db.close().await;
    }
}

#[tokio::test]
async fn a_look_at_an_empty_database_leaves_it_empty() {
    let database = testkit::postgres::database().await;
    let folder = tempfile::tempdir().unwrap();
    let mut doctor = ingram(folder.path(), &format!("doctor --database-url {}", database.url()));
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let out = doctor.env("INGRAM_MASTER_KEY", key).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && text.contains("empty; the first start of the server fills it"), "{text}");
    let db = open(Location::Postgres(database.url())).await;
    assert_eq!(db.schema().await.unwrap().found, None);
}

#[test]
fn a_database_that_cannot_be_reached_is_explained_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = format!("--database-url postgres://me:hush@127.0.0.1:{port}/name");
    for command in ["serve --listen 127.0.0.1:0", "token create --admin", "doctor"] {
        let line = format!("{command} {place}");
        // The look needs a key before it comes to the database.
        let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        let Output { status, stdout, stderr } =
            ingram(folder.path(), &line).env("INGRAM_MASTER_KEY", key).output().unwrap();
        let text = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(1), "{text}");
        let told =
            format!("--database-url: the database is not available: nothing listens on 127.0.0.1:{port}");
        assert!(text.contains(&told) && text.contains("check that PostgreSQL runs there"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn a_damaged_database_is_named_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(output(folder.path(), "token create --admin").0, 0);
    let damaged = "not a database, but longer than the head of one ".repeat(10);
    std::fs::write(folder.path().join("data/ingram.db"), damaged).unwrap();
    for line in ["serve --listen 127.0.0.1:0", "token create --admin", "doctor"] {
        let (code, out, log) = output(folder.path(), line);
        assert_eq!(code, 1, "{out}{log}");
        let text = format!("{out}{log}");
        assert!(
            text.contains("data/ingram.db: the database is not available: file is not a database"),
            "{text}"
        );
        assert!(text.contains("restore it from your backup"), "{text}");
    }
}

#[tokio::test]
async fn a_lost_key_of_a_postgres_database_is_not_replaced_by_another() {
    let database = testkit::postgres::database().await;
    let folder = tempfile::tempdir().unwrap();
    let place = format!("--database-url {}", database.url());
    assert_eq!(output(folder.path(), &format!("token create --admin {place}")).0, 0);
    let key = folder.path().join("data/master.key");
    std::fs::remove_file(&key).unwrap();
    for command in ["serve --listen 127.0.0.1:0", "token create --admin", "doctor"] {
        let (code, out, log) = output(folder.path(), &format!("{command} {place}"));
        let text = format!("{out}{log}");
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("data/master.key is missing, but the database is there"), "{text}");
        assert!(!key.exists(), "{command}");
    }
}
