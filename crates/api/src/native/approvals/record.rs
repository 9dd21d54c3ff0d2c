//! An approval as the API shows it.

use serde::Serialize;
use serde_json::{Map, Value};
use store::approvals::{Approval, Elicited};
use utoipa::ToSchema;

/// A question that a human decides before a call of a tool goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalOut {
    id: String,
    #[schema(required)]
    run_id: Option<String>,
    #[schema(required)]
    smith_id: Option<String>,
    #[schema(required)]
    tool_call_id: Option<String>,
    #[schema(required)]
    tool: Option<String>,
    /// As the model wrote them.
    #[schema(value_type = Object)]
    args: Map<String, Value>,
    /// What the tool wants to know; null where the question is whether the call may be made.
    #[schema(required)]
    elicitation: Option<ElicitationOut>,
    /// `pending`, `approved` or `rejected`.
    status: String,
    #[schema(required)]
    actor: Option<String>,
    /// Why. `expired`, `run_cancelled` and `run_ended` where nobody decided.
    #[schema(required)]
    reason: Option<String>,
    /// The arguments that the call was made with, where whoever approved it changed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    edited_args: Option<Map<String, Value>>,
    /// When it counts as rejected.
    expires_at: String,
    #[schema(required)]
    created_at: Option<String>,
    #[schema(required)]
    resolved_at: Option<String>,
}

/// What a tool asks the person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApprovalElicitation)]
struct ElicitationOut {
    message: String,
    #[schema(value_type = Object)]
    requested_schema: Value,
}

impl From<Approval> for ApprovalOut {
    fn from(approval: Approval) -> Self {
        let request = approval.request;
        let elicitation = request.as_ref().and_then(|request| request.elicitation.clone());
        Self {
            id: approval.id.to_string(),
            run_id: Some(approval.run.to_string()),
            smith_id: Some(approval.smith.to_string()),
            tool_call_id: request.as_ref().map(|request| request.tool_call_id.clone()),
            tool: request.as_ref().map(|request| request.tool.clone()),
            args: request.map(|request| request.args).unwrap_or_default(),
            elicitation: elicitation
                .map(|Elicited { message, requested_schema }| ElicitationOut { message, requested_schema }),
            status: approval.status,
            actor: approval.actor,
            reason: approval.reason,
            edited_args: approval.edited_args,
            expires_at: approval.expires_at.to_string(),
            created_at: Some(approval.created_at.to_string()),
            resolved_at: approval.resolved_at.map(|at| at.to_string()),
        }
    }
}

/// A page of approvals, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the list envelope in the OpenAPI document")]
pub(super) struct ApprovalListOut {
    data: Vec<ApprovalOut>,
    #[schema(required)]
    next_cursor: Option<String>,
    has_more: bool,
}
