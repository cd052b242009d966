//! Keys as files carry them: [`export`] writes them, [`import`] takes them in.
//!
//! A file is CSV or JSON lines, a key a line, of the fields [`FIELDS`]. It carries digests, so that whoever has the
//! file cannot use the keys.

pub mod backup;
mod backup_sql;
pub(crate) mod csv;
pub mod export;
pub mod import;
mod json_lines;
mod line;
pub mod read;
mod sql;

pub use line::Refused;

/// The fields of a line, in the order of the columns. A file to import needs the first four.
pub const FIELDS: [&str; 9] = [
    "email",
    "label",
    "secure_value",
    "scopes",
    "created_at",
    "last_used_at",
    "mask_value",
    "last_rolled_at",
    "expires_at",
];

/// How many of [`FIELDS`] every line has.
const REQUIRED: usize = 4;

/// What precedes the digest in `secure_value`, as in PostHog's database.
const DIGEST_PREFIX: &str = "sha256$";

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// RFC 4180, with the names of the columns in the first line
    Csv,
    /// A JSON object a line
    Jsonl,
}
