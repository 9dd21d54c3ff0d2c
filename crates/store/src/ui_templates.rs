//! UI templates of an agent's draft. The draft lists them; their HTML is kept once per project and content.
//!
//! A version names the same HTML by its hash, so that publishing copies the list and nothing else. Nobody counts who names
//! what: HTML that a draft has let go of is deleted later, when no draft and no version of the project names its hash. The
//! wait is for a version that is being published at that moment and cannot be seen yet.

use domain::ids::AgentId;
use domain::smiths::Config;
use domain::ui_templates::{MOST_TEMPLATES, UiTemplate, content_hash_of, find, name_of};
use serde_json::Value;

use crate::codec::read_json;
use crate::db::params;
use crate::idempotency::Remembering;
use crate::{Batch, Error, ProjectStore};

/// Seconds for which HTML is kept after a draft has let go of it.
const WAIT: i64 = 60 * 60;
/// How many contents one batch looks at to delete them: each costs a look through all versions of its project.
const SWEEP: usize = 2;
const DRAFT: &str = "agent_draft";
/// How often a change of a draft is tried again that another one got in the way of.
const RACES: usize = 16;

/// Why a template was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutTemplateError {
    #[error("the project has no such agent")]
    NoAgent,
    #[error("the agent has as many templates as it may have")]
    TooMany,
    #[error(transparent)]
    Store(#[from] Error),
}

/// HTML with the hash that names it: lower-case hex of its SHA-256.
#[derive(Clone, Copy, Debug)]
pub struct UiContent<'a> {
    pub hash: &'a str,
    pub html: &'a [u8],
}

impl ProjectStore {
    /// Lists the templates of an agent's draft. None when there is no such agent.
    pub async fn ui_templates(&self, agent: AgentId) -> Result<Option<Vec<Value>>, Error> {
        Ok(self.draft(agent).await?.map(|(_, draft)| draft.ui_resources))
    }

    /// Puts a template into an agent's draft, in the place of one of the same name, and returns its record.
    pub async fn put_ui_template(
        &self,
        agent: AgentId,
        template: &UiTemplate,
        content: UiContent<'_>,
        remember: Remembering<'_, Value>,
    ) -> Result<Value, PutTemplateError> {
        let mut races = 0;
        loop {
            let (before, mut draft) = self.draft(agent).await?.ok_or(PutTemplateError::NoAgent)?;
            let record = template.record(content.hash);
            let has_room = draft.ui_resources.len() < MOST_TEMPLATES;
            let mut templates = draft.ui_resources.iter_mut();
            let old = match templates.find(|there| name_of(there) == Some(template.name.as_str())) {
                Some(there) => Some(std::mem::replace(there, record.clone())),
                None if has_room => {
                    draft.ui_resources.push(record.clone());
                    None
                }
                None => return Err(PutTemplateError::TooMany),
            };
            let mut batch = Batch::new();
            self.change_draft(&mut batch, agent, &before, &draft)?;
            if let Some(old) = old {
                self.release(&mut batch, &old);
            }
            batch.exec(
                "insert into ui_contents (project_id, hash, content, released_at, created_at) values ($1, $2, $3, null, $4) \
                 on conflict (project_id, hash) do update set released_at = null",
                params![self.project, content.hash, content.html, self.store.ids().now()],
            );
            if let Some(remember) = remember {
                remember(&record)?.add_to(&mut batch, &self.store);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => {
                    self.sweep().await;
                    return Ok(record);
                }
                Err(error) if error.is_guard(DRAFT) && races < RACES => races += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes a template out of an agent's draft. Returns whether it was there.
    pub async fn delete_ui_template(&self, agent: AgentId, name: &str) -> Result<bool, Error> {
        let mut races = 0;
        loop {
            let Some((before, mut draft)) = self.draft(agent).await? else { return Ok(false) };
            let Some(old) = find(&draft.ui_resources, name).cloned() else { return Ok(false) };
            draft.ui_resources.retain(|there| name_of(there) != Some(name));
            let mut batch = Batch::new();
            self.change_draft(&mut batch, agent, &before, &draft)?;
            self.release(&mut batch, &old);
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => {
                    self.sweep().await;
                    return Ok(true);
                }
                Err(error) if error.is_guard(DRAFT) && races < RACES => races += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the HTML that a template of a draft or version names.
    pub async fn ui_content(&self, hash: &str) -> Result<Option<Vec<u8>>, Error> {
        let sql = "select content from ui_contents where project_id = $1 and hash = $2";
        let rows = self.store.db().read(sql, params![self.project, hash]).await?;
        Ok(rows.first().map(|row| row.get(0)).transpose()?)
    }

    /// Reads a draft, as it is stored and as it is meant.
    async fn draft(&self, agent: AgentId) -> Result<Option<(String, Config)>, Error> {
        let sql = "select draft from agents where id = $1 and project_id = $2 and archived_at is null";
        let Some(row) = self.store.db().read_one(sql, params![agent, self.project]).await? else {
            return Ok(None);
        };
        let stored: String = row.get(0)?;
        let draft = read_json(&stored)?;
        Ok(Some((stored, draft)))
    }

    /// Adds the change of a draft, guarded by what the draft was.
    fn change_draft(
        &self,
        batch: &mut Batch,
        agent: AgentId,
        before: &str,
        draft: &Config,
    ) -> Result<(), Error> {
        batch
            .exec(
                "update agents set draft = $1, updated_at = $2, revision = revision + 1 \
                 where id = $3 and project_id = $4 and archived_at is null and draft = $5",
                params![serde_json::to_string(draft)?, self.store.ids().now(), agent, self.project, before],
            )
            .must_change_one_row(DRAFT);
        Ok(())
    }

    /// Notes that a draft has let go of a template's HTML.
    fn release(&self, batch: &mut Batch, record: &Value) {
        let Some(hash) = content_hash_of(record) else { return };
        batch.exec(
            "update ui_contents set released_at = $1 where project_id = $2 and hash = $3",
            params![self.store.ids().now(), self.project, hash],
        );
    }

    /// Deletes HTML that was let go of long enough ago and that nothing names. A text that only looks like the name keeps it.
    ///
    /// A batch of its own: it looks through all versions of the project, and nobody's upload may fail because that takes long.
    async fn sweep(&self) {
        let mut batch = Batch::new();
        let now = self.store.ids().now();
        let named = "exists (select 1 from agents where agents.project_id = $1 \
             and agents.draft like '%' || ui_contents.hash || '%') \
             or exists (select 1 from agent_versions join agents on agents.id = agent_versions.agent_id \
             where agents.project_id = $1 and agent_versions.snapshot like '%' || ui_contents.hash || '%')";
        // The row itself is asked again: it may have been taken up between the look and the lock.
        let due = "project_id = $1 and released_at <= $2 and hash in (select hash from ui_contents \
             where project_id = $1 and released_at <= $2 order by released_at limit $3)";
        let values = params![self.project, now.plus_seconds(-WAIT), SWEEP];
        // What is named after all is not looked at again until it is let go of once more.
        batch.exec(
            format!("update ui_contents set released_at = null where {due} and ({named})"),
            values.clone(),
        );
        batch.exec(format!("delete from ui_contents where {due} and not ({named})"), values);
        if let Err(error) = self.store.db().commit(batch).await {
            tracing::warn!(error = %error, "HTML that nothing names could not be deleted; a later upload tries again.");
        }
    }
}

#[cfg(test)]
mod tests;
