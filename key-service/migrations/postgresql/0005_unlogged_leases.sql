-- For PostgreSQL alone.

-- The one function of SQLite that the service's SQL uses: the clock, in seconds since 1970-01-01 UTC, read when it is
-- called and not when the transaction began.
CREATE FUNCTION unixepoch(TEXT) RETURNS DOUBLE PRECISION LANGUAGE SQL VOLATILE
    AS 'SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)';

-- Thousands of leases a second need no durability of their own: a table that is not logged is emptied by crash
-- recovery and by the promotion of a standby, and left alone by an orderly restart.
ALTER TABLE edge_leases SET UNLOGGED;

-- Half of each page is room for the next versions of its rows, which then need no new entry in the index.
ALTER TABLE edge_leases SET (fillfactor = 50);

-- Emptied together with the leases: without its row, leases may be forgotten.
CREATE UNLOGGED TABLE lease_witness (only_row BIGINT PRIMARY KEY CHECK (only_row = 1));
