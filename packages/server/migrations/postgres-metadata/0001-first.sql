-- As the tables of SQLite are after all of its migrations. Names and ids are compared byte by byte, as there.

create table organizations (
  id text collate "C" primary key,
  name text not null,
  used_bytes bigint not null default 0 check (used_bytes >= 0),
  created_at bigint not null
);

create table projects (
  id text collate "C" primary key,
  organization_id text collate "C" not null references organizations (id),
  name text not null,
  created_at bigint not null
);

-- Of a key only the SHA-256 is kept; keys carry 256 random bits, so nothing slower is needed.
create table api_keys (
  id text collate "C" primary key,
  organization_id text collate "C" not null references organizations (id),
  project_id text collate "C" not null references projects (id),
  name text not null,
  digest text collate "C" not null unique,
  created_at bigint not null
);

-- sequence orders files of the same second.
create table files (
  sequence bigint generated always as identity primary key,
  id text collate "C" not null unique,
  organization_id text collate "C" not null references organizations (id),
  project_id text collate "C" not null references projects (id),
  purpose text collate "C" not null,
  filename text not null,
  bytes bigint not null check (bytes >= 0),
  sha256 text not null,
  encoding text not null check (encoding in ('utf-8', 'binary')),
  created_at bigint not null,
  expires_at bigint,
  damaged_at bigint,
  mime_type text,
  num_lines bigint check (num_lines >= 0),
  tokens bigint check (tokens >= 0)
);

create index files_in_order on files (project_id, created_at, sequence);
create index files_of_purpose on files (project_id, purpose, created_at, sequence);
create index files_that_expire on files (expires_at) where expires_at is not null;

-- A file's content, in order. A blob stands here, among the parts or in loose_blobs, and never in two of them.
create table segments (
  file_id text collate "C" not null references files (id),
  position integer not null,
  blob_id text collate "C" not null,
  bytes bigint not null check (bytes >= 0),
  checksums bytea not null,
  primary key (file_id, position)
);

create index segments_by_blob on segments (blob_id);

-- From sweep_after on the sweep may take a blob; one with 0 is taken and cannot be held any more.
create table loose_blobs (
  blob_id text collate "C" primary key,
  sweep_after bigint not null,
  -- Who may be writing it; null where nobody is.
  server_id text collate "C"
);

create index loose_blobs_to_sweep on loose_blobs (sweep_after);
create index loose_blobs_of_server on loose_blobs (server_id) where server_id is not null;

-- Where a deleted file stood in the lists, so that a page can still begin after it for a while.
create table deleted_files (
  id text collate "C" primary key,
  project_id text collate "C" not null,
  created_at bigint not null,
  sequence bigint not null,
  deleted_at bigint not null
);

create index deleted_files_by_age on deleted_files (deleted_at);

-- Blobs that no row knew when the sweep looked at what there is.
create table orphans (
  blob_id text collate "C" primary key,
  seen_at bigint not null,
  quarantined_at bigint
);

-- One row: the same id and generation stand beside the bytes.
create table store (
  id text collate "C" primary key,
  generation bigint not null,
  restored_at bigint,
  -- Of the cluster these rows are in; another one after a fail-over or a restored backup.
  history text
);

-- The servers that run on these rows. Each says that it lives by counting its signs up.
create table servers (
  id text collate "C" primary key,
  signs bigint not null
);

-- A file to be, whose bytes come in parts. Its bytes are counted as used while it is pending; one that
-- is pending after expires_at has expired, and the sweep will say so.
create table uploads (
  id text collate "C" primary key,
  organization_id text collate "C" not null references organizations (id),
  project_id text collate "C" not null references projects (id),
  purpose text not null,
  filename text not null,
  mime_type text not null,
  bytes bigint not null check (bytes >= 0),
  -- Seconds from the creation of the file until it expires.
  lifetime bigint,
  created_at bigint not null,
  expires_at bigint not null,
  status text not null check (status in ('pending', 'completed', 'cancelled', 'expired')),
  -- Of a completed one: the file, and the JSON of the parts that it was made of.
  file_id text,
  part_ids text,
  -- The header Upload-Metadata, of one that a tus client has created.
  tus_metadata text,
  -- Of the parts that have come; to count them at each part would take the longer the more there are.
  arrived_bytes bigint not null default 0 check (arrived_bytes <= bytes),
  arrived_parts bigint not null default 0
);

-- The sweep looks for the first each minute, and for the others to forget them.
create index uploads_that_expire on uploads (expires_at) where status = 'pending';
create index uploads_that_ended on uploads (expires_at) where status <> 'pending';

-- The parts of pending uploads, in the order in which they came. Each holds a blob.
create table parts (
  sequence bigint generated always as identity primary key,
  id text collate "C" not null unique,
  upload_id text collate "C" not null references uploads (id),
  blob_id text collate "C" not null unique,
  bytes bigint not null check (bytes >= 0),
  sha256 text collate "C" not null,
  checksums bytea not null,
  encoding text not null,
  created_at bigint not null
);

create index parts_of_upload on parts (upload_id, sequence);
create index parts_by_content on parts (upload_id, sha256);
