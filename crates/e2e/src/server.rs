//! Servers, and the smiths that tests talk to.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::http::Client;
use testkit::postgres::Database;
use testkit::proxy::Proxy;
use testkit::upstream::Upstream;

use crate::process::{Process, output};
use crate::template;

/// Which database a server is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// What a server is started with.
pub struct Setup {
    engine: Engine,
    listen: &'static str,
    environment: Vec<(String, String)>,
    configuration: Option<String>,
    scripts: Vec<(String, String)>,
    behind_proxy: bool,
}

impl Setup {
    pub fn on(engine: Engine) -> Self {
        let (environment, scripts) = (Vec::new(), Vec::new());
        Self { engine, listen: "127.0.0.1:0", environment, configuration: None, scripts, behind_proxy: false }
    }

    /// Puts a proxy between the server and its PostgreSQL.
    #[must_use]
    pub fn behind_proxy(mut self) -> Self {
        self.behind_proxy = true;
        self
    }

    /// Lets the server listen on all interfaces, as one does that others can reach.
    #[must_use]
    pub fn open_to_others(mut self) -> Self {
        self.listen = "0.0.0.0:0";
        self
    }

    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the server an `ingram.toml`.
    #[must_use]
    pub fn with_configuration(mut self, text: &str) -> Self {
        self.configuration = Some(text.to_owned());
        self
    }

    /// Gives the server a script, `scripted/<name>`.
    #[must_use]
    pub fn with_script(mut self, name: &str, text: &str) -> Self {
        self.scripts.push((name.to_owned(), text.to_owned()));
        self
    }

    pub async fn start(self) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("the folder can be written");
        private(&data);
        let mut environment = self.environment;
        let mut proxy = None;
        let (database, admin) = match self.engine {
            Engine::Sqlite => (None, template::sqlite(&data).await),
            Engine::Postgres => {
                let (database, admin) = template::postgres().await;
                environment.push(("INGRAM_MASTER_KEY".to_owned(), template::MASTER_KEY.to_owned()));
                let mut url = database.url();
                if self.behind_proxy {
                    let between = Proxy::start(&url).await;
                    url = between.url(&url);
                    proxy = Some(between);
                }
                environment.push(("INGRAM_DATABASE_URL".to_owned(), url));
                (Some(database), admin)
            }
        };
        if !self.scripts.is_empty() {
            let scripts = folder.path().join("scripts");
            std::fs::create_dir(&scripts).expect("the folder can be written");
            for (name, text) in self.scripts {
                std::fs::write(scripts.join(format!("{name}.toml")), text)
                    .expect("the folder can be written");
            }
            environment.push(("INGRAM_SCRIPTS".to_owned(), scripts.display().to_string()));
        }
        let mut arguments: Vec<String> =
            ["serve", "--listen", self.listen, "--data"].map(str::to_owned).to_vec();
        arguments.push(data.display().to_string());
        if let Some(configuration) = self.configuration {
            let file = folder.path().join("ingram.toml");
            std::fs::write(&file, configuration).expect("the folder can be written");
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        let process = start(&arguments, &environment).await;
        Server { process, arguments, environment, admin, database, proxy, folder }
    }
}

async fn start(arguments: &[String], environment: &[(String, String)]) -> Process {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(&arguments, environment).await
}

fn private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).expect("the folder is ours");
}

/// A running server with a tenant-admin token for its project.
pub struct Server {
    process: Process,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    admin: String,
    database: Option<Database>,
    proxy: Option<Proxy>,
    folder: TempDir,
}

/// Runs a test body against a fresh server on each database.
pub async fn both(body: impl AsyncFn(Server)) {
    body(Setup::on(Engine::Sqlite).start().await).await;
    body(Setup::on(Engine::Postgres).start().await).await;
}

impl Server {
    /// Returns a client with the tenant-admin token.
    pub fn admin(&self) -> Client {
        self.anonymous().with_bearer(&self.admin)
    }

    pub fn anonymous(&self) -> Client {
        Client::new(&self.process.base_url)
    }

    pub fn base_url(&self) -> &str {
        &self.process.base_url
    }

    pub fn admin_token(&self) -> &str {
        &self.admin
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// Returns the proxy in front of the database.
    ///
    /// # Panics
    /// When the server was set up without one.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("the server was set up behind a proxy")
    }

