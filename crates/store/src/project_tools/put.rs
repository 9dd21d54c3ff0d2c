//! Registering a tool, or replacing one.

use domain::ids::{Id as _, ProjectToolId};
use domain::tools::{Annotations, Execution, MOST_PROJECT_TOOLS, OnReject, ProjectTool};
use serde_json::Value;

use super::{SECRET, ToolRecord, URL};
use crate::db::params;
use crate::{Batch, DbError, Error, ProjectStore};

const ROOM: &str = "project_tools_room";
const UNCHANGED: &str = "project_tool_unchanged";
/// How often a registration is tried again that another one got in the way of.
const RACES: usize = 16;

/// A tool that is to be registered.
#[derive(Clone, Debug, PartialEq)]
pub struct NewProjectTool {
    pub name: String,
    pub description: String,
    pub input_schema: Value,
    pub execution: Execution,
    /// Where it is called; of a webhook tool only.
    pub url: Option<String>,
    pub always_asks: bool,
    pub on_reject: OnReject,
    pub annotations: Annotations,
    pub timeout_seconds: u32,
}

/// A tool as it was registered.
#[derive(Debug)]
pub struct RegisteredTool {
    pub record: ToolRecord,
    /// Whether the secret that was offered became the tool's own.
    pub takes_secret: bool,
}

/// Why a tool was not registered.
#[derive(Debug, thiserror::Error)]
pub enum PutToolError {
    #[error("the project has as many tools as it may have")]
    TooMany,
    #[error(transparent)]
    Store(#[from] Error),
}

impl ProjectStore {
    /// Registers a tool, in the place of one of the same name.
    ///
    /// A webhook tool takes `secret` to sign its calls with, unless the one before it has a secret: then that one stays.
    pub async fn put_project_tool(
        &self,
        new: &NewProjectTool,
        secret: &str,
    ) -> Result<RegisteredTool, PutToolError> {
        for _ in 0..RACES {
            let before = self.stored_tool(&new.name).await?;
            let ids = self.store.ids();
            let now = ids.now();
            let id: ProjectToolId = before.as_ref().map_or_else(|| ids.mint(), |before| before.record.id);
            let created_at = before.as_ref().map_or(now, |before| before.record.tool.created_at);
            let kept = before.as_ref().and_then(|before| before.sealed_secret.clone());
            let takes_secret = new.execution == Execution::Webhook && kept.is_none();
            let sealed_secret = match new.execution {
                Execution::External => None,
                Execution::Webhook => Some(
                    kept.unwrap_or_else(|| self.store.seal_secret(SECRET, &id.as_bytes(), secret.as_bytes())),
                ),
            };
            let sealed_url =
                new.url.as_ref().map(|url| self.store.seal_secret(URL, &id.as_bytes(), url.as_bytes()));
            let mut values = params![
                id,
                self.project,
                new.name.as_str(),
                new.description.as_str(),
                serde_json::to_string(&new.input_schema).map_err(Error::from)?,
                new.execution.as_str(),
                sealed_url,
                sealed_secret,
                new.always_asks,
                new.on_reject.as_str(),
                serde_json::to_string(&new.annotations).map_err(Error::from)?,
                new.timeout_seconds,
                now,
            ];
            let mut batch = Batch::new();
            match &before {
                None => {
                    values.extend(params![MOST_PROJECT_TOOLS]);
                    batch
                        .exec(
                            "insert into project_tools (id, project_id, name, description, input_schema, execution, sealed_url, \
                             sealed_secret, always_asks, on_reject, annotations, timeout_seconds, version, created_at, updated_at) \
                             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $13 \
                             where (select count(*) from project_tools where project_id = $2) < $14",
                            values,
                        )
                        .must_change_one_row(ROOM);
                }
                Some(before) => {
                    values.extend(params![before.version]);
                    batch
                        .exec(
                            "update project_tools set description = $4, input_schema = $5, execution = $6, sealed_url = $7, \
                             sealed_secret = $8, always_asks = $9, on_reject = $10, annotations = $11, timeout_seconds = $12, \
                             version = version + 1, last_call_error = null, last_call_error_at = null, updated_at = $13 \
                             where id = $1 and project_id = $2 and name = $3 and version = $14",
                            values,
                        )
                        .must_change_one_row(UNCHANGED);
                }
            }
            let tool = ProjectTool {
                name: new.name.clone(),
                description: new.description.clone(),
                input_schema: new.input_schema.clone(),
                execution: new.execution,
                url: new.url.clone(),
                always_asks: new.always_asks,
                on_reject: new.on_reject,
                annotations: new.annotations,
                timeout_seconds: new.timeout_seconds,
                last_call_error: None,
                created_at,
                updated_at: now,
            };
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(RegisteredTool { record: ToolRecord { id, tool }, takes_secret }),
                Err(error) if error.is_guard(ROOM) => return Err(PutToolError::TooMany),
                // Somebody else has registered or removed a tool of this name meanwhile.
                Err(error) if error.is_guard(UNCHANGED) || error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let busy = DbError::Unavailable("a tool is registered again and again".to_owned());
        Err(Error::from(busy).into())
    }
}
