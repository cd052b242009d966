-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- The database may have lost leases that run until this time.
ALTER TABLE revision_log RENAME COLUMN forgotten_until TO lost_leases_until;
