//! How many live smiths an agent has, kept with every smith that comes or goes.
//!
//! The rows stand for the life of the agent, too: whoever adds a smith holds one of them until the batch is kept, and whoever
//! archives the agent takes all of them away first. So one of the two sees the other, which reading alone could not promise.

use domain::ids::{AgentId, Id as _, SmithId};

use crate::Batch;
use crate::db::params;

/// The guard that fails when the agent that is to have a smith is archived.
pub(crate) const GONE: &str = "agent_gone";

/// Rows of an agent. The migration that made the table says the same number.
const SHARDS: u8 = 16;

/// Makes the rows of a new agent.
pub(super) fn open(batch: &mut Batch, agent: AgentId) {
    batch.exec(
        "with recursive shards (shard) as (select 0 union all select shard + 1 from shards where shard < $2) \
         insert into agent_smith_counts (agent_id, shard, smith_count) select $1, shard, 0 from shards",
        params![agent, i64::from(SHARDS) - 1],
    );
}

/// Takes the rows of an agent away. Waits for all that are adding a smith, and keeps out whoever comes later.
pub(super) fn close(batch: &mut Batch, agent: AgentId) {
    batch.exec("delete from agent_smith_counts where agent_id = $1", params![agent]);
}

/// Returns which row of its agent counts a smith.
pub(super) fn shard(smith: SmithId) -> u8 {
    let [.., last] = smith.as_bytes();
    last % SHARDS
}

/// Counts a smith that the agent has from now on.
pub(crate) fn add(batch: &mut Batch, agent: AgentId, smith: SmithId) {
    change(batch, agent, shard(smith), 1);
}

/// Counts a smith that has left one agent for another. Rows are locked in one order, whoever moves where.
pub(crate) fn move_one(batch: &mut Batch, from: AgentId, to: AgentId, smith: SmithId) {
    let mut changes = [(from, -1), (to, 1)];
    changes.sort_unstable();
    for (agent, difference) in changes {
        change(batch, agent, shard(smith), difference);
    }
}

/// Counts out a smith that is archived in the same batch, before this.
pub(crate) fn remove(batch: &mut Batch, smith: SmithId) {
    batch.exec(
        "update agent_smith_counts set smith_count = smith_count - 1 \
         where agent_id = (select agent_id from smiths where id = $1) and shard = $2",
        params![smith, i64::from(shard(smith))],
    );
}

pub(super) fn change(batch: &mut Batch, agent: AgentId, shard: u8, difference: i64) {
    batch
        .exec(
            "update agent_smith_counts set smith_count = smith_count + $1 where agent_id = $2 and shard = $3",
            params![difference, agent, i64::from(shard)],
        )
        .must_change_one_row(GONE);
}
