-- The place of a run on its thread, counted from 1. The database numbers the runs as they are stored, so that their order
-- does not depend on the clocks of those who store them.
alter table runs add column turn BIGINT not null default 0;
update runs set turn = numbered.turn
    from (select id, row_number() over (partition by smith_id, thread_id order by id) as turn from runs) as numbered
    where numbered.id = runs.id;
drop index runs_by_thread;
create unique index runs_by_turn on runs (smith_id, thread_id, turn);
drop index runs_queued;
create index runs_queued on runs (smith_id, thread_id, turn) where status = 'queued';
