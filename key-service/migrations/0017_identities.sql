-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- The accounts at OpenID providers with which users sign in. The row of a deleted user stays with a null user_id, so that
-- signing in does not add the user again.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE SET NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX identities_by_user ON identities (user_id);
