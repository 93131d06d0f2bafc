-- A file to be, whose bytes come in parts. Its bytes are counted as used while it is pending; one that
-- is pending after expires_at has expired, and the sweep will say so.
create table uploads (
  id text primary key,
  organization_id text not null references organizations (id),
  project_id text not null references projects (id),
  purpose text not null,
  filename text not null,
  mime_type text not null,
  bytes integer not null check (bytes >= 0),
  -- Seconds from the creation of the file until it expires.
  lifetime integer,
  created_at integer not null,
  expires_at integer not null,
  status text not null check (status in ('pending', 'completed', 'cancelled', 'expired')),
  -- Of a completed one: the file, and the JSON of the parts that it was made of.
  file_id text,
  part_ids text,
  -- The header Upload-Metadata, of one that a tus client has created.
  tus_metadata text,
  -- Of the parts that have come; to count them at each part would take the longer the more there are.
  arrived_bytes integer not null default 0 check (arrived_bytes <= bytes),
  arrived_parts integer not null default 0
) strict, without rowid;

-- The sweep looks for the first each minute, and for the others to forget them.
create index uploads_that_expire on uploads (expires_at) where status = 'pending';
create index uploads_that_ended on uploads (expires_at) where status <> 'pending';

-- The parts of pending uploads, in the order in which they came. Each holds a blob.
create table parts (
  sequence integer primary key autoincrement,
  id text not null unique,
  upload_id text not null references uploads (id),
  blob_id text not null unique,
  bytes integer not null check (bytes >= 0),
  sha256 text not null,
  checksums blob not null,
  encoding text not null,
  created_at integer not null
) strict;

create index parts_of_upload on parts (upload_id, sequence);
create index parts_by_content on parts (upload_id, sha256);

-- A part may stand in its file more than once, and so may its blob.
create table new_segments (
  file_id text not null references files (id),
  position integer not null,
  blob_id text not null,
  bytes integer not null check (bytes >= 0),
  checksums blob not null,
  primary key (file_id, position)
) strict, without rowid;

insert into new_segments select file_id, position, blob_id, bytes, checksums from segments;
drop table segments;
alter table new_segments rename to segments;
create index segments_by_blob on segments (blob_id);
