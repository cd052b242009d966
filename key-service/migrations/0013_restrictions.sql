-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- The projects and organizations that a key is restricted to, as JSON lists of ids; null for all.
ALTER TABLE api_keys ADD COLUMN scoped_teams TEXT;
ALTER TABLE api_keys ADD COLUMN scoped_organizations TEXT;
