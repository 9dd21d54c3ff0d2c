//! Revisions: what a smith's own configuration was after each change of it.

use domain::Timestamp;
use domain::ids::{Id as _, SmithId};
use domain::principals::Actor;
use domain::smiths::Overrides;
use serde::{Deserialize, Serialize};

use super::change::VERSION;
use super::{RACES, SmithRecord};
use crate::codec::Place;
use crate::codec::read_json;
use crate::db::{Row, params};
use crate::idempotency::Remembering;
use crate::{Batch, Error, ProjectStore};

/// How many revisions of a smith are kept. Older ones are forgotten; numbers are never given again.
pub(super) const KEPT: u32 = 200;

const BODY: Place = Place::new("smith_revisions", "body");

/// A smith's own configuration after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Counts from 1, which is what the smith was made with.
    pub number: u32,
    pub overrides: Overrides,
    pub note: Option<String>,
    pub actor: Option<Actor>,
    pub created_at: Timestamp,
}

/// Why a revision was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the project has no such smith")]
    NoSmith,
    #[error("the smith has no such revision")]
    NoRevision,
    #[error(transparent)]
    Store(#[from] Error),
}

/// What is sealed of a revision.
#[derive(Serialize, Deserialize)]
struct Body {
    overrides: Overrides,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn place(smith: SmithId, number: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    let (head, tail) = bytes.split_at_mut(16);
    head.copy_from_slice(&smith.as_bytes());
    tail.copy_from_slice(&u64::from(number).to_be_bytes());
    bytes
}

impl ProjectStore {
    /// Lists revisions of a smith, newest first, those before the number `before` if given. Returns up to `limit` of them.
    pub async fn smith_revisions(
        &self,
        smith: &SmithRecord,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Revision>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select number, body, actor, created_at from smith_revisions \
                 where smith_id = $1 and number < $2 order by number desc limit $3",
                params![smith.id, before.map_or(i64::MAX, i64::from), limit],
            )
            .await?;
        rows.iter().map(|row| read(smith, row)).collect()
    }

    /// Makes a smith what it was, as a new revision, and returns that.
    pub async fn restore_revision(
        &self,
        smith: SmithId,
        number: u32,
        actor: &Actor,
        note: Option<&str>,
        remember: Remembering<'_, Revision>,
    ) -> Result<Revision, RestoreError> {
        let mut races = 0;
        loop {
            let mut record = self.smith(smith).await?.ok_or(RestoreError::NoSmith)?;
            let wanted = self.smith_revision(&record, number).await?.ok_or(RestoreError::NoRevision)?;
            let next = self.next_revision(smith).await?;
            record.overrides = wanted.overrides;
            record.updated_at = self.store.ids().now();
            record.version = record.version.saturating_add(1);
            let mut batch = self.change_batch(&record, record.agent)?;
            let revision = add(&mut batch, &record, next, Some(actor.clone()), note)?;
            if let Some(remember) = remember {
                remember(&revision)?.add_to(&mut batch, &self.store);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(revision),
                Err(error) if error.is_guard(VERSION) && races < RACES => races += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn smith_revision(&self, smith: &SmithRecord, number: u32) -> Result<Option<Revision>, Error> {
        let sql =
            "select number, body, actor, created_at from smith_revisions where smith_id = $1 and number = $2";
        let row = self.store.db().read_one(sql, params![smith.id, number]).await?;
        row.map(|row| read(smith, &row)).transpose()
    }

    /// Returns the number that the next revision of a smith has, as long as the smith's version stays what it was before.
    pub(super) async fn next_revision(&self, smith: SmithId) -> Result<u32, Error> {
        let sql = "select coalesce(max(number), 0) from smith_revisions where smith_id = $1";
        let row = self.store.db().read_one(sql, params![smith]).await?;
        let last: u32 = row.map_or(Ok(0), |row| row.get(0))?;
        Ok(last.saturating_add(1))
    }
}

/// Adds a smith's configuration as a revision to the batch that stores it. What guards the smith's version there guards the
/// number too: whoever adds a revision raises both.
pub(super) fn add(
    batch: &mut Batch,
    smith: &SmithRecord,
    number: u32,
    actor: Option<Actor>,
    note: Option<&str>,
) -> Result<Revision, Error> {
    let body = Body { overrides: smith.overrides.clone(), note: note.map(str::to_owned) };
    batch.exec(
        "insert into smith_revisions (smith_id, number, body, actor, created_at) values ($1, $2, $3, $4, $5)",
        params![
            smith.id,
            number,
            smith.seal.seal(BODY, &place(smith.id, number), &body)?,
            actor.as_ref().map(serde_json::to_string).transpose()?,
            smith.updated_at
        ],
    );
    if let Some(oldest) = number.checked_sub(KEPT).filter(|oldest| *oldest > 0) {
        batch.exec(
            "delete from smith_revisions where smith_id = $1 and number <= $2",
            params![smith.id, oldest],
        );
    }
    let Body { overrides, note } = body;
    Ok(Revision { number, overrides, note, actor, created_at: smith.updated_at })
}

fn read(smith: &SmithRecord, row: &Row) -> Result<Revision, Error> {
    let (number, sealed): (u32, Vec<u8>) = (row.get(0)?, row.get(1)?);
    let actor: Option<String> = row.get(2)?;
    let Body { overrides, note } = smith.seal.open(BODY, &place(smith.id, number), &sealed)?;
    let actor = actor.map(|actor| read_json(&actor)).transpose()?;
    Ok(Revision { number, overrides, note, actor, created_at: row.get(3)? })
}

#[cfg(test)]
mod tests;
