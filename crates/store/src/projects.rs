//! Projects: the tenants of an organization.

use domain::Timestamp;
use domain::ids::{OrganizationId, ProjectId};
use serde_json::{Map, Value};

use crate::codec::read_json;
use crate::db::{Row, params};
use crate::filter::Filter;
use crate::idempotency::Remembering;
use crate::{Batch, Error, OrganizationStore, ServerStore};

/// How often a creation is tried again that another one got in the way of.
const RACES: usize = 8;
const ARCHIVED: &str = "project_archived";

const COLUMNS: &str = "id, organization_id, name, metadata, created_at";

/// A live project.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub id: ProjectId,
    pub organization: OrganizationId,
    pub name: String,
    pub metadata: Map<String, Value>,
    pub created_at: Timestamp,
}

impl OrganizationStore {
    pub fn id(&self) -> OrganizationId {
        self.organization
    }

    /// Creates a project, or answers the live one that has the name already, as it is.
    pub async fn create_project(
        &self,
        name: &str,
        metadata: &Map<String, Value>,
        remember: Remembering<'_, Project>,
    ) -> Result<Project, Error> {
        let mut races = 0;
        loop {
            let mut batch = Batch::new();
            let project = match self.project_named(name).await? {
                Some(project) => project,
                None => self.add_project(&mut batch, name, metadata)?,
            };
            if let Some(remember) = remember {
                remember(&project)?.add_to(&mut batch, &self.store);
            }
            if batch.is_empty() {
                return Ok(project);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(project),
                // Somebody else took the name: that project is the answer.
                Err(error) if error.is_conflict() && races < RACES => races += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn add_project(
        &self,
        batch: &mut Batch,
        name: &str,
        metadata: &Map<String, Value>,
    ) -> Result<Project, Error> {
        let ids = self.store.ids();
        let project = Project {
            id: ids.mint(),
            organization: self.organization,
            name: name.to_owned(),
            metadata: metadata.clone(),
            created_at: ids.now(),
        };
        batch.exec(
            "insert into projects (id, organization_id, name, metadata, created_at) values ($1, $2, $3, $4, $5)",
            params![
                project.id,
                project.organization,
                name,
                serde_json::to_string(metadata)?,
                project.created_at
            ],
        );
        Ok(project)
    }

    /// Lists live projects, newest first, those before `before` if given. Returns up to `limit` of them.
    pub async fn projects(
        &self,
        name: Option<&str>,
        before: Option<ProjectId>,
        limit: usize,
    ) -> Result<Vec<Project>, Error> {
        let mut filter = Filter::new("organization_id = ?", self.organization);
        filter.add("archived_at is null");
        if let Some(name) = name {
            filter.add_text("name = ?", name);
        }
        if let Some(before) = before {
            filter.add_value("id < ?", before);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let sql = format!("select {COLUMNS} from projects where {conditions} order by id desc limit {limit}");
        self.store.db().read(&sql, values).await?.iter().map(read).collect()
    }

    /// Finds a live project of the organization.
    pub async fn project(&self, project: ProjectId) -> Result<Option<Project>, Error> {
        let sql = format!(
            "select {COLUMNS} from projects where id = $1 and organization_id = $2 and archived_at is null"
        );
        self.store
            .db()
            .read_one(&sql, params![project, self.organization])
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// Archives a project: its name is free again and its tokens are revoked. Returns false when there is no such project.
    pub async fn archive_project(&self, project: ProjectId) -> Result<bool, Error> {
        let now = self.store.ids().now();
        let mut batch = Batch::new();
        batch
            .exec(
                "update projects set archived_at = $1 where id = $2 and organization_id = $3 and archived_at is null",
                params![now, project, self.organization],
            )
            .must_change_one_row(ARCHIVED);
        batch.exec(
            "update tokens set revoked_at = $1 where project_id = $2 and revoked_at is null",
            params![now, project],
        );
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(ARCHIVED) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn project_named(&self, name: &str) -> Result<Option<Project>, Error> {
        let sql = format!(
            "select {COLUMNS} from projects where organization_id = $1 and name = $2 and archived_at is null"
        );
        self.store.db().read_one(&sql, params![self.organization, name]).await?.as_ref().map(read).transpose()
    }
}

impl ServerStore {
    /// Finds a live project by its id or its name, for whoever administers the machine.
    pub async fn find_project(&self, name_or_id: &str) -> Result<Option<Project>, Error> {
        if let Ok(id) = name_or_id.parse::<ProjectId>() {
            let sql = format!("select {COLUMNS} from projects where id = $1 and archived_at is null");
            if let Some(row) = self.store.db().read_one(&sql, params![id]).await? {
                return read(&row).map(Some);
            }
        }
        if name_or_id.contains('\0') {
            return Ok(None);
        }
        let sql = format!(
            "select {COLUMNS} from projects where name = $1 and archived_at is null order by id limit 1"
        );
        self.store.db().read_one(&sql, params![name_or_id]).await?.as_ref().map(read).transpose()
    }
}

fn read(row: &Row) -> Result<Project, Error> {
    let metadata: String = row.get(3)?;
    Ok(Project {
        id: row.get(0)?,
        organization: row.get(1)?,
        name: row.get(2)?,
        metadata: read_json(&metadata)?,
        created_at: row.get(4)?,
    })
}

#[cfg(test)]
mod tests;
