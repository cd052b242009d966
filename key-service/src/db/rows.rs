//! Reading columns, and writing many rows with one statement.

use protocol::{KeyDigest, Node, ResourceId, Restrictions, ScopeSet};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::error::BoxDynError;
use sqlx::{Any, AssertSqlSafe, Decode, Row, Type};

use super::error::{Error, Result};

/// What reads a row returns the driver's own error, as [`sqlx::FromRow`] asks for it; `?` turns that into an [`Error`].
pub(crate) type RowResult<T> = sqlx::Result<T>;

/// Reads a column that is stored as `S` in a form of the service's own.
pub(crate) fn parsed<'r, S, T, E>(
    row: &'r AnyRow,
    column: &str,
    parse: impl FnOnce(S) -> Result<T, E>,
) -> RowResult<T>
where
    S: Decode<'r, Any> + Type<Any>,
    E: Into<BoxDynError>,
{
    parse(row.try_get(column)?)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// Reads a column of scopes separated by spaces.
pub(crate) fn scopes(row: &AnyRow, column: &str) -> RowResult<ScopeSet> {
    parsed(row, column, |text: String| ScopeSet::parse(text.split_whitespace()))
}

/// Reads the columns of a key's restrictions.
pub(crate) fn restrictions(row: &AnyRow) -> RowResult<Restrictions> {
    let ids = |column| {
        parsed(row, column, |text: Option<String>| text.as_deref().map(serde_json::from_str).transpose())
    };
    Ok(Restrictions { projects: ids("scoped_teams")?, organizations: ids("scoped_organizations")? })
}

/// A list of ids as its column stores it: as JSON.
pub(crate) fn stored_ids(ids: Option<&Vec<ResourceId>>) -> Option<String> {
    ids.map(|ids| json!(ids).to_string())
}

/// The Envoy of an edge as its column stores it: as JSON.
pub(crate) fn stored_node(node: &Node) -> Option<String> {
    Some(json!(node).to_string()).filter(|_| !node.is_empty())
}

/// Reads the column of an edge's Envoy.
pub(crate) fn node(row: &AnyRow) -> RowResult<Node> {
    parsed(row, "node", |text: Option<String>| {
        text.map_or_else(|| Ok(Node::default()), |text| serde_json::from_str(&text))
    })
}

/// Reads a column of 0 and 1.
pub(crate) fn truth(row: &AnyRow, column: &str) -> RowResult<bool> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// Reads a column of a number that is never negative.
pub(crate) fn as_u64(row: &AnyRow, column: &str) -> RowResult<u64> {
    parsed(row, column, |number: i64| u64::try_from(number))
}

/// A digest as it is stored.
pub(crate) fn digest(hex: String) -> Result<KeyDigest> {
    KeyDigest::try_from(hex)
        .map_err(|error| Error::Unreadable { column: "digest".to_owned(), source: error.into() })
}

/// The best number of rows for one insert. SQLite searches each parameter by name among all parameters of the statement, so
/// a larger statement takes longer than several small ones.
pub(crate) const ROWS_AT_ONCE: usize = 40;

/// A statement with many rows: `:rows` becomes the rows of a `VALUES` list, `($1, $2), ($3, $4)` for two rows of two
/// columns, and `:+1` for the first placeholder after them.
pub(crate) fn with_rows(sql: &'static str, columns: usize, rows: usize) -> AssertSqlSafe<String> {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    let list = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    let mut text = sql.replacen(":rows", &list, 1);
    for more in 1.. {
        let mark = format!(":+{more}");
        if !text.contains(&mark) {
            break;
        }
        text = text.replace(&mark, &format!("${}", columns * rows + more));
    }
    // Safe: the statement is this program's own, and its marks are replaced by placeholders.
    AssertSqlSafe(text)
}

/// A statement with a list: `:list` becomes `$1, $2` with two items, and `NULL` with none, because PostgreSQL has no
/// empty list.
pub(crate) fn with_list(sql: &'static str, items: usize) -> AssertSqlSafe<String> {
    let places: Vec<_> = (1..=items).map(|place| format!("${place}")).collect();
    let list = if places.is_empty() { "NULL".to_owned() } else { places.join(", ") };
    // Safe: the statement is this program's own, and the list consists of placeholders.
    AssertSqlSafe(sql.replacen(":list", &list, 1))
}
