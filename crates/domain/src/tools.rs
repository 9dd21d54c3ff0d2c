//! Tools as the rules see them: what they may do, who carries them out, and when a human must agree first.

mod approval;
mod identity;
pub mod presets;
mod request;
mod servers;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::problems::{Code, Problem};

pub use approval::ApprovalRule;
pub use identity::Identity;
pub use request::{Consent, RequestServer, ToolFilter};
pub use servers::{AuthKind, ClientMode, McpAuth, McpServer, McpStatus};

/// How many tools of its own a project may register.
pub const MOST_PROJECT_TOOLS: usize = 500;
/// How many MCP servers a project may register.
pub const MOST_MCP_SERVERS: usize = 100;
/// How many characters an error that is kept with a registration may have.
const LONGEST_ERROR: usize = 500;

/// Tells whether a text can name a tool of a project's own or an MCP server: 1 to 64 letters, digits, `_` and `-`.
///
/// Such a name can be told to every model, and be part of a longer one where names collide.
pub fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Refuses a name that cannot be registered.
pub fn check_name(text: &str) -> Result<(), Problem> {
    if is_name(text) {
        return Ok(());
    }
    let message = "The name must have 1 to 64 characters of `a-z`, `A-Z`, `0-9`, `_` and `-`.";
    Err(Problem::new(Code::InvalidName, message).at("name"))
}

/// Makes an error fit to be kept and shown: in one line, without characters that a database or a terminal stumbles over.
pub fn tidy_error(message: &str) -> String {
    let shown = message.chars().map(|character| if character.is_control() { ' ' } else { character });
    shown.take(LONGEST_ERROR).collect()
}

/// What a tool says of itself: MCP's hints, with MCP's meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// It changes nothing.
    pub read_only: bool,
    /// Calling it again with the same arguments changes nothing more.
    pub idempotent: bool,
    /// It may destroy something. Only when it says so: MCP's default is not taken for a statement.
    pub destructive: bool,
}

impl Annotations {
    /// Tells whether a call whose outcome is unknown may be made again.
    pub const fn is_repeatable(self) -> bool {
        self.read_only || self.idempotent
    }
}

/// What becomes of the run when a human rejects a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// The run ends.
    #[default]
    End,
    /// The model is told, and goes on.
    Continue,
}

impl OnReject {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Continue => "continue",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::End, Self::Continue].into_iter().find(|known| known.as_str() == text)
    }
}

/// That a human must agree before a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    pub on_reject: OnReject,
    pub expires_in_seconds: u32,
}

impl Gate {
    /// How long a human may take where nobody said otherwise: a day.
    pub const EXPIRES_IN_SECONDS: u32 = 86_400;
}

impl Default for Gate {
    fn default() -> Self {
        Self { on_reject: OnReject::End, expires_in_seconds: Self::EXPIRES_IN_SECONDS }
    }
}

/// Who carries out a tool of a project's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// This server calls the project's address.
    Webhook,
    /// Whoever called the run: it pauses until the result is submitted.
    External,
}

impl Execution {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::External => "external",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Webhook, Self::External].into_iter().find(|known| known.as_str() == text)
    }
}

/// A tool of a project's own, as it was registered.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectTool {
    pub name: String,
    pub description: String,
    /// The JSON Schema of the arguments, verbatim.
    pub input_schema: Value,
    pub execution: Execution,
    /// Where a webhook tool is called. None for external tools.
    pub url: Option<String>,
    /// Whether each call needs a human's consent, whatever the annotations say.
    pub always_asks: bool,
    pub on_reject: OnReject,
    pub annotations: Annotations,
    pub timeout_seconds: u32,
    pub last_call_error: Option<CallError>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl ProjectTool {
    /// Returns what stands before a call of the tool.
    pub fn gate(&self) -> Option<Gate> {
        let is_gated = self.always_asks || self.annotations.destructive;
        is_gated.then(|| Gate { on_reject: self.on_reject, ..Gate::default() })
    }
}

/// What went wrong when a tool was called last, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    pub message: String,
    pub at: Timestamp,
}

/// What an MCP server offers, as it said when it was asked last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub tools: Vec<ManifestTool>,
    /// The revision of the protocol that the server speaks, such as `2026-07-28`.
    pub protocol: String,
    /// For how many milliseconds the server lets its list be kept. None: it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestTool {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub input_schema: Value,
    #[serde(default)]
    pub annotations: Annotations,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["a", "list_orders", "list-orders", "A9", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a.b", "a/b", "ä", "a\0", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
            assert_eq!(check_name(bad).unwrap_err().code, Code::InvalidName);
        }
    }

    #[test]
    fn an_error_is_kept_in_one_short_line() {
        assert_eq!(tidy_error("a\nb\0c"), "a b c");
        assert_eq!(tidy_error(&"ä".repeat(900)).chars().count(), LONGEST_ERROR);
    }

    #[test]
    fn a_tool_that_may_destroy_something_asks_whatever_else_is_said() {
        let mut tool = ProjectTool {
            name: "void".into(),
            description: "Voids an order.".into(),
            input_schema: Value::Null,
            execution: Execution::External,
            url: None,
            always_asks: false,
            on_reject: OnReject::Continue,
            annotations: Annotations::default(),
            timeout_seconds: 30,
            last_call_error: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        assert_eq!(tool.gate(), None);
        tool.annotations.destructive = true;
        let gate = Gate { on_reject: OnReject::Continue, expires_in_seconds: 86_400 };
        assert_eq!(tool.gate(), Some(gate));
        tool.annotations.destructive = false;
        tool.always_asks = true;
        assert_eq!(tool.gate(), Some(gate));
    }
}
