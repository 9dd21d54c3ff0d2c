//! Reading approvals: one, lists, and those whose time is over.

use domain::Timestamp;
use domain::ids::{ApprovalId, Id as _, ProjectId, RunId, SmithId};

use super::{ApprovalRequest, DECISION, Decision, REQUEST};
use crate::db::{Row, Value, params};
use crate::{Error, ProjectStore, ServerStore};

const COLUMNS: &str = "approvals.id, approvals.run_id, approvals.smith_id, approvals.status, approvals.resolution, approvals.request, \
     approvals.decision, approvals.expires_at, approvals.created_at, approvals.resolved_at, smiths.data_key";

const TABLES: &str = "approvals join smiths on smiths.id = approvals.smith_id and smiths.erased_at is null";

/// An approval as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub id: ApprovalId,
    pub run: RunId,
    pub smith: SmithId,
    pub status: String,
    /// None where it cannot be read.
    pub request: Option<ApprovalRequest>,
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub edited_args: Option<serde_json::Map<String, serde_json::Value>>,
    pub expires_at: Timestamp,
    pub created_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// It was approved, and then rejected with its run before its call was made.
    pub was_withdrawn: bool,
}

/// Which approvals a list shows.
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter {
    pub smith: Option<SmithId>,
    pub status: Option<String>,
}

/// A question whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    pub approval: ApprovalId,
    pub run: RunId,
    pub project: ProjectId,
}

impl ProjectStore {
    /// Finds an approval of this project.
    pub async fn approval(&self, approval: ApprovalId) -> Result<Option<Approval>, Error> {
        let sql =
            format!("select {COLUMNS} from {TABLES} where approvals.id = $1 and approvals.project_id = $2");
        let row = self.store.db().read_one(&sql, params![approval, self.project]).await?;
        row.map(|row| self.shown_approval(&row)).transpose()
    }

    /// Lists approvals, newest first, those before `before` if given. Returns up to `limit` of them.
    pub async fn approvals(
        &self,
        filter: &ApprovalFilter,
        before: Option<ApprovalId>,
        limit: usize,
    ) -> Result<Vec<Approval>, Error> {
        // The databases cannot hold the character NUL, so nothing matches it.
        if filter.status.as_ref().is_some_and(|status| status.contains('\0')) {
            return Ok(Vec::new());
        }
        let mut conditions = vec!["approvals.project_id = $1".to_owned()];
        let mut values = params![self.project];
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(condition.replace('?', &format!("${}", values.len())));
        };
        if let Some(smith) = filter.smith {
            add("approvals.smith_id = ?", smith.into());
        }
        if let Some(status) = &filter.status {
            add("approvals.status = ?", status.into());
        }
        if let Some(before) = before {
            add("approvals.id < ?", before.into());
        }
        add("?", limit.into());
        let limit = conditions.pop().unwrap_or_default();
        let conditions = conditions.join(" and ");
        let sql = format!(
            "select {COLUMNS} from {TABLES} where {conditions} order by approvals.id desc limit {limit}"
        );
        let rows = self.store.db().read(&sql, values).await?;
        rows.iter().map(|row| self.shown_approval(row)).collect()
    }

    fn shown_approval(&self, row: &Row) -> Result<Approval, Error> {
        let id: ApprovalId = row.get(0)?;
        let smith: SmithId = row.get(2)?;
        let wrapped: Vec<u8> = row.get(10)?;
        let (request, decision): (Vec<u8>, Option<Vec<u8>>) = (row.get(5)?, row.get(6)?);
        let (place, has_decision) = (id.as_bytes(), decision.is_some());
        let opened = self.store.seal_of(smith, &wrapped).and_then(|seal| {
            let request: ApprovalRequest = seal.open(REQUEST, &place, &request)?;
            let decision =
                decision.map(|sealed| seal.open::<Decision>(DECISION, &place, &sealed)).transpose()?;
            Ok((request, decision.unwrap_or_default()))
        });
        // One that cannot be read must not hide the others.
        let opened = opened.inspect_err(|error| {
            tracing::error!(approval.id = %id, error = %error, "What is stored of an approval cannot be read.");
        });
        let (request, decision) =
            opened.map_or((None, Decision::default()), |(request, decision)| (Some(request), decision));
        let resolution: Option<String> = row.get(4)?;
        let was_withdrawn = resolution.is_some() && has_decision;
        // Whoever had approved it has not rejected it.
        let decision = if was_withdrawn { Decision::default() } else { decision };
        Ok(Approval {
            id,
            run: row.get(1)?,
            smith,
            status: row.get(3)?,
            request,
            actor: decision.actor,
            reason: decision.reason.or(resolution),
            edited_args: decision.edited_args,
            expires_at: row.get(7)?,
            created_at: row.get(8)?,
            resolved_at: row.get(9)?,
            was_withdrawn,
        })
    }
}

impl ServerStore {
    /// Lists open questions whose time was over at `now`, the oldest first.
    pub async fn expired_approvals(&self, now: Timestamp, limit: usize) -> Result<Vec<Expired>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select id, run_id, project_id from approvals where status = 'pending' and expires_at <= $1 \
                 order by expires_at limit $2",
                params![now, limit],
            )
            .await?;
        let expired =
            |row: &Row| Ok(Expired { approval: row.get(0)?, run: row.get(1)?, project: row.get(2)? });
        rows.iter().map(expired).collect()
    }
}
