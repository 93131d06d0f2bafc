create table organizations (
  id text primary key,
  name text not null,
  used_bytes integer not null default 0 check (used_bytes >= 0),
  created_at integer not null
) strict, without rowid;

create table projects (
  id text primary key,
  organization_id text not null references organizations (id),
  name text not null,
  created_at integer not null
) strict, without rowid;

-- Of a key only the SHA-256 is kept; keys carry 256 random bits, so nothing slower is needed.
create table api_keys (
  id text primary key,
  organization_id text not null references organizations (id),
  project_id text not null references projects (id),
  name text not null,
  digest text not null unique,
  created_at integer not null
) strict, without rowid;

-- sequence orders files of the same second; autoincrement never gives a number twice.
create table files (
  sequence integer primary key autoincrement,
  id text not null unique,
  organization_id text not null references organizations (id),
  project_id text not null references projects (id),
  purpose text not null,
  filename text not null,
  bytes integer not null check (bytes >= 0),
  sha256 text not null,
  encoding text not null check (encoding in ('utf-8', 'binary')),
  created_at integer not null,
  expires_at integer
) strict;

create index files_in_order on files (project_id, created_at, sequence);
create index files_of_purpose on files (project_id, purpose, created_at, sequence);
create index files_that_expire on files (expires_at) where expires_at is not null;

-- A file's content, in order. A blob stands here or in loose_blobs, never in both or neither.
create table segments (
  file_id text not null references files (id),
  position integer not null,
  blob_id text not null unique,
  bytes integer not null check (bytes >= 0),
  primary key (file_id, position)
) strict, without rowid;

-- From sweep_after on the sweep may take a blob; one with 0 is taken and cannot be held any more.
create table loose_blobs (
  blob_id text primary key,
  sweep_after integer not null
) strict, without rowid;

create index loose_blobs_to_sweep on loose_blobs (sweep_after);

-- Where a deleted file stood in the lists, so that a page can still begin after it for a while.
create table deleted_files (
  id text primary key,
  project_id text not null,
  created_at integer not null,
  sequence integer not null,
  deleted_at integer not null
) strict, without rowid;

create index deleted_files_by_age on deleted_files (deleted_at);
