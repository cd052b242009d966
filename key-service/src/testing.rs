//! A database for unit tests.

use tempfile::TempDir;

use crate::revocation::Store;

/// The SQLite database `keys.db` of a folder.
pub(crate) async fn store(folder: &TempDir) -> Store {
    Store::open(&url(folder)).await.unwrap()
}

/// The URL of the SQLite database `keys.db` of a folder.
pub(crate) fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("keys.db").display())
}
