-- Conversations: handles on threads of a smith. Its thread goes by the text of the conversation's id. What it is called and
-- what is noted of it is sealed with the smith's key; `version` rises with every change.
create table conversations (
    id BLOB primary key,
    project_id BLOB not null references projects (id),
    smith_id BLOB not null references smiths (id),
    title BLOB,
    metadata BLOB not null,
    version BIGINT not null,
    created_at BIGINT not null,
    updated_at BIGINT not null
);
create index conversations_by_smith on conversations (smith_id, id);
