-- What the content was found to be when the file was created; null where that was not looked at.
alter table files add column mime_type text;
alter table files add column num_lines integer check (num_lines >= 0);
alter table files add column tokens integer check (tokens >= 0);
