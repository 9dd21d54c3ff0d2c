//! Tools as the rules see them: what they may do, who carries them out, and when a human must agree first.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;

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
