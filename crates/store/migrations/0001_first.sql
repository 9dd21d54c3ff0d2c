create table server_values (
    name TEXT primary key,
    value TEXT not null
);

create table organizations (
    id BLOB primary key,
    name TEXT not null,
    created_at BIGINT not null
);

create table projects (
    id BLOB primary key,
    organization_id BLOB not null references organizations (id),
    name TEXT not null,
    metadata TEXT not null,
    created_at BIGINT not null,
    archived_at BIGINT
);
create unique index projects_by_live_name on projects (organization_id, name) where archived_at is null;
create index projects_by_organization on projects (organization_id, id);

create table signing_keys (
    kid TEXT primary key,
    sealed_key BLOB not null,
    created_at BIGINT not null
);

-- Handles are never kept: only a hash that tells whether a presented one is the one that was minted.
create table tokens (
    id BLOB primary key,
    kind TEXT not null,
    organization_id BLOB not null references organizations (id),
    project_id BLOB references projects (id),
    smith_id BLOB,
    name TEXT,
    scopes TEXT not null,
    hash BLOB not null,
    created_at BIGINT not null,
    expires_at BIGINT,
    revoked_at BIGINT
);
create index tokens_by_project on tokens (project_id, id);
create index tokens_by_organization on tokens (organization_id, kind, id);
create index tokens_by_smith on tokens (smith_id);

create table agents (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    slug TEXT,
    name TEXT not null,
    is_default BIGINT not null,
    draft TEXT not null,
    active_version BIGINT,
    rollout_version BIGINT,
    rollout_percent BIGINT not null,
    created_at BIGINT not null,
    updated_at BIGINT not null,
    archived_at BIGINT
);
create unique index agents_default on agents (project_id) where is_default = 1;

create table agent_versions (
    agent_id BLOB not null references agents (id),
    version BIGINT not null,
    snapshot TEXT not null,
    created_by TEXT,
    note TEXT,
    created_at BIGINT not null,
    primary key (agent_id, version)
);

-- What is personal is sealed in `profile`; `external_id` is clear because it is looked up and filtered by prefix.
create table smiths (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    agent_id BLOB not null references agents (id),
    external_id TEXT,
    customer_id BLOB,
    pin BIGINT,
    data_key BLOB not null,
    profile BLOB not null,
    version BIGINT not null,
    created_at BIGINT not null,
    updated_at BIGINT not null,
    archived_at BIGINT
);
create unique index smiths_by_live_pair on smiths (project_id, agent_id, external_id)
    where archived_at is null and external_id is not null;
create index smiths_by_project on smiths (project_id, id) where archived_at is null;
create index smiths_by_external_id on smiths (project_id, external_id, id) where archived_at is null;
create index smiths_by_agent on smiths (agent_id, id) where archived_at is null;
create index smiths_by_customer on smiths (customer_id, id) where archived_at is null and customer_id is not null;

create table model_keys (
    project_id BLOB not null references projects (id),
    owner_id BLOB not null,
    provider TEXT not null,
    sealed_key BLOB not null,
    base_url TEXT,
    updated_at BIGINT not null,
    primary key (owner_id, provider)
);

create table idempotency_keys (
    scope BLOB primary key,
    fingerprint BLOB not null,
    run_id BLOB,
    status BIGINT,
    sealed_body BLOB,
    created_at BIGINT not null
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- A process that runs runs. One whose beat stands still is taken for dead by the others.
create table nodes (
    id BLOB primary key,
    beat BIGINT not null,
    started_at BIGINT not null
);

create table runs (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    smith_id BLOB not null references smiths (id),
    agent_id BLOB not null,
    agent_version BIGINT,
    thread_id TEXT not null,
    status TEXT not null,
    channel TEXT not null,
    model TEXT not null,
    owner BLOB,
    fence BIGINT not null,
    crashes BIGINT not null,
    next_seq BIGINT not null,
    stop_reason TEXT,
    error_code TEXT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    reasoning_tokens BIGINT,
    actor TEXT not null,
    created_at BIGINT not null,
    updated_at BIGINT not null
);
create index runs_by_project on runs (project_id, id);
create index runs_by_project_and_status on runs (project_id, status, id);
create index runs_by_agent on runs (project_id, agent_id, id);
create index runs_by_smith on runs (smith_id, id);
create index runs_by_smith_and_status on runs (smith_id, status, id);
create index runs_by_thread on runs (smith_id, thread_id, id);
-- One writer per thread: the database itself keeps a second one out.
create unique index runs_one_active on runs (smith_id, thread_id)
    where status in ('running', 'paused_for_approval', 'paused_for_tool');
create index runs_queued on runs (smith_id, thread_id, id) where status = 'queued';
create index runs_unfinished on runs (owner, id) where status = 'running';
create index runs_poisoned on runs (id) where error_code = 'resume_failed';

-- What was asked and with which configuration. Apart from `runs`, whose rows change with every commit.
create table run_requests (
    run_id BLOB primary key references runs (id),
    request BLOB not null,
    config BLOB not null
);

create table run_results (
    run_id BLOB primary key references runs (id),
    body BLOB not null
);

create table run_journal (
    run_id BLOB not null references runs (id),
    position BIGINT not null,
    kind TEXT not null,
    next_seq BIGINT not null,
    body BLOB not null,
    created_at BIGINT not null,
    primary key (run_id, position)
);

-- What one run added to one commit is one row.
create table run_frames (
    run_id BLOB not null references runs (id),
    seq_from BIGINT not null,
    seq_to BIGINT not null,
    body BLOB not null,
    created_at BIGINT not null,
    primary key (run_id, seq_from)
);

create table files (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    smith_id BLOB references smiths (id),
    size BIGINT not null,
    description BLOB not null,
    content BLOB not null,
    created_at BIGINT not null
);
create index files_by_smith on files (smith_id, id);
