//! Who runs what: nodes and their beats, and orphans.
//!
//! A node is alive as long as its beat moves. Others watch the number, not a clock: a node is dead when its beat stood still
//! for the whole lease by the watcher's own stopwatch. Deleting its row with the beat that was seen is the verdict; a node
//! that wakes up finds its row gone, and its runs under a new fence.

use domain::ids::{ProjectId, RunId};

use super::NodeId;
use crate::db::{Row, params};
use crate::{Batch, Dialect, Error, ServerStore};

/// A run that this node has to run from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub run: RunId,
    pub project: ProjectId,
    /// The number that the right to the run rests on.
    pub fence: u64,
    /// In how many crashes in a row the run had part.
    pub crashes: u32,
}

/// An open run that nobody may go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived {
    pub run: RunId,
    pub project: ProjectId,
    pub with: ArchivedWith,
}

/// What a run was archived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchivedWith {
    Smith,
    Project,
}

const ALIVE: &str = "node_alive";
const VERDICT: &str = "node_verdict";

impl ServerStore {
    /// Registers this process as one that runs runs.
    pub async fn join(&self, node: NodeId) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.exec(
            "insert into nodes (id, beat, started_at) values ($1, 0, $2)",
            params![node, self.store.ids().now()],
        );
        self.store.db().commit(batch).await?;
        Ok(())
    }

    /// Shows that this process lives. Returns false when the others have given it up.
    pub async fn beat(&self, node: NodeId) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch
            .exec("update nodes set beat = beat + 1 where id = $1", params![node])
            .must_change_one_row(ALIVE);
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(ALIVE) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists all nodes but this one, with their beats.
    pub async fn other_nodes(&self, node: NodeId) -> Result<Vec<(NodeId, u64)>, Error> {
        let rows = self.store.db().read("select id, beat from nodes where id <> $1", params![node]).await?;
        let mut nodes = Vec::with_capacity(rows.len());
        for row in rows {
            let id: Vec<u8> = row.get(0)?;
            let id =
                id.as_slice().try_into().map_err(|_| crate::DbError::Corrupt("a node id has 16 bytes"))?;
            nodes.push((id, row.get(1)?));
        }
        Ok(nodes)
    }

    /// Declares a node dead whose beat stood still, and orphans its runs. Returns false when it moved after all.
    pub async fn bury(&self, node: NodeId, beat: u64) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch
            .exec("delete from nodes where id = $1 and beat = $2", params![node, beat])
            .must_change_one_row(VERDICT);
        batch.exec(
            "update runs set owner = null, fence = fence + 1, crashes = crashes + 1 where owner = $1 and status = 'running'",
            params![node],
        );
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(VERDICT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leaves the deployment in good order.
    pub async fn leave(&self, node: NodeId) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.exec("update runs set owner = null where owner = $1 and status = 'running'", params![node]);
        batch.exec("delete from nodes where id = $1", params![node]);
        self.store.db().commit(batch).await?;
        Ok(())
    }

    /// Tells whether another process can write to this database at all.
    pub fn shares_database(&self) -> bool {
        self.store.db().dialect() == Dialect::Postgres
    }

    /// Tells whether batches that are put aside are committed in the order in which they are sent: one writer takes them.
    pub fn commits_in_order(&self) -> bool {
        self.store.db().dialect() == Dialect::Sqlite
    }

    /// Takes over up to `limit` runs that nobody runs.
    pub async fn claim_orphans(&self, node: NodeId, limit: usize) -> Result<Vec<Claimed>, Error> {
        // A node that was buried may have stored a run before it noticed: an owner without a row is none.
        let nobody = "(owner is null or not exists (select 1 from nodes where nodes.id = runs.owner))";
        // In the order of the index of what runs: in that of the key, SQLite goes through all runs that there ever were.
        let orphans = format!(
            "select id from runs where status = 'running' and {nobody} order by project_id, id limit $2"
        );
        let skip = self.store.db().dialect().skip_locked();
        let mut batch = Batch::new();
        batch.exec(
            format!(
                "update runs set owner = $1, fence = fence + 1 where id in ({orphans}{skip}) and {nobody} \
                 returning id, project_id, fence, crashes"
            ),
            params![node, limit],
        );
        let outcome = self.store.db().commit(batch).await?;
        let claimed = |row: &Row| {
            Ok(Claimed { run: row.get(0)?, project: row.get(1)?, fence: row.get(2)?, crashes: row.get(3)? })
        };
        outcome.rows(0).iter().map(claimed).collect()
    }

    /// Takes a run that has not ended away from whoever runs it, wherever it stands. Returns the new number, None when it has ended.
    ///
    /// Nothing is appended from here on, so whoever took it can write behind what is stored without a race.
    pub async fn take_run(&self, run: RunId, node: NodeId) -> Result<Option<u64>, Error> {
        let mut batch = Batch::new();
        batch.exec(
            "update runs set owner = $2, fence = fence + 1 \
             where id = $1 and status not in ('completed', 'failed', 'cancelled') returning fence",
            params![run, node],
        );
        let outcome = self.store.db().commit(batch).await?;
        Ok(outcome.rows(0).first().map(|row| row.get(0)).transpose()?)
    }

    /// Lists the running runs of a node.
    pub async fn runs_of_node(&self, node: NodeId) -> Result<Vec<(RunId, u64)>, Error> {
        let rows = self
            .store
            .db()
            .read("select id, fence from runs where owner = $1 and status = 'running'", params![node])
            .await?;
        Ok(rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_, crate::DbError>>()?)
    }

    /// Finds open runs of what was archived. Those of a smith are cancelled by whoever archives it, and are here where that one died.
    pub async fn runs_of_the_archived(&self, limit: usize) -> Result<Vec<Archived>, Error> {
        // There is an index of each of the two, and none of all that are open.
        let open = ["in ('running', 'paused_for_approval', 'paused_for_tool')", "= 'queued'"];
        let of = |open: &str| {
            format!(
                "select runs.id, runs.project_id, smiths.archived_at is not null from runs \
                 join smiths on smiths.id = runs.smith_id join projects on projects.id = runs.project_id \
                 where runs.status {open} and (smiths.archived_at is not null or projects.archived_at is not null)"
            )
        };
        let sql = format!("{} limit $1", open.map(of).join(" union all "));
        let rows = self.store.db().read(&sql, params![limit]).await?;
        let archived = |row: &Row| {
            let with = if row.get(2)? { ArchivedWith::Smith } else { ArchivedWith::Project };
            Ok(Archived { run: row.get(0)?, project: row.get(1)?, with })
        };
        Ok(rows.iter().map(archived).collect::<Result<_, crate::DbError>>()?)
    }
}
