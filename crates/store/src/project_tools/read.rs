//! Reading tools.

use std::collections::HashMap;
use std::sync::Arc;

use domain::Timestamp;
use domain::ids::{Id as _, ProjectToolId};
use domain::tools::{CallError, Execution, OnReject, ProjectTool, is_name};

use super::{SECRET, ToolRecord, URL};
use crate::codec::read_json;
use crate::db::{Row, Value, params};
use crate::filter::Filter;
use crate::{DbError, Error, ProjectStore, Readable};

const COLUMNS: &str = "id, name, description, input_schema, execution, sealed_url, sealed_secret, always_asks, on_reject, \
     annotations, timeout_seconds, version, last_call_error, last_call_error_at, created_at, updated_at";

/// A tool with what only the store has to do with.
pub(super) struct Stored {
    pub(super) record: ToolRecord,
    pub(super) sealed_secret: Option<Vec<u8>>,
    pub(super) version: u64,
}

impl ProjectStore {
    /// Lists tools, newest first, those before `before` if given. Returns up to `limit` of them.
    pub async fn project_tools(
        &self,
        before: Option<ProjectToolId>,
        limit: usize,
    ) -> Result<Vec<ToolRecord>, Error> {
        let mut filter = Filter::new("project_id = ?", self.project);
        if let Some(before) = before {
            filter.add_value("id < ?", before);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let sql =
            format!("select {COLUMNS} from project_tools where {conditions} order by id desc limit {limit}");
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(|row| Ok(self.read_tool(row)?.record)).collect()
    }

    /// Finds a tool by its name.
    pub async fn project_tool(&self, name: &str) -> Result<Option<ProjectTool>, Error> {
        Ok(self.stored_tool(name).await?.map(|stored| stored.record.tool))
    }

    /// Finds tools by their names, each with the secret that signs its calls if it has one. A name that nothing has is left
    /// out, and one that comes twice is found once. A tool whose row is damaged is left out, too: runs go on without it.
    pub async fn project_tools_named(
        &self,
        names: &[String],
    ) -> Result<Readable<(ToolRecord, Option<String>)>, Error> {
        let found = self.tool_rows(names).await?;
        let mut rows = HashMap::new();
        for row in found.iter() {
            rows.insert(row.get::<String>(1)?, row);
        }
        let mut readable = Readable::default();
        // In the order in which they were asked for.
        for (name, row) in names.iter().filter_map(|name| rows.remove_entry(name)) {
            match self.read_signed(row) {
                Ok(tool) => readable.found.push(tool),
                Err(error) if error.is_damage() => {
                    let id: ProjectToolId = row.get(0)?;
                    tracing::warn!(tool.id = %id, error = %error, "What is stored of a tool of a project cannot be read.");
                    readable.damaged.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(readable)
    }

    fn read_signed(&self, row: &Row) -> Result<(ToolRecord, Option<String>), Error> {
        let stored = self.read_tool(row)?;
        let secret = self.open_text(SECRET, stored.record.id, stored.sealed_secret.as_deref())?;
        Ok((stored.record, secret))
    }

    pub(super) async fn stored_tool(&self, name: &str) -> Result<Option<Stored>, Error> {
        let rows = self.tool_rows(std::slice::from_ref(&name)).await?;
        rows.first().map(|row| self.read_tool(row)).transpose()
    }

    async fn tool_rows<N: AsRef<str>>(&self, names: &[N]) -> Result<Arc<[Row]>, Error> {
        let mut values = params![self.project];
        let mut places = Vec::with_capacity(names.len());
        // What cannot be a name is nobody's, and a database may not even take it.
        for name in names.iter().map(AsRef::as_ref).filter(|name| is_name(name)) {
            values.push(Value::from(name));
            places.push(format!("${}", values.len()));
        }
        if places.is_empty() {
            return Ok(Arc::new([]));
        }
        let places = places.join(", ");
        let sql = format!("select {COLUMNS} from project_tools where project_id = $1 and name in ({places})");
        Ok(self.store.db().recall(&sql, values).await?)
    }

    fn read_tool(&self, row: &Row) -> Result<Stored, Error> {
        let id: ProjectToolId = row.get(0)?;
        let (schema, annotations): (String, String) = (row.get(3)?, row.get(9)?);
        let (execution, on_reject): (String, String) = (row.get(4)?, row.get(8)?);
        let sealed_url: Option<Vec<u8>> = row.get(5)?;
        let tool = ProjectTool {
            name: row.get(1)?,
            description: row.get(2)?,
            input_schema: read_json(&schema)?,
            execution: Execution::parse(&execution)
                .ok_or(DbError::Corrupt("a tool is executed by nobody"))?,
            url: self.open_text(URL, id, sealed_url.as_deref())?,
            always_asks: row.get(7)?,
            on_reject: OnReject::parse(&on_reject)
                .ok_or(DbError::Corrupt("a rejection of a tool means nothing"))?,
            annotations: read_json(&annotations)?,
            timeout_seconds: row.get(10)?,
            last_call_error: call_error(row, 12)?,
            created_at: row.get(14)?,
            updated_at: row.get(15)?,
        };
        Ok(Stored { record: ToolRecord { id, tool }, sealed_secret: row.get(6)?, version: row.get(11)? })
    }

    fn open_text(
        &self,
        place: crate::codec::Place,
        id: ProjectToolId,
        sealed: Option<&[u8]>,
    ) -> Result<Option<String>, Error> {
        let Some(sealed) = sealed else { return Ok(None) };
        self.store.open_text(place, &id.as_bytes(), sealed).map(Some)
    }
}

/// Reads an error and its time from two columns, the first of which is at `column`.
pub(crate) fn call_error(row: &Row, column: usize) -> Result<Option<CallError>, DbError> {
    let message: Option<String> = row.get(column)?;
    let at: Option<Timestamp> = row.get(column.saturating_add(1))?;
    Ok(message.zip(at).map(|(message, at)| CallError { message, at }))
}
