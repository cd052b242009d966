-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- 1: unlinked from its user, whose id is then null. Signing in neither links it again nor adds a user; an operator links it.
ALTER TABLE identities ADD COLUMN is_unlinked BIGINT NOT NULL DEFAULT 0 CHECK (is_unlinked IN (0, 1));
