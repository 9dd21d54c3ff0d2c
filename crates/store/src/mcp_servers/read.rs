//! Reading servers.

use domain::ids::{Id as _, McpServerId};
use domain::tools::{McpServer, is_name};

use super::{SECRET, URL};
use crate::db::{Row, Value, params};
use crate::filter::Filter;
use crate::project_tools::call_error;
use crate::{Error, ProjectStore};

const COLUMNS: &str = "id, name, sealed_url, auth, sealed_secret, catalog_slug, allowlist, approval_policy, version, manifest, \
     manifest_version, refreshed_at, discovery_error, last_call_error, last_call_error_at, created_at";

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
        let sql =
            format!("select {COLUMNS} from mcp_servers where {conditions} order by id desc limit {limit}");
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(|row| self.read_server(row)).collect()
    }

    /// Finds a server by its name, with the secret that it is called with if it has one.
    pub async fn mcp_server(&self, name: &str) -> Result<Option<(McpServer, Option<String>)>, Error> {
        Ok(self.mcp_servers_for(Some(&[name.to_owned()])).await?.pop())
    }

    /// Reads the servers of these names, or all, oldest first, each with the secret that it is called with if it has one.
    pub async fn mcp_servers_for(
        &self,
        names: Option<&[String]>,
    ) -> Result<Vec<(McpServer, Option<String>)>, Error> {
        let mut values = params![self.project];
        let mut places = Vec::new();
        // What cannot be a name is nobody's, and a database may not even take it.
        for name in names.unwrap_or_default().iter().filter(|name| is_name(name)) {
            values.push(Value::from(name));
            places.push(format!("${}", values.len()));
        }
        if names.is_some() && places.is_empty() {
            return Ok(Vec::new());
        }
        let named = names.map_or(String::new(), |_| format!(" and name in ({})", places.join(", ")));
        let sql = format!("select {COLUMNS} from mcp_servers where project_id = $1{named} order by id");
        let rows = self.store.db().read(&sql, values).await?;
        let read = |row: &Row| {
            let server = self.read_server(row)?;
            let sealed: Option<Vec<u8>> = row.get(4)?;
            let open = |sealed: Vec<u8>| self.store.open_text(SECRET, &server.id.as_bytes(), &sealed);
            let secret = sealed.map(open).transpose()?;
            Ok((server, secret))
        };
        rows.iter().map(read).collect()
    }

    fn read_server(&self, row: &Row) -> Result<McpServer, Error> {
        let id: McpServerId = row.get(0)?;
        let sealed_url: Vec<u8> = row.get(2)?;
        let (auth, approval_policy): (String, String) = (row.get(3)?, row.get(7)?);
        let (allowlist, manifest): (Option<String>, Option<String>) = (row.get(6)?, row.get(9)?);
        Ok(McpServer {
            id,
            name: row.get(1)?,
            url: self.store.open_text(URL, &id.as_bytes(), &sealed_url)?,
            auth: serde_json::from_str(&auth)?,
            catalog_slug: row.get(5)?,
            allowlist: allowlist.as_deref().map(serde_json::from_str).transpose()?,
            approval_policy: serde_json::from_str(&approval_policy)?,
            manifest: manifest.as_deref().map(serde_json::from_str).transpose()?,
            manifest_version: row.get(10)?,
            refreshed_at: row.get(11)?,
            discovery_error: row.get(12)?,
            last_call_error: call_error(row, 13)?,
            version: row.get(8)?,
            created_at: row.get(15)?,
        })
    }
}
