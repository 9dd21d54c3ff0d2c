-- That a smith was erased, or is being erased. It stays when the smith is gone, and says nothing of the person.
create table erasures (
    smith_id BLOB primary key,
    project_id BLOB not null references projects (id),
    -- Grows with every batch of the erasure, so that two processes at it do not do the same part twice.
    step BIGINT not null,
    requested_at BIGINT not null,
    -- When the data key was destroyed.
    erased_at BIGINT,
    finished_at BIGINT
);
create index erasures_unfinished on erasures (requested_at) where finished_at is null;

-- What erased smiths used, summed up by day: it leads back to nobody.
create table anonymous_usage (
    project_id BLOB not null references projects (id),
    day BIGINT not null,
    agent_id BLOB not null,
    model TEXT not null,
    runs BIGINT not null,
    input_tokens BIGINT not null,
    output_tokens BIGINT not null,
    cache_read_tokens BIGINT not null,
    cache_write_tokens BIGINT not null,
    reasoning_tokens BIGINT not null,
    primary key (project_id, day, agent_id, model)
);

-- Set when the data key is destroyed, until the row itself goes.
alter table smiths add column erased_at BIGINT;

-- Whose smith a kept answer is about. It goes with the smith.
alter table idempotency_keys add column smith_id BLOB references smiths (id);
create index idempotency_keys_by_smith on idempotency_keys (smith_id) where smith_id is not null;
update idempotency_keys set smith_id = (select runs.smith_id from runs where runs.id = idempotency_keys.run_id)
    where run_id is not null;
