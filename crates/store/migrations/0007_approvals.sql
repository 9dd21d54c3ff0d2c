-- Questions that humans decide before calls of tools go on. What is asked and what was decided is sealed with the smith's key.
create table approvals (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    smith_id BLOB not null references smiths (id),
    run_id BLOB not null references runs (id),
    status TEXT not null,
    -- Why it was rejected where no human did it: `expired`, `run_cancelled`, `run_ended`.
    resolution TEXT,
    request BLOB not null,
    decision BLOB,
    expires_at BIGINT not null,
    created_at BIGINT not null,
    resolved_at BIGINT
);
create index approvals_by_project on approvals (project_id, id);
create index approvals_by_project_and_status on approvals (project_id, status, id);
create index approvals_by_smith on approvals (smith_id, id);
create index approvals_by_run on approvals (run_id) where status = 'pending';
create index approvals_pending on approvals (expires_at) where status = 'pending';
