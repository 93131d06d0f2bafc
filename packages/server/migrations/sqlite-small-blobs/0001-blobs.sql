create table blobs (
  number integer primary key,
  id text not null unique,
  content blob not null
) strict;
