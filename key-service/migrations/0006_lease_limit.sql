-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- No lease is recorded that lasts longer, margin included. Never more than longest_lease_ms, which is lowered to it only
-- when every longer lease must have ended.
ALTER TABLE revision_log ADD COLUMN lease_limit_ms BIGINT NOT NULL DEFAULT 0;

-- When lease_limit_ms was last lowered.
ALTER TABLE revision_log ADD COLUMN limited_at BIGINT NOT NULL DEFAULT 0;

UPDATE revision_log SET lease_limit_ms = longest_lease_ms;
