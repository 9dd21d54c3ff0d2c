-- Counts the changes of an agent, so that none is lost.
alter table agents add column revision BIGINT not null default 1;
create unique index agents_by_live_slug on agents (project_id, slug) where archived_at is null and slug is not null;
create index agents_by_project on agents (project_id, id) where archived_at is null;

-- How many live smiths an agent has. Several rows an agent, so that smiths that are made at the same moment seldom wait for one
-- another; only their sum means something. Live agents have all their rows, archived ones none.
create table agent_smith_counts (
    agent_id BLOB not null references agents (id),
    shard BIGINT not null,
    smith_count BIGINT not null,
    primary key (agent_id, shard)
);

with recursive shards (shard) as (select 0 union all select shard + 1 from shards where shard < 15)
insert into agent_smith_counts (agent_id, shard, smith_count)
select agents.id, shards.shard, 0 from agents cross join shards where agents.archived_at is null;

update agent_smith_counts set smith_count =
    (select count(*) from smiths where smiths.agent_id = agent_smith_counts.agent_id and smiths.archived_at is null)
where shard = 0;
