-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- Where this history was last written to, as its server names itself: another place is another history.
ALTER TABLE revision_log ADD COLUMN place TEXT;
