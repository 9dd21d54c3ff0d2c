//! Words for where a run stands.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $text)] $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Where a run stands, as its record shows it.
    Status {
        Queued = "queued",
        Running = "running",
        PausedForApproval = "paused_for_approval",
        PausedForTool = "paused_for_tool",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

words! {
    /// Why a run stopped.
    StopReason {
        EndTurn = "end_turn",
        MaxTokens = "max_tokens",
        ContentFilter = "content_filter",
        ToolCalls = "tool_calls",
        ApprovalRejected = "approval_rejected",
    }
}

impl Status {
    /// Tells whether nothing more will happen to the run.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Tells whether the run waits for somebody outside.
    pub const fn is_paused(self) -> bool {
        matches!(self, Self::PausedForApproval | Self::PausedForTool)
    }
}
