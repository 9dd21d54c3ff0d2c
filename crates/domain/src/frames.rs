//! The frames of a run: what a client sees while the run happens. One log per run, numbered from 0.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{ApprovalId, RunId, SmithId};
use crate::one_line;
use crate::problems::Code;
use crate::run::Elicitation;
use crate::usage::Usage;

/// Something the answer had to do without; the run completes all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub code: String,
    pub message: String,
}

/// What a paused run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// Decisions, and perhaps results.
    Approval,
    /// Results of calls that are carried out elsewhere.
    Tool,
}

/// A call that a paused run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCall {
    pub tool_call_id: String,
    pub tool: String,
    pub args: Map<String, Value>,
    /// None: the call's result is awaited, not a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elicitation: Option<ElicitationFrame>,
}

/// What a tool asks the person, as frames show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElicitationFrame {
    pub key: String,
    pub message: String,
    pub requested_schema: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_state: Option<String>,
}

impl ElicitationFrame {
    pub fn new(elicitation: &Elicitation, request_state: Option<String>) -> Self {
        Self {
            key: elicitation.key.clone(),
            message: elicitation.message.clone(),
            requested_schema: elicitation.requested_schema.clone(),
            request_state,
        }
    }
}

/// One event of a run's log. The fields are exactly those of the wire, in their order there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data")]
pub enum Frame {
    #[serde(rename = "run.started")]
    Started { smith_id: SmithId, thread_id: String },
    #[serde(rename = "message.delta")]
    Delta { delta: String },
    /// What the model lets be seen of its thinking. It is no part of the answer.
    #[serde(rename = "reasoning.delta")]
    Reasoning { delta: String },
    #[serde(rename = "message.completed")]
    MessageCompleted {
        content: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
    },
    /// A call that this server carries out begins.
    #[serde(rename = "tool.executing")]
    ToolExecuting { tool: String, tool_call_id: String },
    #[serde(rename = "tool.completed")]
    ToolCompleted { tool: String, tool_call_id: String, is_error: bool },
    /// A human has to decide. One for each question.
    #[serde(rename = "approval.required")]
    ApprovalRequired {
        approval_id: ApprovalId,
        tool: String,
        tool_call_id: String,
        args: Map<String, Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        elicitation: Option<Box<ElicitationFrame>>,
        expires_at: String,
    },
    #[serde(rename = "run.paused")]
    Paused { reason: PauseReason, tool_calls: Vec<PendingCall> },
    #[serde(rename = "run.completed")]
    Completed {
        stop_reason: String,
        usage: Option<Usage>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Warning>,
    },
    #[serde(rename = "run.failed")]
    Failed { error: String, code: Code },
    #[serde(rename = "run.cancelled")]
    Cancelled {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// After a crash the cut model call is made again. Deltas of both kinds with a seq above `discard_after` and below this frame's are void.
    #[serde(rename = "run.resumed")]
    Resumed { attempt: u32, discard_after: u64 },
}

impl Frame {
    pub const fn event(&self) -> &'static str {
        match self {
            Self::Started { .. } => "run.started",
            Self::Delta { .. } => "message.delta",
            Self::Reasoning { .. } => "reasoning.delta",
            Self::MessageCompleted { .. } => "message.completed",
            Self::ToolExecuting { .. } => "tool.executing",
            Self::ToolCompleted { .. } => "tool.completed",
            Self::ApprovalRequired { .. } => "approval.required",
            Self::Paused { .. } => "run.paused",
            Self::Completed { .. } => "run.completed",
            Self::Failed { .. } => "run.failed",
            Self::Cancelled { .. } => "run.cancelled",
            Self::Resumed { .. } => "run.resumed",
        }
    }

    /// Tells whether nothing may follow this frame.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. })
    }

    /// Returns the payload of the wire: `v`, `run_id` and the frame's own fields side by side.
    pub fn payload(&self, run: RunId) -> Value {
        let mut payload = Map::new();
        payload.insert("v".to_owned(), Value::from(1));
        payload.insert("run_id".to_owned(), Value::from(run.to_string()));
        if let Ok(Value::Object(mut tagged)) = serde_json::to_value(self)
            && let Some(Value::Object(fields)) = tagged.remove("data")
        {
            payload.extend(fields);
        }
        Value::Object(payload)
    }

    /// Appends the frame as a server-sent event. LF only, one `data:` line to every reader, ended by a blank line.
    pub fn encode(&self, run: RunId, seq: u64, into: &mut Vec<u8>) {
        into.extend_from_slice(format!("id: {seq}\nevent: {}\ndata: ", self.event()).as_bytes());
        one_line::write(&self.payload(run), into);
        into.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Id as _;

    #[test]
    fn a_frame_is_one_event_with_one_line_of_json() {
        let run = RunId::from_bytes([0; 16]);
        let mut text = Vec::new();
        Frame::Delta { delta: "Hi\r\nthere".into() }.encode(run, 3, &mut text);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "id: 3\nevent: message.delta\ndata: {\"v\":1,\"run_id\":\"run_1111111111111111111111\",\"delta\":\"Hi\\r\\nthere\"}\n\n"
        );
    }

    #[test]
    fn what_is_absent_is_left_out_and_usage_is_always_there() {
        let run = RunId::from_bytes([0; 16]);
        let payload =
            Frame::Completed { stop_reason: "end_turn".into(), usage: None, warnings: vec![] }.payload(run);
        assert_eq!(
            payload.to_string(),
            r#"{"v":1,"run_id":"run_1111111111111111111111","stop_reason":"end_turn","usage":null}"#
        );
        let payload = Frame::Cancelled { reason: None }.payload(run);
        assert_eq!(payload.as_object().unwrap().len(), 2);
    }

    #[test]
    fn a_frame_survives_its_stored_form() {
        let frame = Frame::Failed { error: "no".into(), code: Code::ModelRequestFailed };
        let stored = serde_json::to_string(&frame).unwrap();
        assert_eq!(serde_json::from_str::<Frame>(&stored).unwrap(), frame);
    }
}
