//! Fresh PostgreSQL databases for tests.
//!
//! The first process that asks starts a private cluster; all test processes of this checkout share it, and a watchdog
//! removes it once nobody has used it for a while. `INGRAM_TEST_POSTGRES_URL` names a server to use instead: its user
//! must be allowed to create databases.

mod binaries;
mod cluster;
mod watchdog;

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
pub use tokio_postgres::Client;
use tokio_postgres::{Config, NoTls};

/// Names the environment variable that points the tests at an existing server.
pub const SERVER_VARIABLE: &str = "INGRAM_TEST_POSTGRES_URL";

/// A database of one test; dropped with the value.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Returns the connection URL, `postgres://...`.
    pub fn url(&self) -> String {
        url_of(&self.server, &self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a connection of its own, for looking at what the code under test has stored.
    ///
    /// # Panics
    /// When the server refuses the connection.
    pub async fn client(&self) -> Client {
        connect(&self.url())
            .await
            .unwrap_or_else(|problem| panic!("no connection to {}: {problem:#}", self.name))
    }

    /// Cuts every connection to the database, as a restart of the server would.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn cut_connections(&self) {
        let cut = async {
            let admin = connect(&self.server).await?;
            disconnect_all(&admin, &self.name).await
        };
        cut.await.unwrap_or_else(|problem| panic!("connections of {} stay open: {problem:#}", self.name));
    }
}

impl Drop for Database {
    /// Drops the database. A failure is ignored: the whole cluster is removed soon, or its owner sees the leftover.
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let admin = connect(&server).await.ok()?;
                admin.batch_execute(&format!("drop database if exists \"{name}\" with (force)")).await.ok()
            })
        });
        drop(dropping.join());
    }
}

/// Creates an empty database.
///
/// # Panics
/// When no server can be started or reached; the message says what to install.
pub async fn database() -> Database {
    create(None).await.unwrap_or_else(|problem| panic!("no test database: {problem:#}"))
}

/// Creates a database as a copy of a template that [`ensure_template`] has made.
///
/// # Panics
/// When the template does not exist, or no server can be started or reached.
pub async fn database_from(template: &str) -> Database {
    create(Some(template))
        .await
        .unwrap_or_else(|problem| panic!("no test database from {template}: {problem:#}"))
}

/// Makes the named template unless it exists: `fill` gets the URL of an empty database and puts tables and rows into it.
///
/// Safe across processes: one fills, the others wait. A fill that fails leaves no template behind. The name must change
/// with the content (a hash of the migrations, say), because a cluster may outlive a change of the code.
///
/// # Panics
/// When `fill` fails, or no server can be started or reached.
pub async fn ensure_template<F, Filling>(name: &str, fill: F)
where
    F: FnOnce(String) -> Filling,
    Filling: Future<Output = Result<()>>,
{
    make_template(name, fill)
        .await
        .unwrap_or_else(|problem| panic!("template {name} is not ready: {problem:#}"));
}

async fn create(template: Option<&str>) -> Result<Database> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let server = server().await?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}_{}", std::process::id(), cluster::random_text(4)?);
    let source =
        template.map(|template| format!(" template \"{}\"", template_name(template))).unwrap_or_default();
    let admin = connect(&server).await?;
    admin.batch_execute(&format!("create database \"{name}\"{source}")).await.context("create database")?;
    Ok(Database { server, name })
}

async fn make_template<F, Filling>(name: &str, fill: F) -> Result<()>
where
    F: FnOnce(String) -> Filling,
    Filling: Future<Output = Result<()>>,
{
    let server = server().await?;
    let finished = template_name(name);
    let unfinished = format!("{finished}_unfinished");
    let admin = connect(&server).await?;
    // The lock ends with the connection, also when this process is killed while it fills.
    admin.execute("select pg_advisory_lock(hashtext($1))", &[&finished]).await?;
    let known = admin.query("select 1 from pg_database where datname = $1", &[&finished]).await?;
    if !known.is_empty() {
        return Ok(());
    }
    admin.batch_execute(&format!("drop database if exists \"{unfinished}\" with (force)")).await?;
    admin.batch_execute(&format!("create database \"{unfinished}\"")).await?;
    fill(url_of(&server, &unfinished)).await.context("fill the template")?;
    disconnect_all(&admin, &unfinished).await?;
    admin.batch_execute(&format!("alter database \"{unfinished}\" rename to \"{finished}\"")).await?;
    Ok(())
}

async fn disconnect_all(admin: &Client, database: &str) -> Result<()> {
    let statement = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    admin.execute(statement, &[&database]).await.context("cut connections")?;
    Ok(())
}

async fn server() -> Result<String> {
    match std::env::var(SERVER_VARIABLE) {
        Ok(url) if !url.is_empty() => return Ok(url),
        _ => {}
    }
    tokio::task::spawn_blocking(cluster::url).await.context("start of the cluster")?
}

async fn connect(url: &str) -> Result<Client> {
    let config: Config = url.parse().context("URL of the server")?;
    let (client, connection) = config.connect(NoTls).await.context("connect to PostgreSQL")?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with the client that this function returns"
    )]
    tokio::spawn(connection);
    Ok(client)
}

fn template_name(name: &str) -> String {
    format!("template_{name}")
}

/// Puts another database into a server's URL; what follows `?` stays.
fn url_of(server: &str, database: &str) -> String {
    let (address, options) = match server.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (server, String::new()),
    };
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    format!("{}/{database}{options}", &address[..end])
}

#[cfg(test)]
mod tests;
