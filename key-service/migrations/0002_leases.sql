-- SQL that SQLite and PostgreSQL both accept. Times are the database's own, in milliseconds since 1970-01-01 UTC.

-- What is still told of the history reaches back to here: changes up to this revision are forgotten.
ALTER TABLE revision_log ADD COLUMN pruned_to BIGINT NOT NULL DEFAULT 0;

-- Leases may have been lost; none of those lasts beyond this time.
ALTER TABLE revision_log ADD COLUMN forgotten_until BIGINT NOT NULL DEFAULT 0;

-- The longest that a lease, margin included, may have been granted for since the machine started.
ALTER TABLE revision_log ADD COLUMN longest_lease_ms BIGINT NOT NULL DEFAULT 0;

-- The run of the machine under which the leases were recorded: they may not outlive its power.
ALTER TABLE revision_log ADD COLUMN boot_id TEXT;

-- Earlier changes were never written down.
UPDATE revision_log SET pruned_to = revision;

-- The digests whose verdicts each change may have altered.
CREATE TABLE changes (
    revision BIGINT NOT NULL,
    digest TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (revision, digest)
);

-- What each edge may answer from memory: everything it knew when it acknowledged, until its lease ends.
CREATE TABLE edge_leases (
    edge TEXT PRIMARY KEY,
    log_id TEXT NOT NULL,
    acknowledged BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);
