-- When the files of the database were cleared of what the erasure has deleted, as far as the engine can.
alter table erasures add column scrubbed_at BIGINT;
update erasures set scrubbed_at = finished_at;
create index erasures_to_scrub on erasures (smith_id) where finished_at is not null and scrubbed_at is null;

-- What a smith's token is called, sealed with the smith's key. Names from before stay in `name`, with those of other tokens.
alter table tokens add column sealed_name BLOB;
