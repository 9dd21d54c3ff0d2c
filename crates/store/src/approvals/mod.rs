//! Approvals: questions that humans decide before calls of tools go on. They change only with the run they belong to.

mod read;
#[cfg(test)]
mod tests;

use domain::Timestamp;
use domain::ids::{ApprovalId, Id as _, ProjectId, RunId, SmithId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use read::{Approval, ApprovalFilter, Expired};

use crate::codec::Place;
use crate::db::params;
use crate::runs::{Append, Standing};
use crate::{Batch, Error};

const REQUEST: Place = Place::new("approvals", "request");
const DECISION: Place = Place::new("approvals", "decision");

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    pub tool_call_id: String,
    pub tool: String,
    pub args: Map<String, Value>,
    /// What the tool wants to know; None where the question is whether the call may be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elicitation: Option<Elicited>,
}

/// A tool's question to the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elicited {
    pub message: String,
    pub requested_schema: Value,
}

/// What was decided, by whom and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub actor: Option<String>,
    pub reason: Option<String>,
    /// Arguments that the call is made with in place of the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_args: Option<Map<String, Value>>,
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalStatus {
    Pending,
    Approved,
    Rejected,
}

impl ApprovalStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// Why an approval was rejected though no human did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    Expired,
    RunCancelled,
    RunEnded,
}

impl Resolution {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::RunCancelled => "run_cancelled",
            Self::RunEnded => "run_ended",
        }
    }
}

/// A question that a run pauses for.
#[derive(Clone, Debug)]
pub struct NewApproval {
    pub id: ApprovalId,
    pub request: ApprovalRequest,
    pub expires_at: Timestamp,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub enum Decided {
    Approved(ApprovalId, Decision),
    Rejected(ApprovalId, Decision),
    Expired(ApprovalId),
}

/// What an append to a run changes in its approvals.
#[derive(Default)]
pub struct ApprovalChanges {
    pub project: Option<ProjectId>,
    pub smith: Option<SmithId>,
    pub asked: Vec<NewApproval>,
    pub decided: Option<Decided>,
    /// Set when the run ends: what is still open is rejected for this reason.
    pub closes: Option<Resolution>,
    /// What was approved, and is rejected with the open ones: its calls are not made any more.
    pub withdrawn: Vec<ApprovalId>,
}

impl ApprovalChanges {
    pub(crate) fn add_to(&self, batch: &mut Batch, append: &Append<'_>) -> Result<(), Error> {
        let (run, seal, at): (RunId, _, _) = (append.run, append.seal, append.at);
        for asked in &self.asked {
            let asked_for = batch.exec(
                "insert into approvals (id, project_id, smith_id, run_id, status, request, expires_at, created_at) \
                 values ($1, $2, $3, $4, 'pending', $5, $6, $7)",
                params![
                    asked.id,
                    self.project,
                    self.smith,
                    run,
                    seal.seal(REQUEST, &asked.id.as_bytes(), &asked.request)?,
                    asked.expires_at,
                    at
                ],
            );
            asked_for.independent();
        }
        if let Some(decided) = &self.decided {
            let (id, status, resolution, decision) = match decided {
                Decided::Approved(id, decision) => (*id, ApprovalStatus::Approved, None, Some(decision)),
                Decided::Rejected(id, decision) => (*id, ApprovalStatus::Rejected, None, Some(decision)),
                Decided::Expired(id) => (*id, ApprovalStatus::Rejected, Some(Resolution::Expired), None),
            };
            let decision =
                decision.map(|decision| seal.seal(DECISION, &id.as_bytes(), decision)).transpose()?;
            let settled = batch.exec(
                "update approvals set status = $2, resolution = $3, decision = $4, resolved_at = $5 \
                 where id = $1 and run_id = $6 and status = 'pending'",
                params![id, status.as_str(), resolution.map(Resolution::as_str), decision, at, run],
            );
            settled.independent();
        }
        if let Some(reason) = self.closes.filter(|_| matches!(append.standing, Standing::Ends(_))) {
            batch.exec(
                "update approvals set status = 'rejected', resolution = $2, resolved_at = $3 \
                 where run_id = $1 and status = 'pending'",
                params![run, reason.as_str(), at],
            );
            for withdrawn in &self.withdrawn {
                // The decision stays, and does not count any more: see `shown_approval`.
                batch.exec(
                    "update approvals set status = 'rejected', resolution = $2, resolved_at = $3 \
                     where id = $4 and run_id = $1 and status = 'approved'",
                    params![run, reason.as_str(), at, *withdrawn],
                );
            }
        }
        Ok(())
    }
}
