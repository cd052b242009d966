//! Reads files of keys, line by line.

use std::io::{self, Read};

use protocol::KEY_PREFIX;

use super::csv::CsvReader;
use super::json_lines::JsonReader;
use super::line::{Line, Refused, check};
use super::{FIELDS, Format, RESTRICTIONS};
use crate::accounts::management_tokens::TOKEN_PREFIX;
use crate::time::Timestamp;

/// The longest line, in bytes, to within the size of a buffer.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// The longest name that an error repeats, in characters. Digests and secrets are longer.
const MAX_SHOWN_CHARS: usize = 40;

/// Why a file cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A column's name is not a field. If the file has no line of names, it may be a value, so the error does not repeat it.
    #[error("line 1: column {0}{1} is not a field; the fields are {fields}", fields = FIELDS.join(","))]
    Unknown(usize, String),
    /// The first line is a JSON object.
    #[error("line 1 is JSON instead of column names; read JSON lines with --format jsonl")]
    Json,
    /// A column is missing.
    #[error("line 1: the column {0} is missing; the first line names the columns")]
    Missing(&'static str),
    /// Two columns have the same name.
    #[error("line 1: the column {0} occurs twice")]
    Repeated(&'static str),
    /// Reading failed, or a line is too long.
    #[error("line {line}: {source}")]
    Io {
        /// The line's number, from 1.
        line: u64,
        /// The error.
        source: io::Error,
    },
}

/// The position of a field in [`FIELDS`].
pub(super) fn field_index(name: &str) -> Option<usize> {
    FIELDS.iter().position(|field| *field == name)
}

/// The name of an unknown field, in parentheses; empty if it could be something else, such as a value.
pub(super) fn quoted(name: &str) -> String {
    let is_name =
        |c: char| c.is_alphabetic() || c.is_ascii_digit() || matches!(c, ' ' | '_' | '-' | '@' | '.');
    let shows_value = name.contains(KEY_PREFIX) || name.contains(TOKEN_PREFIX);
    let is_shown = !shows_value && (1..=MAX_SHOWN_CHARS).contains(&name.chars().count());
    if is_shown && name.chars().all(is_name) { format!(" (\"{name}\")") } else { String::new() }
}

/// Refuses columns without a required field.
pub(super) fn require_fields(required: &[&'static str], columns: &[usize]) -> Result<(), ReadError> {
    let missing = required.iter().enumerate().find(|(index, _)| !columns.contains(index));
    missing.map_or(Ok(()), |(_, field)| Err(ReadError::Missing(field)))
}

enum FormatReader<R> {
    Csv(CsvReader<R>),
    Jsonl(JsonReader<R>),
}

/// The lines of a file, checked one by one.
pub struct Lines<R> {
    source: FormatReader<R>,
    now: Timestamp,
}

impl<R: Read> Lines<R> {
    /// Starts reading. A key without a time of creation gets `now`.
    ///
    /// # Errors
    /// The first line of CSV does not name the columns, or reading fails.
    pub fn new(input: R, format: Format, now: Timestamp) -> Result<Self, ReadError> {
        let source = match format {
            Format::Csv => FormatReader::Csv(CsvReader::new(input)?),
            Format::Jsonl => FormatReader::Jsonl(JsonReader::new(input)),
        };
        Ok(Lines { source, now })
    }

    /// The fields of restrictions that the file has not named so far.
    pub fn unnamed_restrictions(&self) -> Vec<&'static str> {
        let is_named = |field: &str| {
            let index = field_index(field);
            index.is_some_and(|index| match &self.source {
                FormatReader::Csv(reader) => reader.names(index),
                FormatReader::Jsonl(reader) => reader.names(index),
            })
        };
        RESTRICTIONS.into_iter().filter(|field| !is_named(field)).collect()
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<Result<Line, Refused>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let written = match &mut self.source {
            FormatReader::Csv(reader) => reader.next(),
            FormatReader::Jsonl(reader) => reader.next(),
        };
        let line = |written: Result<_, _>| written.and_then(|written| check(written, self.now));
        Some(written.transpose()?.map(line))
    }
}
