-- SQL that SQLite and PostgreSQL both accept. Times are milliseconds since 1970-01-01 UTC; ids are UUIDs as
-- text; truth values are 0 or 1; lists of scopes are separated by single spaces (RFC 6749 section 3.3).

-- The head of the history of changes that can alter a verdict. Raising the revision is also the lock that puts
-- those changes in order.
CREATE TABLE revision_log (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    log_id TEXT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    permissions TEXT NOT NULL,
    is_admin BIGINT NOT NULL CHECK (is_admin IN (0, 1)),
    is_active BIGINT NOT NULL CHECK (is_active IN (0, 1)),
    -- Raised to end every session that began under a lower one.
    session_epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    label TEXT NOT NULL,
    mask_value TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    last_rolled_at BIGINT,
    expires_at BIGINT
);

CREATE INDEX api_keys_by_user ON api_keys (user_id);

-- The values that work for a key, as SHA-256 in lower-case hexadecimal: the current one, which has no end of its
-- own, and those that a roll left working for a while.
CREATE TABLE key_digests (
    digest TEXT PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES api_keys (id),
    expires_at BIGINT
);

CREATE INDEX key_digests_by_key ON key_digests (key_id);

-- Browser sessions, under the SHA-256 of the id that the cookie carries.
CREATE TABLE sessions (
    id_digest TEXT PRIMARY KEY,
    data TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_expiry ON sessions (expires_at);
