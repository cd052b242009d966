//! What is about SQLite's file. Where `POSTGRES_URL` is set, these are to be left out: `--skip sqlite::`.

mod backup;
mod disk;
mod files;
mod machine;
