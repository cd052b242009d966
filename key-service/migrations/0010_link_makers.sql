-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- The admin or, where is_from_token is 1, the management token that made a link, which ends with its maker's rights; null
-- if the command line or the service made it. It refers to rows of two tables.
ALTER TABLE one_time_links ADD COLUMN created_by_id TEXT;

-- A user has one link, the last that was made.
UPDATE one_time_links SET created_by_id = (
    SELECT actor_id FROM audit_log a WHERE a.action = 'link.created' AND a.user_id = one_time_links.user_id
    ORDER BY a.id DESC LIMIT 1);

DELETE FROM one_time_links WHERE created_by_id IS NOT NULL
    AND created_by_id NOT IN (SELECT id FROM users WHERE is_admin = 1 AND is_active = 1)
    AND created_by_id NOT IN (SELECT id FROM management_tokens WHERE ended_at IS NULL);

CREATE INDEX one_time_links_by_maker ON one_time_links (created_by_id);
