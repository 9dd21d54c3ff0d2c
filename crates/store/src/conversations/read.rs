//! Reading conversations of a smith.

use domain::ids::{ConversationId, Id as _};
use serde_json::{Map, Value};

use super::{Conversation, METADATA, Order, TITLE};
use crate::codec::SmithSeal;
use crate::db::{Row, params};
use crate::filter::Filter;
use crate::smiths::SmithRecord;
use crate::{Error, ProjectStore};

const COLUMNS: &str = "id, title, metadata, version, created_at, updated_at";

/// A row, and what of it cannot be read.
pub(super) struct Stored {
    pub(super) conversation: Conversation,
    pub(super) version: u64,
    damage: Option<Error>,
}

impl Stored {
    /// Returns the conversation when all of it could be read: what is changed is written anew as a whole.
    pub(super) fn whole(self) -> Result<(Conversation, u64), Error> {
        self.damage.map_or(Ok((self.conversation, self.version)), Err)
    }
}

impl ProjectStore {
    /// Finds a conversation of a smith. What of it cannot be read is left out.
    pub async fn conversation(
        &self,
        smith: &SmithRecord,
        id: ConversationId,
    ) -> Result<Option<Conversation>, Error> {
        Ok(self.stored_conversation(smith, id).await?.map(|stored| stored.conversation))
    }

    pub(super) async fn stored_conversation(
        &self,
        smith: &SmithRecord,
        id: ConversationId,
    ) -> Result<Option<Stored>, Error> {
        let sql = format!(
            "select {COLUMNS} from conversations where id = $1 and smith_id = $2 and project_id = $3"
        );
        let row = self.store.db().read_one(&sql, params![id, smith.id, self.project]).await?;
        row.map(|row| shown(&row, smith)).transpose()
    }

    /// Lists conversations of a smith, those behind `after` if given. Returns up to `limit` of them.
    pub async fn conversations(
        &self,
        smith: &SmithRecord,
        order: Order,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Vec<Conversation>, Error> {
        let mut filter = Filter::new("project_id = ?", self.project);
        filter.add_value("smith_id = ?", smith.id);
        if let Some(after) = after {
            filter.add_value(&format!("id {} ?", order.behind()), after);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let direction = order.sql();
        let sql = format!(
            "select {COLUMNS} from conversations where {conditions} order by id {direction} limit {limit}"
        );
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(|row| shown(row, smith).map(|stored| stored.conversation)).collect()
    }
}

fn shown(row: &Row, smith: &SmithRecord) -> Result<Stored, Error> {
    let id: ConversationId = row.get(0)?;
    let opened = opened(row, id, &smith.seal);
    // One that cannot be read must not hide the others.
    let (content, damage) = match opened {
        Ok(content) => (content, None),
        Err(error) => {
            tracing::error!(conversation.id = %id, error = %error, "What is stored of a conversation cannot be read.");
            (Default::default(), Some(error))
        }
    };
    let (title, metadata): (Option<String>, Map<String, Value>) = content;
    let conversation = Conversation {
        id,
        smith: smith.id,
        title,
        metadata,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
    };
    Ok(Stored { conversation, version: row.get(3)?, damage })
}

fn opened(
    row: &Row,
    id: ConversationId,
    seal: &SmithSeal,
) -> Result<(Option<String>, Map<String, Value>), Error> {
    let place = id.as_bytes();
    let (title, metadata): (Option<Vec<u8>>, Vec<u8>) = (row.get(1)?, row.get(2)?);
    let title = title.map(|sealed| seal.open(TITLE, &place, &sealed)).transpose()?;
    Ok((title, seal.open(METADATA, &place, &metadata)?))
}
