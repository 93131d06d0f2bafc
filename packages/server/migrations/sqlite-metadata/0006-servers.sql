-- Who may be writing a loose blob; null where nobody is, as now.
alter table loose_blobs add column server_id text;
create index loose_blobs_of_server on loose_blobs (server_id) where server_id is not null;

-- The servers that run on these rows. Each says that it lives by counting its signs up.
create table servers (
  id text primary key,
  signs integer not null
) strict, without rowid;

-- Which history of the database the rows are in, where a database has several; see decisions/0013.
alter table store add column history text;
