//! Reading columns, and writing many rows with one statement.

use protocol::{KeyDigest, ScopeSet};
use sqlx::Row;
use sqlx::any::AnyRow;

/// Reads a column of scopes separated by spaces.
pub(crate) fn scopes(row: &AnyRow, column: &str) -> sqlx::Result<ScopeSet> {
    let text: String = row.try_get(column)?;
    ScopeSet::parse(text.split_whitespace())
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// Reads a column of 0 and 1.
pub(crate) fn truth(row: &AnyRow, column: &str) -> sqlx::Result<bool> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// Reads a column of a number that is never negative.
pub(crate) fn as_u64(row: &AnyRow, column: &str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// A digest as it is stored.
pub(crate) fn digest(hex: String) -> sqlx::Result<KeyDigest> {
    KeyDigest::try_from(hex)
        .map_err(|error| sqlx::Error::ColumnDecode { index: "digest".to_owned(), source: error.into() })
}

/// How many rows of several columns one statement inserts best: SQLite looks each parameter up by its name among all of
/// the statement, so that many together take longer than few at a time.
pub(crate) const ROWS_AT_ONCE: usize = 40;

/// The rows of a `VALUES` list: `($1, $2), ($3, $4)` for two rows of two columns.
pub(crate) fn rows_of(columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
