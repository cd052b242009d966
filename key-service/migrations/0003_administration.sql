-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- Who did what to whom, when, and from where. Names are kept as they were then: what they name may be gone.
CREATE TABLE audit_log (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    actor_name TEXT NOT NULL,
    address TEXT,
    request_id TEXT,
    -- The user concerned, and what of the user's: a key, a management token.
    user_id TEXT,
    user_email TEXT,
    subject_id TEXT,
    subject_name TEXT,
    -- What changed, as JSON.
    detail TEXT NOT NULL
);

CREATE INDEX audit_log_by_time ON audit_log (at);
CREATE INDEX audit_log_by_user ON audit_log (user_id, at);
CREATE INDEX audit_log_by_subject ON audit_log (subject_id, at);

-- What automation authenticates with at the public API, under the SHA-256 of its value.
CREATE TABLE management_tokens (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    mask_value TEXT NOT NULL,
    -- 1: for all users. 0: for those named below.
    is_for_all BIGINT NOT NULL CHECK (is_for_all IN (0, 1)),
    created_at BIGINT NOT NULL,
    -- Who made it, by the name of then.
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);

CREATE TABLE management_token_users (
    token_id TEXT NOT NULL REFERENCES management_tokens (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    PRIMARY KEY (token_id, user_id)
);

-- Links that let their bearer choose a password, once: a user's, or, without a user, that of the first admin.
CREATE TABLE one_time_links (
    digest TEXT PRIMARY KEY,
    user_id TEXT REFERENCES users (id),
    expires_at BIGINT NOT NULL
);

-- Values that were a key's and are no more: none of them ever becomes one again.
CREATE TABLE revoked_digests (
    digest TEXT PRIMARY KEY,
    revoked_at BIGINT NOT NULL
);

-- Messages to the operator's webhook that are still to be delivered.
CREATE TABLE webhook_deliveries (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL
);

CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (next_attempt_at);

CREATE INDEX api_keys_by_time ON api_keys (created_at, id);
