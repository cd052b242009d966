//! `export`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::import::{counts, import};
use crate::support::{DEMO, OTHER, Site, text};

#[test]
fn an_import_restores_every_field_of_an_export() {
    let (site, elsewhere) = (Site::with_users(), Site::with_users());
    let labels = ["=1+1", "'=1", "'quoted'", "+a\"b\",c", "-two\nlines", "@x", "鍵 <b>\u{1b}[2J"];
    for label in labels {
        let label = format!("--label={label}");
        site.ok(&["key", "create", "--user", DEMO, &label, "--scopes", "insight:read,query:read"], "");
    }
    let restricted = ["--projects", "7,eu-1", "--organizations", "0185a3b0-5d5c-0000-8e4f-2c9a1b7d6e55"];
    let create = ["key", "create", "--user", OTHER, "--label", "restricted", "--scopes", "*"];
    site.ok(&[&create[..], &restricted].concat(), "");
    let create = ["key", "create", "--user", OTHER, "--label", "rolled", "--scopes", "*", "--json"];
    let id = text(&site.json(&create), "id").to_owned();
    site.ok(&["key", "roll", &id, "--grace-s", "60"], "");

    let mut keys = site.json(&["key", "list", "--json"]);
    for format in ["csv", "jsonl"] {
        let file = site.ok(&["export", "--format", format], "");
        assert_eq!(site.ok(&["export", "--format", format], ""), file);
        let cells = ["\"=", "\"+", "\"-", "\"@"];
        assert!(format == "jsonl" || !cells.iter().any(|cell| file.contains(cell)), "{file}");
        let (code, json) = import(&elsewhere, &["--format", format], &file);
        let imported = if format == "csv" { 9 } else { 0 };
        assert_eq!((code, counts(&json)), (0, [9, imported, 9 - imported, 0, 0]), "{format}");
        assert_eq!(elsewhere.ok(&["export", "--format", format], "").len(), file.len());
    }
    let mut back = elsewhere.json(&["key", "list", "--json"]);
    for keys in [&mut keys, &mut back] {
        let keys = keys.as_array_mut().unwrap();
        keys.sort_by_key(|key| text(key, "label").to_owned());
        for key in keys {
            // Each database creates its own ids.
            key["id"].take();
            key["user_id"].take();
            // An export has no old values.
            key["old_value_expires_at"].take();
        }
    }
    assert_eq!(back, keys);

    // The import of JSON lines alone keeps the restrictions too.
    let third = Site::with_users();
    let file = site.ok(&["export", "--format", "jsonl"], "");
    import(&third, &["--format", "jsonl"], &file);
    let restricted = third.json(&["key", "list", "--search", "restricted", "--json"]);
    assert_eq!(restricted[0]["scoped_teams"], serde_json::json!([7, "eu-1"]));
}

#[test]
fn an_exported_file_is_private_and_overwrites_no_file_without_force() {
    let site = Site::with_users();
    let file = site.dir.path().join("keys.csv");
    site.ok(&["export", "keys.csv"], "");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "precious").unwrap();
    assert!(site.fails(&["export", "keys.csv"], "").contains("keys.csv already exists"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    site.ok(&["export", "keys.csv", "--force"], "");
    assert!(fs::read_to_string(&file).unwrap().starts_with("\"email\",\"label\","));
    let no_folder = site.fails(&["export", "no/such/folder.csv"], "");
    assert!(no_folder.contains("cannot write no/such/folder.csv: No such file"), "{no_folder}");
    assert!(!no_folder.contains(".key-service-"), "{no_folder}");
    assert!(site.ok(&["export", "-"], "").starts_with("\"email\",\"label\","));
    assert!(
        !site.dir.path().join("-").exists(),
        "- is standard output, as it is standard input for import and scan"
    );
}
