//! Finds PostgreSQL's programs. `cargo xtask` does not install them: a database server is a package of the system.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths;

/// The programs that one folder must contain.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "pg_isready", "psql"];

/// Where packages install each version in a folder of its own, outside the PATH: Debian, Red Hat, Homebrew.
const HOMES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// The folder of the programs: the one that [`paths::POSTGRESQL_VARIABLE`] names, else that of the `initdb` on the PATH, else
/// that of the highest installed version.
///
/// # Errors
/// They are not found.
pub fn find() -> Result<PathBuf> {
    let named = env::var_os(paths::POSTGRESQL_VARIABLE).map(PathBuf::from);
    // If `initdb` is a symbolic link, the other programs are beside its target.
    let on_path = paths::on_path("initdb").and_then(|initdb| initdb.canonicalize().ok());
    let on_path = on_path.and_then(|initdb| initdb.parent().map(Path::to_owned));
    named
        .into_iter()
        .chain(on_path)
        .chain(HOMES.into_iter().filter_map(|(home, prefix)| highest(Path::new(home), prefix)))
        .find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
        .with_context(|| {
            format!("{} are not found in one folder (Debian: apt install postgresql)", PROGRAMS.join(", "))
        })
}

/// `psql`, which may be installed without a server.
///
/// # Errors
/// It is not found.
pub(crate) fn find_client() -> Result<PathBuf> {
    let beside_server = find().map(|bin| bin.join("psql")).ok();
    beside_server
        .or_else(|| paths::on_path("psql"))
        .context("psql is not found (Debian: apt install postgresql-client)")
}

/// The `bin` of the highest version in `home`: its folders are named by the prefix and a number.
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
