-- Of the blocks of a blob; none for those that were written before there were checksums.
alter table segments add column checksums blob not null default x'';

-- When a reader found that the content is not what was stored.
alter table files add column damaged_at integer;

-- Blobs that no row knew when the sweep looked at what there is: see promises of docs/reliability.md.
create table orphans (
  blob_id text primary key,
  seen_at integer not null,
  quarantined_at integer
) strict, without rowid;

-- One row: the same id and generation stand beside the bytes.
create table store (
  id text primary key,
  generation integer not null,
  restored_at integer
) strict, without rowid;
