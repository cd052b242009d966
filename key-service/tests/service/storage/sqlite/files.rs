//! The database's file.

use std::os::unix::fs::PermissionsExt;

use crate::cli::{IMPORT_NOTHING, NOTHING};
use crate::server::startup::{assert_one_line, refused};
use crate::support::Site;

#[test]
fn a_database_is_its_owners_alone() {
    let site = Site::empty();
    site.ok(&IMPORT_NOTHING, NOTHING);
    let mode = std::fs::metadata(site.storage.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_bad_database_is_named_with_its_setting() {
    let site = Site::empty();
    let with_url = |url: &str| refused(&site, &["--database-url", url], |command| command);
    let setting = "--database-url (DATABASE_URL)";
    let no_folder = site.dir.path().join("nowhere/keys.db");
    assert_one_line(&with_url(&format!("sqlite:{}", no_folder.display())), &[setting, "nowhere/keys.db"]);
    let no_database = site.dir.path().join("notes.txt");
    std::fs::write(&no_database, "not a database, but long enough to be looked at as one").unwrap();
    assert_one_line(
        &with_url(&format!("sqlite:{}", no_database.display())),
        &[setting, "notes.txt", "not a database"],
    );
    assert_one_line(&with_url(&format!("sqlite:{}", site.dir.path().display())), &[setting]);
    assert_one_line(&with_url("sqlite::memory:"), &[setting, "memory"]);
}
