//! The database: its upgrade, what the service survives, and what each kind of database has of its own.

mod postgresql;
mod sqlite;
mod survival;
mod upgrade;
