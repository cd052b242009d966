-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- The Envoy that an edge runs in, as JSON; null if the edge did not say, or is recorded by an older release.
ALTER TABLE edge_leases ADD COLUMN node TEXT;
