//! The first start: an organization, a project with its default agent, and the master key that belongs to the database.

use domain::Timestamp;
use domain::ids::{OrganizationId, ProjectId};

use crate::db::params;
use crate::{Batch, Db, DbOptions, Error, ServerStore, Upgrade};

/// The name of the project that is there from the start.
pub const FIRST_PROJECT: &str = "default";

const FINGERPRINT: &str = "master_key_fingerprint";
const ORGANIZATION: &str = "first_organization";
const PROJECT: &str = "first_project";
const VALUE: &str = "select value from server_values where name = $1";

/// What is there from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    pub organization: OrganizationId,
    pub project: ProjectId,
}

/// Tells whether a database belongs to a master key already: then none must be made for it. Changes nothing.
pub async fn has_master_key(options: &DbOptions) -> Result<bool, Error> {
    let db = Db::open_with(options, Upgrade::Never).await?;
    let has_key = async {
        if db.schema().await?.found.is_none() {
            return Ok(false);
        }
        let row = db.read_one(VALUE, params![FINGERPRINT]).await?;
        Ok(row.is_some())
    };
    let has_key = has_key.await;
    db.close().await;
    has_key
}

impl ServerStore {
    /// Makes what every server has, unless it is there. Replicas that start at the same time get the same answer.
    ///
    /// Fails with [`Error::OtherMasterKey`] when the database was filled under another master key.
    pub async fn bootstrap(&self) -> Result<Bootstrap, Error> {
        self.claim_master_key().await?;
        if let Some(there) = self.first_ids().await? {
            return Ok(there);
        }
        match self.fill().await {
            Ok(made) => Ok(made),
            // Another replica was faster.
            Err(error) if error.is_conflict() => self
                .first_ids()
                .await?
                .ok_or(Error::Db(crate::DbError::Corrupt("the first project is missing"))),
            Err(error) => Err(error),
        }
    }

    /// Ties the database to the master key, or finds it tied to another one.
    async fn claim_master_key(&self) -> Result<(), Error> {
        let given = self.store.inner.master.fingerprint();
        let mut batch = Batch::new();
        batch.exec(
            "insert into server_values (name, value) values ($1, $2) on conflict (name) do nothing",
            params![FINGERPRINT, &given],
        );
        self.store.db().commit(batch).await?;
        match self.server_value(FINGERPRINT).await? {
            Some(stored) if stored == given => Ok(()),
            stored => Err(Error::OtherMasterKey { stored: stored.unwrap_or_default(), given }),
        }
    }

    /// Checks that the database was filled under this master key, or under none yet. Writes nothing.
    pub async fn check_master_key(&self) -> Result<(), Error> {
        let given = self.store.inner.master.fingerprint();
        match self.server_value(FINGERPRINT).await? {
            Some(stored) if stored != given => Err(Error::OtherMasterKey { stored, given }),
            _ => Ok(()),
        }
    }

    async fn first_ids(&self) -> Result<Option<Bootstrap>, Error> {
        let (Some(organization), Some(project)) =
            (self.server_value(ORGANIZATION).await?, self.server_value(PROJECT).await?)
        else {
            return Ok(None);
        };
        let corrupt = |_| Error::Db(crate::DbError::Corrupt("the first ids are not readable"));
        Ok(Some(Bootstrap {
            organization: organization.parse().map_err(corrupt)?,
            project: project.parse().map_err(corrupt)?,
        }))
    }

    async fn fill(&self) -> Result<Bootstrap, Error> {
        let ids = self.store.ids();
        let now: Timestamp = ids.now();
        let (organization, project): (OrganizationId, ProjectId) = (ids.mint(), ids.mint());
        let mut batch = Batch::new();
        for (name, value) in [(ORGANIZATION, organization.to_string()), (PROJECT, project.to_string())] {
            batch.exec("insert into server_values (name, value) values ($1, $2)", params![name, value]);
        }
        batch.exec(
            "insert into organizations (id, name, created_at) values ($1, $2, $3)",
            params![organization, "default", now],
        );
        batch.exec(
            "insert into projects (id, organization_id, name, metadata, created_at) values ($1, $2, $3, '{}', $4)",
            params![project, organization, FIRST_PROJECT, now],
        );
        self.store.project(project).add_default_agent(&mut batch)?;
        self.store.db().commit(batch).await?;
        Ok(Bootstrap { organization, project })
    }

    /// Reads a value of the server itself.
    pub(crate) async fn server_value(&self, name: &str) -> Result<Option<String>, Error> {
        let row = self.store.db().read_one(VALUE, params![name]).await?;
        Ok(row.map(|row| row.get(0)).transpose()?)
    }
}

#[cfg(test)]
mod tests;
