-- Tools of a project's own. Addresses are sealed, because their query may hold a secret, and so is the secret that signs calls.
-- `version` rises with every registration under the name.
create table project_tools (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    name TEXT not null,
    description TEXT not null,
    input_schema TEXT not null,
    execution TEXT not null,
    sealed_url BLOB,
    sealed_secret BLOB,
    always_asks BIGINT not null,
    on_reject TEXT not null,
    annotations TEXT not null,
    timeout_seconds BIGINT not null,
    version BIGINT not null,
    last_call_error TEXT,
    last_call_error_at BIGINT,
    created_at BIGINT not null,
    updated_at BIGINT not null
);
create unique index project_tools_by_name on project_tools (project_id, name);
create index project_tools_by_id on project_tools (project_id, id);

-- MCP servers of a project, each with the list of tools that it gave last. `version` rises with every registration under the
-- name, `manifest_version` with every list that is kept.
create table mcp_servers (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    name TEXT not null,
    sealed_url BLOB not null,
    auth TEXT not null,
    sealed_secret BLOB,
    catalog_slug TEXT,
    allowlist TEXT,
    approval_policy TEXT not null,
    version BIGINT not null,
    manifest TEXT,
    manifest_version BIGINT not null,
    refreshed_at BIGINT,
    discovery_error TEXT,
    last_call_error TEXT,
    last_call_error_at BIGINT,
    created_at BIGINT not null
);
create unique index mcp_servers_by_name on mcp_servers (project_id, name);
create index mcp_servers_by_id on mcp_servers (project_id, id);
