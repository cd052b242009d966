-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- Names the history that the revisions belong to. The change history and the logs no longer share a word.
ALTER TABLE revision_log RENAME COLUMN log_id TO epoch;
ALTER TABLE edge_leases RENAME COLUMN log_id TO epoch;

-- An epoch is a history of changes only.
ALTER TABLE users RENAME COLUMN session_epoch TO session_version;
UPDATE sessions SET data = REPLACE(data, '"epoch":', '"session_version":');
