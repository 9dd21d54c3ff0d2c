-- Fewer pages to write for a run. While it runs, it stands in the indexes of its status no more: it left them with its end,
-- each at a page of its own. Runs under way are few, and have an index that holds nothing else.
drop index runs_by_project_and_status;
create index runs_by_project_and_status on runs (project_id, status, id) where status <> 'running';
drop index runs_by_smith_and_status;
create index runs_by_smith_and_status on runs (smith_id, status, id) where status <> 'running';
drop index runs_unfinished;
create index runs_running on runs (project_id, id) where status = 'running';

-- On SQLite only:
-- Rows lie in the order of their key, instead of in a table that an index of the key leads into.
create table new_requests (
    run_id BLOB primary key references runs (id),
    request BLOB not null,
    config BLOB not null
) without rowid;
insert into new_requests select run_id, request, config from run_requests order by run_id;
drop table run_requests;
alter table new_requests rename to run_requests;

create table new_results (
    run_id BLOB primary key references runs (id),
    body BLOB not null
) without rowid;
insert into new_results select run_id, body from run_results order by run_id;
drop table run_results;
alter table new_results rename to run_results;

create table new_journal (
    run_id BLOB not null references runs (id),
    position BIGINT not null,
    kind TEXT not null,
    next_seq BIGINT not null,
    body BLOB not null,
    created_at BIGINT not null,
    primary key (run_id, position)
) without rowid;
insert into new_journal select run_id, position, kind, next_seq, body, created_at from run_journal
    order by run_id, position;
drop table run_journal;
alter table new_journal rename to run_journal;

create table new_frames (
    run_id BLOB not null references runs (id),
    seq_from BIGINT not null,
    seq_to BIGINT not null,
    body BLOB not null,
    created_at BIGINT not null,
    primary key (run_id, seq_from)
) without rowid;
insert into new_frames select run_id, seq_from, seq_to, body, created_at from run_frames order by run_id, seq_from;
drop table run_frames;
alter table new_frames rename to run_frames;
