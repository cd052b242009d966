-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- 1: the holder of a management token may know the password. The token set it, or made the link that set it.
ALTER TABLE users ADD COLUMN is_password_from_token BIGINT NOT NULL DEFAULT 0
    CHECK (is_password_from_token IN (0, 1));

-- 1: a management token made the link, so its holder may be the one who follows it.
ALTER TABLE one_time_links ADD COLUMN is_from_token BIGINT NOT NULL DEFAULT 0
    CHECK (is_from_token IN (0, 1));

-- The audit log does not say which password is in use now, so every user whom a token gave a way in counts.
UPDATE users SET is_password_from_token = 1 WHERE id IN (
    SELECT user_id FROM audit_log
    WHERE actor_kind = 'management_token' AND action IN ('user.added', 'link.created'));

UPDATE one_time_links SET is_from_token = 1 WHERE user_id IN (
    SELECT user_id FROM audit_log WHERE actor_kind = 'management_token' AND action = 'link.created');
