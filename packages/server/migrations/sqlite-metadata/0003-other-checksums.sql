-- Those until now were of another kind. Content without any is checked by the scrub alone.
update segments set checksums = x'';
