-- What a smith's own configuration was after each change. The body is sealed with the smith's key.
create table smith_revisions (
    smith_id BLOB not null references smiths (id),
    number BIGINT not null,
    body BLOB not null,
    actor TEXT,
    created_at BIGINT not null,
    primary key (smith_id, number)
);

-- The HTML of UI templates, once per project and content. Drafts and versions of agents name it by its hash.
-- `released_at` is when a draft let go of it last: from then on it may turn out that nothing names it any more.
create table ui_contents (
    project_id BLOB not null references projects (id),
    hash TEXT not null,
    content BLOB not null,
    released_at BIGINT,
    created_at BIGINT not null,
    primary key (project_id, hash)
);
create index ui_contents_released on ui_contents (project_id, released_at) where released_at is not null;
