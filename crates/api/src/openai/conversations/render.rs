//! A conversation as the API shows it, and what a body may say of one.

use domain::Problem;
use domain::conversations::{LONGEST_TITLE, merge_metadata};
use serde::Serialize;
use serde_json::{Map, Value};
use store::conversations::{Conversation, ConversationEdit};
use utoipa::ToSchema;

use crate::extract::{Fields, Given};

/// A conversation. Its id is also the name of its thread.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationOut {
    id: String,
    #[schema(inline)]
    object: ConversationObject,
    /// Unix seconds.
    created_at: i64,
    updated_at: i64,
    /// Null until the first turn, which gives it one.
    #[schema(required)]
    title: Option<String>,
    smith_id: String,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ConversationObject {
    Conversation,
}

impl ConversationOut {
    pub(super) fn of(conversation: &Conversation) -> Self {
        Self {
            id: conversation.id.to_string(),
            object: ConversationObject::Conversation,
            created_at: conversation.created_at.as_seconds(),
            updated_at: conversation.updated_at.as_seconds(),
            title: conversation.title.clone(),
            smith_id: conversation.smith.to_string(),
            metadata: conversation.metadata.clone(),
        }
    }

    pub(super) fn id(&self) -> String {
        self.id.clone()
    }
}

/// What a body says of a conversation.
pub(super) struct Said<'a> {
    title: Given<&'a str>,
    metadata: Option<&'a Map<String, Value>>,
}

impl<'a> Said<'a> {
    pub(super) fn read(fields: &Fields<'a>) -> Result<Self, Problem> {
        let title = fields.given("title", fields.text_of("title", 0..=LONGEST_TITLE))?;
        let said = Self { title, metadata: fields.object("metadata")? };
        // What is too large is refused before anything is looked for.
        said.apply(&mut ConversationEdit::default())?;
        Ok(said)
    }

    /// Returns a new conversation of which this was said.
    pub(super) fn first_edit(&self) -> ConversationEdit {
        ConversationEdit {
            title: self.title.change().flatten().map(str::to_owned),
            metadata: self.metadata.cloned().unwrap_or_default(),
        }
    }

    /// Takes over what was said: a title sets it, null clears it, and metadata is merged.
    pub(super) fn apply(&self, edit: &mut ConversationEdit) -> Result<(), Problem> {
        if let Some(title) = self.title.change() {
            edit.title = title.map(str::to_owned);
        }
        match self.metadata {
            Some(metadata) => merge_metadata(&mut edit.metadata, metadata),
            None => Ok(()),
        }
    }
}
