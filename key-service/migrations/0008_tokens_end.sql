-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- The admin who made a token, for it ends with that admin's rights; null if the command line made it.
ALTER TABLE management_tokens ADD COLUMN created_by_id TEXT REFERENCES users (id);

-- When it ended so. The row stays, for the answers that say why the token is refused.
ALTER TABLE management_tokens ADD COLUMN ended_at BIGINT;

-- Tokens of earlier releases: the name may also be that of a system's account, which the audit log tells.
UPDATE management_tokens SET created_by_id = (SELECT id FROM users WHERE email = created_by)
    WHERE NOT EXISTS (SELECT 1 FROM audit_log a WHERE a.action = 'token.created'
        AND a.subject_id = management_tokens.id AND a.actor_kind <> 'user');

UPDATE management_tokens SET ended_at = CAST(unixepoch('subsec') * 1000 AS BIGINT)
    WHERE created_by_id IN (SELECT id FROM users WHERE is_admin = 0 OR is_active = 0);
