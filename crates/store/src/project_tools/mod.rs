//! Tools of a project's own: registered by name, read by name for a run.

mod put;
mod read;
#[cfg(test)]
mod tests;

use domain::ids::ProjectToolId;
use domain::tools::{CallError, ProjectTool, is_name, tidy_error};

use crate::codec::Place;
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

pub use put::{NewProjectTool, PutToolError, RegisteredTool};
pub(crate) use read::call_error;

const URL: Place = Place::new("project_tools", "sealed_url");
const SECRET: Place = Place::new("project_tools", "sealed_secret");
const THERE: &str = "project_tool";

/// A tool with its place in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolRecord {
    pub id: ProjectToolId,
    pub tool: ProjectTool,
}

impl ProjectStore {
    /// Removes a tool. Returns false when there was none of that name.
    pub async fn delete_project_tool(&self, name: &str) -> Result<bool, Error> {
        // What cannot be a name is nobody's, and a database may not even take it.
        if !is_name(name) {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch
            .exec(
                "delete from project_tools where project_id = $1 and name = $2",
                params![self.project, name],
            )
            .must_change_one_row(THERE);
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(THERE) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps what went wrong in a call, unless a later call went wrong too. A tool that is gone by now keeps nothing.
    pub async fn note_project_tool_error(&self, name: &str, error: &CallError) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.exec(
            "update project_tools set last_call_error = $1, last_call_error_at = $2 where project_id = $3 and name = $4 \
             and (last_call_error_at is null or last_call_error_at <= $2)",
            params![tidy_error(&error.message), error.at, self.project, name],
        );
        self.store.db().commit(batch).await?;
        Ok(())
    }
}
