//! SQLite alone.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;

use super::error::OpenError;

/// WAL lets readers read while another process writes. FULL makes a commit survive a power cut. A writer waits for another
/// one for `busy_timeout` milliseconds.
pub(super) const SET_UP: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;";

/// Commits do not wait for the disk: a power cut may undo them, the end of the process does not.
pub(super) const SET_UP_RECORDER: &str = "PRAGMA synchronous = NORMAL;";

/// Rule `OneWriter`: takes the write lock at the start. Otherwise a transaction that reads and then writes fails if another one
/// wrote in between.
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// The file with the id of this boot of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The database file of a URL.
pub(super) fn file_of(url: &str) -> Result<PathBuf, OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
    let path = options.get_filename().to_owned();
    if url.contains(":memory:") || url.contains("mode=memory") || path.as_os_str().is_empty() {
        return Err(OpenError::InMemory);
    }
    Ok(path)
}

/// Creates an empty file that only its owner can read, unless there is a file. SQLite gives its other files the same
/// permissions.
pub(super) fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The id of this boot of the machine; `None` if the system does not report it.
pub(super) fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string(BOOT_ID).ok()?.trim().to_owned();
    (!id.is_empty()).then_some(id)
}
