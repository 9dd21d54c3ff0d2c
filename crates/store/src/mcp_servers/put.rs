//! Registering a server, or replacing one.

use domain::ids::{Id as _, McpServerId};
use domain::tools::{ApprovalRule, MOST_MCP_SERVERS, Manifest, McpAuth, McpServer};

use super::manifest::written;
use super::{SECRET, URL};
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

const ROOM: &str = "mcp_servers_room";
const UNCHANGED: &str = "mcp_server_unchanged";

/// A server that is to be registered. It has no `Debug`: it holds the secret.
pub struct NewMcpServer {
    pub name: String,
    pub url: String,
    pub auth: McpAuth,
    pub secret: Option<String>,
    pub catalog_slug: Option<String>,
    pub allowlist: Option<Vec<String>>,
    pub approval_policy: Vec<ApprovalRule>,
    /// What came of listing its tools. None: nobody could ask.
    pub discovered: Option<Result<Manifest, String>>,
}

/// Why a server was not registered.
#[derive(Debug, thiserror::Error)]
pub enum PutServerError {
    #[error("the project has as many servers as it may have")]
    TooMany,
    /// Somebody else has registered or removed a server of the name: what was seen is no longer so.
    #[error("the registration has changed meanwhile")]
    Changed,
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Registers a server, in the place of the one that was `seen` under its name.
    pub async fn put_mcp_server(
        &self,
        new: NewMcpServer,
        seen: Option<&McpServer>,
    ) -> Result<McpServer, PutServerError> {
        let ids = self.store.ids();
        let now = ids.now();
        let id: McpServerId = seen.map_or_else(|| ids.mint(), |seen| seen.id);
        let seal = |place, text: &String| self.store.seal_secret(place, &id.as_bytes(), text.as_bytes());
        let discovered = new.discovered.map(written).transpose()?;
        let (manifest, discovery_error) = match discovered {
            Some(Ok(manifest)) => (Some(manifest), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let refreshed_at = manifest.as_ref().map(|_| now);
        let allowlist = new.allowlist.as_ref().map(serde_json::to_string).transpose().map_err(Error::from)?;
        let mut values = params![
            id,
            self.project,
            new.name.as_str(),
            seal(URL, &new.url),
            serde_json::to_string(&new.auth).map_err(Error::from)?,
            new.secret.as_ref().map(|secret| seal(SECRET, secret)),
            new.catalog_slug.as_deref(),
            allowlist,
            serde_json::to_string(&new.approval_policy).map_err(Error::from)?,
            manifest.as_deref(),
            refreshed_at,
            discovery_error.as_deref(),
        ];
        let mut batch = Batch::new();
        match seen {
            None => {
                values.extend(params![now, MOST_MCP_SERVERS]);
                batch
                    .exec(
                        "insert into mcp_servers (id, project_id, name, sealed_url, auth, sealed_secret, catalog_slug, allowlist, \
                         approval_policy, version, manifest, manifest_version, refreshed_at, discovery_error, created_at) \
                         select $1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, 1, $11, $12, $13 \
                         where (select count(*) from mcp_servers where project_id = $2) < $14",
                        values,
                    )
                    .must_change_one_row(ROOM);
            }
            Some(seen) => {
                values.extend(params![seen.version]);
                batch
                    .exec(
                        "update mcp_servers set sealed_url = $4, auth = $5, sealed_secret = $6, catalog_slug = $7, \
                         allowlist = $8, approval_policy = $9, version = version + 1, manifest = $10, \
                         manifest_version = manifest_version + 1, refreshed_at = $11, discovery_error = $12, \
                         last_call_error = null, last_call_error_at = null \
                         where id = $1 and project_id = $2 and name = $3 and version = $13",
                        values,
                    )
                    .must_change_one_row(UNCHANGED);
            }
        }
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => {}
            Err(error) if error.is_guard(ROOM) => return Err(PutServerError::TooMany),
            Err(error) if error.is_guard(UNCHANGED) || error.is_conflict() => {
                return Err(PutServerError::Changed);
            }
            Err(error) => return Err(error.into()),
        }
        let stored = self.mcp_server(&new.name).await?;
        // Removed again in this moment: the same as if it had changed.
        stored.map(|(server, _)| server).ok_or(PutServerError::Changed)
    }
}
