-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- The requests that a client may repeat, for a day: a repetition finds what the first one made.
CREATE TABLE idempotency_keys (
    -- The SHA-256 of the caller and the key that it chose.
    digest TEXT PRIMARY KEY,
    -- The SHA-256 of the request.
    fingerprint TEXT NOT NULL,
    -- What it made or changed: a key, a management token.
    subject_id TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
