//! Conversations: titled handles on threads of a smith, which can be listed.

mod change;
mod read;
#[cfg(test)]
mod tests;

use domain::ids::{ConversationId, SmithId};
use domain::{Problem, Timestamp};
use serde_json::{Map, Value};

use crate::Error;
use crate::codec::Place;

const TITLE: Place = Place::new("conversations", "title");
const METADATA: Place = Place::new("conversations", "metadata");

/// What is new about a conversation, or what it is to become.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversationEdit {
    /// None: it is named after its first turn.
    pub title: Option<String>,
    pub metadata: Map<String, Value>,
}

/// A conversation as it is shown. The text of its id is the name of its thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub id: ConversationId,
    pub smith: SmithId,
    pub title: Option<String>,
    pub metadata: Map<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// From which end a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

impl Order {
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::NewestFirst => "desc",
            Self::OldestFirst => "asc",
        }
    }

    /// How an entry compares with one that comes before it.
    pub(crate) const fn behind(self) -> &'static str {
        match self {
            Self::NewestFirst => "<",
            Self::OldestFirst => ">",
        }
    }
}

/// Why a conversation was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the smith has no such conversation")]
    NoConversation,
    /// The change itself is not right.
    #[error(transparent)]
    Refused(Problem),
    #[error(transparent)]
    Store(#[from] Error),
}
