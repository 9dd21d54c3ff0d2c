//! Making, naming, changing and deleting conversations.

use domain::Problem;
use domain::ids::{ConversationId, Id as _};

use super::{ChangeError, Conversation, ConversationEdit, METADATA, TITLE};
use crate::db::params;
use crate::idempotency::Remembering;
use crate::smiths::SmithRecord;
use crate::{Batch, Error, ProjectStore};

const SMITH: &str = "conversation_smith";
const VERSION: &str = "conversation_version";
const THERE: &str = "conversation_there";

/// How often a change is tried again that another one got in the way of.
const RACES: usize = 16;

impl ProjectStore {
    /// Makes a conversation. None: the smith was archived or erased meanwhile.
    pub async fn create_conversation(
        &self,
        smith: &SmithRecord,
        new: &ConversationEdit,
        remember: Remembering<'_, Conversation>,
    ) -> Result<Option<Conversation>, Error> {
        let ids = self.store.ids();
        let (id, now): (ConversationId, _) = (ids.mint(), ids.now());
        let place = id.as_bytes();
        let title = new.title.as_deref().map(|title| smith.seal.seal(TITLE, &place, title)).transpose()?;
        let mut batch = Batch::new();
        batch
            .exec(
                "insert into conversations (id, project_id, smith_id, title, metadata, version, created_at, updated_at) \
                 select $1, $2, id, $3, $4, 1, $5, $5 from smiths \
                 where id = $6 and project_id = $2 and archived_at is null",
                params![
                    id,
                    self.project,
                    title,
                    smith.seal.seal(METADATA, &place, &new.metadata)?,
                    now,
                    smith.id
                ],
            )
            .must_change_one_row(SMITH);
        let conversation = Conversation {
            id,
            smith: smith.id,
            title: new.title.clone(),
            metadata: new.metadata.clone(),
            created_at: now,
            updated_at: now,
        };
        if let Some(remember) = remember {
            remember(&conversation)?.add_to(&mut batch, &self.store);
        }
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(Some(conversation)),
            Err(error) if error.is_guard(SMITH) || error.is_reference() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes a conversation. `edit` is asked again with what is there then when another change was faster.
    pub async fn change_conversation(
        &self,
        smith: &SmithRecord,
        id: ConversationId,
        edit: impl Fn(&mut ConversationEdit) -> Result<(), Problem> + Send + Sync,
        remember: Remembering<'_, Conversation>,
    ) -> Result<Conversation, ChangeError> {
        let mut races = 0;
        loop {
            let stored = self.stored_conversation(smith, id).await?.ok_or(ChangeError::NoConversation)?;
            let (mut conversation, version) = stored.whole()?;
            let mut edited = ConversationEdit { title: conversation.title, metadata: conversation.metadata };
            edit(&mut edited).map_err(ChangeError::Refused)?;
            conversation.title = edited.title;
            conversation.metadata = edited.metadata;
            conversation.updated_at = self.store.ids().now();
            let mut batch = self.change_conversation_batch(smith, &conversation, version)?;
            if let Some(remember) = remember {
                remember(&conversation)?.add_to(&mut batch, &self.store);
            }
            match self.store.db().commit(batch).await.map_err(Error::from) {
                Ok(_) => return Ok(conversation),
                Err(error) if error.is_guard(VERSION) && races < RACES => races += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn change_conversation_batch(
        &self,
        smith: &SmithRecord,
        after: &Conversation,
        version: u64,
    ) -> Result<Batch, Error> {
        let place = after.id.as_bytes();
        let title = after.title.as_deref().map(|title| smith.seal.seal(TITLE, &place, title)).transpose()?;
        let mut batch = Batch::new();
        batch
            .exec(
                "update conversations set title = $1, metadata = $2, version = version + 1, updated_at = $3 \
                 where id = $4 and smith_id = $5 and project_id = $6 and version = $7",
                params![
                    title,
                    smith.seal.seal(METADATA, &place, &after.metadata)?,
                    after.updated_at,
                    after.id,
                    smith.id,
                    self.project,
                    version
                ],
            )
            .must_change_one_row(VERSION);
        Ok(batch)
    }

    /// Gives a conversation a title if it has none. Returns whether it was given this one.
    ///
    /// Repeating it changes nothing, and a title that somebody has set meanwhile stays.
    pub async fn title_if_untitled(
        &self,
        smith: &SmithRecord,
        id: ConversationId,
        title: &str,
    ) -> Result<bool, Error> {
        let sealed = smith.seal.seal(TITLE, &id.as_bytes(), title)?;
        let mut batch = Batch::new();
        batch
            .exec(
                "update conversations set title = $1, version = version + 1, updated_at = $2 \
                 where id = $3 and smith_id = $4 and project_id = $5 and title is null",
                params![sealed, self.store.ids().now(), id, smith.id, self.project],
            )
            .must_change_one_row(THERE);
        self.was_there(batch).await
    }

    /// Deletes a conversation, and nothing of what was said in it. Returns whether it was there.
    pub async fn delete_conversation(&self, smith: &SmithRecord, id: ConversationId) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch
            .exec(
                "delete from conversations where id = $1 and smith_id = $2 and project_id = $3",
                params![id, smith.id, self.project],
            )
            .must_change_one_row(THERE);
        self.was_there(batch).await
    }

    async fn was_there(&self, batch: Batch) -> Result<bool, Error> {
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(THERE) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
