-- SQL that SQLite and PostgreSQL both accept. Conventions as in the first migration.

-- What a token can do: read, revoke, create, separated by single spaces. Tokens of earlier releases could do everything.
ALTER TABLE management_tokens ADD COLUMN verbs TEXT NOT NULL DEFAULT 'read revoke create';
