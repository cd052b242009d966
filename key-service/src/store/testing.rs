//! A database for unit tests.

use tempfile::TempDir;

use super::Database;

/// The SQLite database `keys.db` of a folder.
pub(crate) async fn database(folder: &TempDir) -> Database {
    Database::open(&url(folder)).await.unwrap()
}

/// Its URL.
pub(crate) fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("keys.db").display())
}
