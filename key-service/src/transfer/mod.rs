//! Files of keys: [`export`] writes them, [`import`] reads them.
//!
//! A file is CSV or JSON lines. Each line is a key with the fields [`FIELDS`]. Files contain digests, so a file is not
//! enough to use the keys.

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

/// The fields of a line, in the order of the columns. An import needs the first four.
pub const FIELDS: [&str; 11] = [
    "email",
    "label",
    "secure_value",
    "scopes",
    "created_at",
    "last_used_at",
    "mask_value",
    "last_rolled_at",
    "expires_at",
    "scoped_teams",
    "scoped_organizations",
];

/// The [`FIELDS`] that JSON may write as lists.
const LISTS: [&str; 3] = ["scopes", "scoped_teams", "scoped_organizations"];

/// The [`FIELDS`] that restrict a key.
const RESTRICTIONS: [&str; 2] = ["scoped_teams", "scoped_organizations"];

/// The number of [`FIELDS`] that every line has.
const REQUIRED: usize = 4;

/// The prefix of the digest in `secure_value`, as in PostHog's database.
const DIGEST_PREFIX: &str = "sha256$";

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// RFC 4180, with the names of the columns in the first line
    Csv,
    /// A JSON object a line
    Jsonl,
}
