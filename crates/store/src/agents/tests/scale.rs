//! A hundred thousand smiths on one agent: what is said of all of them is written once, and what is asked of them is found.

use super::*;
use crate::Dialect;
use crate::agents::records;
use crate::db::{Row, Value};
use crate::testing::{both, open};

const SMITHS: i64 = 100_000;
/// Enough that it matters how the newest of them is looked for.
const RUNS: i64 = 5_000;

/// Fills the agent with copies of a smith, which cannot be opened, but are there, and another agent with runs.
async fn fill(store: &Store, agent: AgentId, template: &SmithRecord, busy: AgentId) {
    let (numbers, id) = match store.db().dialect() {
        Dialect::Sqlite => (
            "with recursive numbers (number) as (select 1 union all select number + 1 from numbers where number < $2)",
            "unhex(printf('%032x', number))",
        ),
        Dialect::Postgres => (
            "with numbers (number) as (select generate_series(1, $2::bigint))",
            "decode(lpad(to_hex(number), 32, '0'), 'hex')",
        ),
    };
    let mut batch = crate::Batch::new();
    batch.exec(
        format!(
            "{numbers} insert into smiths (id, project_id, agent_id, data_key, profile, version, created_at, updated_at) \
             select {id}, smiths.project_id, smiths.agent_id, smiths.data_key, smiths.profile, 1, 1, 1 \
             from smiths cross join numbers where smiths.id = $1"
        ),
        params![template.id, SMITHS],
    );
    batch.exec(
        format!(
            "{numbers} insert into runs (id, project_id, smith_id, agent_id, thread_id, status, channel, model, fence, crashes, \
             next_seq, actor, created_at, updated_at, turn) \
             select {id}, smiths.project_id, smiths.id, $3, 't', 'completed', 'api', 'm', 1, 0, 1, '{{}}', 1, 1, number \
             from smiths cross join numbers where smiths.id = $1"
        ),
        params![template.id, RUNS, busy],
    );
    batch.exec(
        "update agent_smith_counts set smith_count = smith_count + $1 where agent_id = $2 and shard = 0",
        params![SMITHS, agent],
    );
    store.db().commit(batch).await.unwrap();
    store.db().script("analyze").await.unwrap();
}

/// What would differ if a smith had been written.
async fn state_of_smiths(store: &Store) -> Vec<Row> {
    let row_versions = match store.db().dialect() {
        Dialect::Sqlite => "0",
        Dialect::Postgres => "count(distinct xmin::text)",
    };
    let sql = format!(
        "select count(*), cast(sum(version) as BIGINT), max(updated_at), cast({row_versions} as BIGINT) from smiths"
    );
    store.db().read(&sql, params![]).await.unwrap()
}

async fn plan(store: &Store, sql: &str, values: Vec<Value>) -> String {
    let (explain, column) = match store.db().dialect() {
        Dialect::Sqlite => ("explain query plan", 3),
        Dialect::Postgres => ("explain", 0),
    };
    let rows = store.db().read(&format!("{explain} {sql}"), values).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(column).unwrap()).collect();
    lines.join("\n")
}

#[tokio::test]
async fn a_publish_and_a_rollout_write_no_smith() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let agent = published(&project, "one").await;
        let real = smith(&project, agent, Some("ana")).await;
        let busy = project.default_agent().await.unwrap().id;
        fill(&store, agent, &real, busy).await;
        let before = state_of_smiths(&store).await;
        let edit = |edit: &mut crate::agents::AgentEdit| {
            edit.draft = draft("two");
            Ok(())
        };
        project.change_agent(agent, edit).await.unwrap();
        project.publish_agent(agent, &Publication::default(), None).await.unwrap();
        for (version, share) in [(2, percent(10)), (2, percent(20)), (2, Percent::ALL), (1, Percent::ALL)] {
            project.roll_out(agent, version, share, None).await.unwrap();
        }
        project.roll_out(agent, 2, Percent::ALL, None).await.unwrap();
        assert_eq!(state_of_smiths(&store).await, before);
        assert_eq!(project.smith(real.id).await.unwrap().unwrap().base.instructions.as_deref(), Some("two"));
        assert_eq!(count(&project, agent).await, SMITHS as u64 + 1);
        assert!(project.archive_agent(agent).await.is_err());
        let activity = project.agents(None, 10).await.unwrap();
        let activity: Vec<_> = activity.iter().map(|record| record.last_activity_at.is_some()).collect();
        assert_eq!(activity, [false, true]);

        let record = records::select("id = $1 and project_id = $2 and archived_at is null");
        let list = records::select("project_id = $1 and archived_at is null and id < $2 order by id desc limit $3");
        let smiths = "select id from smiths where project_id = $1 and archived_at is null and agent_id = $2 and id < $3 \
            order by id desc limit $4";
        let last = params![project.id(), agent, 51_i64];
        let of_agent = params![project.id(), agent, real.id, 51_i64];
        for plan in [
            plan(&store, &record, params![agent, project.id()]).await,
            plan(&store, &list, last).await,
            plan(&store, smiths, of_agent).await,
        ] {
            assert!(!plan.contains("Seq Scan on smiths") && !plan.contains("SCAN smiths"), "{plan}");
            assert!(!plan.contains("Seq Scan on runs") && !plan.contains("SCAN runs"), "{plan}");
            if plan.contains("runs") {
                assert!(plan.contains("runs_by_agent"), "{plan}");
            } else {
                // Which index it is depends on how many smiths are of other agents; what matters is that it has the order.
                assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
            }
        }
    })
    .await;
}
