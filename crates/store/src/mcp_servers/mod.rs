//! MCP servers of a project: registered by name, each with the list of tools that it gave last.

mod kept;
mod manifest;
mod put;
mod read;
#[cfg(test)]
mod tests;

use domain::tools::{CallError, is_name, tidy_error};

use crate::codec::Place;
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

pub(crate) use kept::Manifests;
pub use put::{NewMcpServer, PutServerError};

const URL: Place = Place::new("mcp_servers", "sealed_url");
const SECRET: Place = Place::new("mcp_servers", "sealed_secret");
const THERE: &str = "mcp_server";

impl ProjectStore {
    /// Removes a server. Returns false when there was none of that name.
    pub async fn delete_mcp_server(&self, name: &str) -> Result<bool, Error> {
        // What cannot be a name is nobody's, and a database may not even take it.
        if !is_name(name) {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch
            .exec("delete from mcp_servers where project_id = $1 and name = $2", params![self.project, name])
            .must_change_one_row(THERE);
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(THERE) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps what went wrong in a call, unless a later call went wrong too. A server that is gone by now keeps nothing.
    pub async fn note_mcp_error(&self, name: &str, error: &CallError) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.exec(
            "update mcp_servers set last_call_error = $1, last_call_error_at = $2 where project_id = $3 and name = $4 \
             and (last_call_error_at is null or last_call_error_at <= $2)",
            params![tidy_error(&error.message), error.at, self.project, name],
        );
        self.store.db().commit(batch).await?;
        Ok(())
    }
}
