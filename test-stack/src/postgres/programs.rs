//! Finds PostgreSQL's programs. They are not installed by us: a database server is the system's.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths;

/// What has to be there, side by side.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "pg_isready", "psql"];

/// Where systems keep each version in a folder of its own, beside the PATH: Debian, Red Hat's and Homebrew's.
const HOMES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// The folder of the programs: what [`paths::POSTGRESQL_VARIABLE`] names, else that of the `initdb` on the PATH, else that
/// of the highest version where systems keep them.
///
/// # Errors
/// There is none.
pub fn find() -> Result<PathBuf> {
    let asked_for = env::var_os(paths::POSTGRESQL_VARIABLE).map(PathBuf::from);
    // Behind a link on the PATH, the others are where it leads.
    let on_path = paths::on_path("initdb").and_then(|initdb| initdb.canonicalize().ok());
    let on_path = on_path.and_then(|initdb| initdb.parent().map(Path::to_owned));
    asked_for
        .into_iter()
        .chain(on_path)
        .chain(HOMES.into_iter().filter_map(|(home, prefix)| highest(Path::new(home), prefix)))
        .find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
        .with_context(|| {
            format!("{} are not to be found together (Debian: apt install postgresql)", PROGRAMS.join(", "))
        })
}

/// The client, which machines may have that have no server.
///
/// # Errors
/// There is none.
pub fn find_client() -> Result<PathBuf> {
    let beside_server = find().map(|bin| bin.join("psql")).ok();
    beside_server
        .or_else(|| paths::on_path("psql"))
        .context("psql is not to be found (Debian: apt install postgresql-client)")
}

/// The `bin` of the folder in `home` whose name is the prefix and the highest number.
fn highest(home: &Path, prefix: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(home).ok()?.flatten();
    let versions = folders.filter_map(|folder| {
        let version = folder.file_name().to_str()?.strip_prefix(prefix)?.parse::<u32>().ok()?;
        Some((version, folder.path().join("bin")))
    });
    versions.max().map(|(_, bin)| bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_is_a_number_and_not_a_text() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["9", "15", "16-old", "notes"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(highest(dir.path(), ""), Some(dir.path().join("15/bin")));
        assert_eq!(highest(dir.path(), "pgsql-"), None);
    }
}
