//! The frames of a run: what a client sees while the run happens. One log per run, numbered from 0.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{RunId, SmithId};
use crate::problems::Code;
use crate::usage::Usage;

/// Something the answer had to do without; the run completes all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub code: String,
    pub message: String,
}

/// One event of a run's log. The fields are exactly those of the wire, in their order there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data")]
pub enum Frame {
    #[serde(rename = "run.started")]
    Started { smith_id: SmithId, thread_id: String },
    #[serde(rename = "message.delta")]
    Delta { delta: String },
    #[serde(rename = "message.completed")]
    MessageCompleted {
        content: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
    },
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
    /// After a crash the cut model call is made again. Deltas with a seq above `discard_after` and below this frame's are void.
    #[serde(rename = "run.resumed")]
    Resumed { attempt: u32, discard_after: u64 },
}

impl Frame {
    pub const fn event(&self) -> &'static str {
        match self {
            Self::Started { .. } => "run.started",
            Self::Delta { .. } => "message.delta",
            Self::MessageCompleted { .. } => "message.completed",
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
        let mut payload = serde_json::Map::new();
        payload.insert("v".to_owned(), Value::from(1));
        payload.insert("run_id".to_owned(), Value::from(run.to_string()));
        if let Ok(Value::Object(mut tagged)) = serde_json::to_value(self)
            && let Some(Value::Object(fields)) = tagged.remove("data")
        {
            payload.extend(fields);
        }
        Value::Object(payload)
    }

    /// Appends the frame as a server-sent event. LF only, one `data:` line, ended by a blank line.
    pub fn encode(&self, run: RunId, seq: u64, into: &mut Vec<u8>) {
        into.extend_from_slice(
            format!("id: {seq}\nevent: {}\ndata: {}\n\n", self.event(), self.payload(run)).as_bytes(),
        );
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