    /// Changes rows behind the server's back, as a damaged disk would.
    pub async fn alter(&self, sql: &str) {
        match &self.database {
            Some(database) => database.client().await.batch_execute(sql).await.expect("the statement works"),
            None => {
                let file = self.data().join("ingram.db");
                let connection = rusqlite::Connection::open(file).expect("the database is there");
                connection.busy_timeout(std::time::Duration::from_secs(5)).expect("the time-out can be set");
                connection.execute_batch(sql).expect("the statement works");
            }
        }
    }

    /// Takes the server away without a warning.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts the server again on the same data, at another port.
    pub async fn start_again(&mut self) {
        self.process = start(&self.arguments, &self.environment).await;
    }

    /// Leaves a variable out of the environment from the next start on.
    pub fn forget_variable(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Starts a second server on the same database.
    pub async fn replica(&self) -> Replica {
        self.replica_with(&self.environment).await
    }

    /// Starts a second server that reaches the same database through a proxy of its own.
    pub async fn replica_behind(&self, proxy: &Proxy) -> Replica {
        let mut environment = self.environment.clone();
        for (name, value) in &mut environment {
            if name == "INGRAM_DATABASE_URL" {
                *value = proxy.url(value);
            }
        }
        self.replica_with(&environment).await
    }

    async fn replica_with(&self, environment: &[(String, String)]) -> Replica {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("the folder can be written");
        private(&data);
        let mut arguments = self.arguments.clone();
        if let Some(place) = arguments.iter().position(|argument| argument == "--data") {
            arguments[place + 1] = data.display().to_string();
        }
        let process = start(&arguments, environment).await;
        Replica { process, admin: self.admin.clone(), _folder: folder }
    }

    /// Asks the server to stop, as a service manager does.
    pub fn terminate(&self) {
        self.process.signal("-TERM");
    }

    pub fn pause(&self) {
        self.process.signal("-STOP");
    }

    pub fn wake(&self) {
        self.process.signal("-CONT");
    }

    /// Waits for the process to end, and returns whether it ended well.
    pub async fn ended(&mut self) -> bool {
        self.process.ended().await
    }

    /// Runs a command of the program on this server's data.
    pub async fn command(&self, arguments: &[&str]) -> std::process::Output {
        let data = self.data().display().to_string();
        let mut all = arguments.to_vec();
        if self.database.is_none() {
            all.extend(["--data", &data]);
        }
        output(&all, &self.environment).await
    }

    /// Makes a smith with this configuration.
    pub async fn smith(&self, body: Value) -> Smith {
        let made = self.admin().post("/v1/smiths", &body).await.expect(201);
        let text = |field: &str| made[field].as_str().expect("a smith has ids").to_owned();
        Smith { id: text("id"), agent: text("agent_id"), client: self.admin() }
    }

    /// Makes a smith that is answered by a fake provider.
    pub async fn smith_on(&self, upstream: &Upstream) -> Smith {
        let key = json!({ "api_key": "sk-test-canary", "base_url": upstream.openai_url() });
        self.admin().put("/v1/tenant/model_keys/openai_compatible", &key).await.expect(200);
        self.smith(json!({ "model": "openai_compatible/mock" })).await
    }

    /// Mints a smith token and returns a client with it.
    pub async fn smith_client(&self, smith: &Smith, permissions: &[&str]) -> Client {
        let body = json!({ "smith_id": smith.id, "permissions": permissions });
        let minted = self.admin().post("/v1/tenant/tokens", &body).await.expect(201);
        self.anonymous().with_bearer(minted["token"].as_str().expect("a token is text"))
    }
}

/// Another server on the same database.
pub struct Replica {
    process: Process,
    admin: String,
    _folder: TempDir,
}

impl Replica {
    pub fn admin(&self) -> Client {
        Client::new(&self.process.base_url).with_bearer(&self.admin)
    }

    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    pub fn pause(&self) {
        self.process.signal("-STOP");
    }

    pub fn wake(&self) {
        self.process.signal("-CONT");
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// A smith that a test talks to as the tenant.
pub struct Smith {
    pub id: String,
    pub agent: String,
    client: Client,
}

impl Smith {
    /// Returns the path of something of this smith.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/smiths/{}{rest}", self.id)
    }

    /// Returns the body of a run that says this.
    pub fn says(text: &str) -> Value {
        json!({ "input": [{ "role": "user", "content": text }] })
    }

    /// Runs to the end and returns the record.
    pub async fn run(&self, body: &Value) -> Value {
        self.client.post(&self.path("/runs"), body).await.expect(200)
    }
}
