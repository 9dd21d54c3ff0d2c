//! Reading servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Timestamp;
use domain::ids::{Id as _, McpServerId};
use domain::tools::{Manifest, McpServer, is_name};

use super::{SECRET, URL};
use crate::codec::read_json;
use crate::db::{Row, Value, params};
use crate::filter::Filter;
use crate::project_tools::call_error;
use crate::{Error, ProjectStore, Readable};

/// All of a server but its manifest, which may be large.
const COLUMNS: &str = "id, name, sealed_url, auth, sealed_secret, catalog_slug, allowlist, approval_policy, version, \
     manifest_version, refreshed_at, discovery_error, last_call_error, last_call_error_at, created_at";
/// Where the manifest stands behind them.
const MANIFEST: usize = 15;

/// A server with the secret that it is called with, if it has one.
type WithSecret = (McpServer, Option<String>);
/// What came of reading each server, with its name.
type Read = BTreeMap<McpServerId, (String, Result<WithSecret, Error>)>;

impl ProjectStore {
    /// Lists servers, newest first, those before `before` if given. Returns up to `limit` of them.
    pub async fn mcp_servers(
        &self,
        before: Option<McpServerId>,
        limit: usize,
    ) -> Result<Vec<McpServer>, Error> {
        let mut filter = Filter::new("project_id = ?", self.project);
        if let Some(before) = before {
            filter.add_value("id < ?", before);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let sql = format!(
            "select {COLUMNS}, manifest from mcp_servers where {conditions} order by id desc limit {limit}"
        );
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(|row| self.read_server(row, parsed(row)?.map(|(manifest, _)| manifest))).collect()
    }

    /// Finds a server by its name, with the secret that it is called with if it has one.
    pub async fn mcp_server(&self, name: &str) -> Result<Option<WithSecret>, Error> {
        let mut read = self.read_servers(Some(&[name.to_owned()])).await?;
        read.pop_first().map(|(_, (_, server))| server).transpose()
    }

    /// Reads the servers of these names, or all, oldest first, each with the secret that it is called with if it has one.
    ///
    /// A manifest is read and parsed once, and again when its version has changed. A server whose row is damaged is left out: the
    /// runs of a project go on without it.
    pub async fn mcp_servers_for(&self, names: Option<&[String]>) -> Result<Readable<WithSecret>, Error> {
        let mut readable = Readable::default();
        for (id, (name, server)) in self.read_servers(names).await? {
            match server {
                Ok(server) => readable.found.push(server),
                Err(error) if error.is_damage() => {
                    tracing::warn!(mcp_server.id = %id, error = %error, "What is stored of an MCP server cannot be read.");
                    readable.damaged.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(readable)
    }

    async fn read_servers(&self, names: Option<&[String]>) -> Result<Read, Error> {
        let mut values = params![self.project];
        let mut places = Vec::new();
        // What cannot be a name is nobody's, and a database may not even take it.
        for name in names.unwrap_or_default().iter().filter(|name| is_name(name)) {
            values.push(Value::from(name));
            places.push(format!("${}", values.len()));
        }
        if names.is_some() && places.is_empty() {
            return Ok(Read::new());
        }
        let named = names.map_or(String::new(), |_| format!(" and name in ({})", places.join(", ")));
        let sql = format!("select {COLUMNS} from mcp_servers where project_id = $1{named}");
        let mut found = Read::new();
        let mut missing = Vec::new();
        for row in self.store.db().recall(&sql, values).await?.iter() {
            let (id, version): (McpServerId, u64) = (row.get(0)?, row.get(9)?);
            let refreshed_at: Option<Timestamp> = row.get(10)?;
            let manifest = self.store.inner.manifests.get(id, version);
            // A server whose tools were never listed has no manifest to read.
            if manifest.is_none() && refreshed_at.is_some() {
                missing.push(id);
                continue;
            }
            found.insert(id, (row.get(1)?, self.read_with_secret(row, manifest)));
        }
        self.read_whole(&missing, &mut found).await?;
        Ok(found)
    }

    /// Reads servers with their manifests, and keeps these at hand. A server that is gone by now is left out.
    ///
    /// The rest of a server is read again with its manifest: the two belong together, and either may just have been replaced.
    async fn read_whole(&self, servers: &[McpServerId], found: &mut Read) -> Result<(), Error> {
        if servers.is_empty() {
            return Ok(());
        }
        let mut values = params![self.project];
        let mut places = Vec::with_capacity(servers.len());
        for id in servers {
            values.push(Value::from(*id));
            places.push(format!("${}", values.len()));
        }
        let places = places.join(", ");
        let sql =
            format!("select {COLUMNS}, manifest from mcp_servers where project_id = $1 and id in ({places})");
        for row in &self.store.db().read(&sql, values).await? {
            let (id, version): (McpServerId, u64) = (row.get(0)?, row.get(9)?);
            let server = parsed(row).and_then(|parsed| {
                let manifest = parsed.map(|(manifest, bytes)| {
                    self.store.inner.manifests.keep(id, version, bytes, Arc::clone(&manifest));
                    manifest
                });
                self.read_with_secret(row, manifest)
            });
            found.insert(id, (row.get(1)?, server));
        }
        Ok(())
    }

    fn read_with_secret(&self, row: &Row, manifest: Option<Arc<Manifest>>) -> Result<WithSecret, Error> {
        let server = self.read_server(row, manifest)?;
        let sealed: Option<Vec<u8>> = row.get(4)?;
        let open = |sealed: Vec<u8>| self.store.open_text(SECRET, &server.id.as_bytes(), &sealed);
        let secret = sealed.map(open).transpose()?;
        Ok((server, secret))
    }

    fn read_server(&self, row: &Row, manifest: Option<Arc<Manifest>>) -> Result<McpServer, Error> {
        let id: McpServerId = row.get(0)?;
        let sealed_url: Vec<u8> = row.get(2)?;
        let (auth, approval_policy): (String, String) = (row.get(3)?, row.get(7)?);
        let allowlist: Option<String> = row.get(6)?;
        Ok(McpServer {
            id,
            name: row.get(1)?,
            url: self.store.open_text(URL, &id.as_bytes(), &sealed_url)?,
            auth: read_json(&auth)?,
            catalog_slug: row.get(5)?,
            allowlist: allowlist.as_deref().map(read_json).transpose()?,
            approval_policy: read_json(&approval_policy)?,
            manifest,
            manifest_version: row.get(9)?,
            refreshed_at: row.get(10)?,
            discovery_error: row.get(11)?,
            last_call_error: call_error(row, 12)?,
            version: row.get(8)?,
            created_at: row.get(14)?,
        })
    }
}

/// Reads the manifest of a whole row, with its bytes as JSON.
fn parsed(row: &Row) -> Result<Option<(Arc<Manifest>, usize)>, Error> {
    let text: Option<String> = row.get(MANIFEST)?;
    let Some(text) = text else { return Ok(None) };
    Ok(Some((Arc::new(read_json(&text)?), text.len())))
}
