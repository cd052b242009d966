//! The database: upgrades, failures that the service survives, and tests for only SQLite or only PostgreSQL.

mod postgresql;
mod sqlite;
mod survival;
mod upgrade;
