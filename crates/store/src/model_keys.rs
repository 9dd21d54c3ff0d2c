//! Keys of model providers that a project or a smith brings along.

use domain::Timestamp;
use domain::ids::{Id as _, SmithId};
use domain::models::Provider;

use crate::codec::Place;
use crate::db::{Row, params};
use crate::{Batch, DbError, Error, ProjectStore};

const KEY: Place = Place::new("model_keys", "sealed_key");
const OWNER: &str = "model_key_owner";
const THERE: &str = "model_key";

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    Project,
    Smith(SmithId),
}

/// That a key is set. The key itself is not in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelKeyRecord {
    pub provider: Provider,
    pub base_url: Option<String>,
    pub updated_at: Timestamp,
}

/// A key that can be used. Never shown: it has no `Debug`.
pub struct ResolvedKey {
    pub api_key: String,
    pub base_url: Option<String>,
}

/// The keys that a smith, or a project by itself, can use, still sealed.
pub struct ModelKeys {
    project: ProjectStore,
    /// In the order in which they are preferred.
    keys: Vec<SealedKey>,
}

struct SealedKey {
    provider: Provider,
    owner: [u8; 16],
    sealed: Vec<u8>,
    base_url: Option<String>,
}

impl ModelKeys {
    /// Tells whether there is a key for the provider.
    pub fn has(&self, provider: Provider) -> bool {
        self.keys.iter().any(|key| key.provider == provider)
    }

    /// Opens the key for the provider: the smith's own, else the project's.
    pub fn resolve(&self, provider: Provider) -> Result<Option<ResolvedKey>, Error> {
        let Some(key) = self.keys.iter().find(|key| key.provider == provider) else { return Ok(None) };
        let opened = self.project.store.open_secret(KEY, &place(key.owner, provider), &key.sealed)?;
        let api_key = String::from_utf8(opened).map_err(|_| DbError::Corrupt("a key is no text"))?;
        Ok(Some(ResolvedKey { api_key, base_url: key.base_url.clone() }))
    }
}

impl ProjectStore {
    /// Sets a key. Returns false when the smith that is to own it is not there.
    pub async fn put_model_key(
        &self,
        owner: KeyOwner,
        provider: Provider,
        api_key: &str,
        base_url: Option<&str>,
    ) -> Result<bool, Error> {
        let owner_id = self.owner_id(owner);
        let (source, holding) = match owner {
            KeyOwner::Project => ("projects where id = $1 and id = $2 and archived_at is null", ""),
            KeyOwner::Smith(_) => (
                "smiths where id = $2 and project_id = $1 and archived_at is null",
                self.store.db().dialect().holding_smith(),
            ),
        };
        let mut batch = Batch::new();
        batch
            .exec(
                format!(
                    "insert into model_keys (project_id, owner_id, provider, sealed_key, base_url, updated_at) \
                     select $1, $2, $3, $4, $5, $6 from {source}{holding} \
                     on conflict (owner_id, provider) do update set sealed_key = excluded.sealed_key, \
                     base_url = excluded.base_url, updated_at = excluded.updated_at"
                ),
                params![
                    self.project,
                    owner_id,
                    provider.as_str(),
                    self.store.seal_secret(KEY, &place(owner_id, provider), api_key.as_bytes()),
                    base_url,
                    self.store.ids().now()
                ],
            )
            .must_change_one_row(OWNER);
        self.commit_guarded(batch, OWNER).await
    }

    /// Lists the keys that an owner has set, by provider.
    pub async fn model_keys(&self, owner: KeyOwner) -> Result<Vec<ModelKeyRecord>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select provider, base_url, updated_at from model_keys where owner_id = $1 and project_id = $2 order by provider",
                params![self.owner_id(owner), self.project],
            )
            .await?;
        let read = |row: &Row| {
            Ok(ModelKeyRecord { provider: provider(row, 0)?, base_url: row.get(1)?, updated_at: row.get(2)? })
        };
        rows.iter().map(read).collect()
    }

    /// Deletes a key. Returns false when there was none.
    pub async fn delete_model_key(&self, owner: KeyOwner, provider: Provider) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch
            .exec(
                "delete from model_keys where owner_id = $1 and provider = $2 and project_id = $3",
                params![self.owner_id(owner), provider.as_str(), self.project],
            )
            .must_change_one_row(THERE);
        self.commit_guarded(batch, THERE).await
    }

    /// Reads the keys that a smith can use, its own before the project's; without a smith the project's.
    pub async fn usable_model_keys(&self, smith: Option<SmithId>) -> Result<ModelKeys, Error> {
        let project = self.project.as_bytes();
        let smith = smith.map_or(project, SmithId::as_bytes);
        let rows = self
            .store
            .db()
            .recall(
                "select provider, owner_id, sealed_key, base_url from model_keys \
                 where owner_id in ($1, $2) and project_id = $3",
                params![smith, project, self.project],
            )
            .await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            let owner: Vec<u8> = row.get(1)?;
            let owner = owner.as_slice().try_into().map_err(|_| DbError::Corrupt("an id has 16 bytes"))?;
            keys.push(SealedKey {
                provider: provider(row, 0)?,
                owner,
                sealed: row.get(2)?,
                base_url: row.get(3)?,
            });
        }
        keys.sort_by_key(|key| key.owner == project);
        Ok(ModelKeys { project: self.clone(), keys })
    }

    fn owner_id(&self, owner: KeyOwner) -> [u8; 16] {
        match owner {
            KeyOwner::Project => self.project.as_bytes(),
            KeyOwner::Smith(smith) => smith.as_bytes(),
        }
    }

    async fn commit_guarded(&self, batch: Batch, guard: &'static str) -> Result<bool, Error> {
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(guard) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Names the row of a key for the seal.
fn place(owner: [u8; 16], provider: Provider) -> Vec<u8> {
    let mut place = owner.to_vec();
    place.extend_from_slice(provider.as_str().as_bytes());
    place
}

fn provider(row: &Row, column: usize) -> Result<Provider, DbError> {
    let text: String = row.get(column)?;
    Provider::parse(&text).ok_or(DbError::Corrupt("a key is for an unknown provider"))
}

#[cfg(test)]
mod tests;
