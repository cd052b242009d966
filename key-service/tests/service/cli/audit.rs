//! `audit`.

use super::new_key;
use crate::support::{DEMO, OTHER, Site, text};

#[test]
fn audit_filters_entries_by_action_user_subject_and_time() {
    let site = Site::with_users();
    let key = new_key(&site, DEMO, "a\u{1b}[2J", &[]);
    new_key(&site, OTHER, "another", &[]);
    site.ok(&["key", "delete", text(&key, "id")], "");
    let actions = |filter: &[&str]| {
        let entries = site.json(&[&["audit", "--json"], filter].concat());
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| text(entry, "action").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions(&["--subject", text(&key, "id")]), ["key.deleted", "key.created"]);
    assert_eq!(actions(&["--action", "key.", "--user", OTHER]), ["key.created"]);
    assert_eq!(actions(&["--action", "key.", "--limit", "1"]), ["key.deleted"]);
    assert_eq!(actions(&["--action", "key.", "--limit", "1", "--offset", "1"]), ["key.created"]);
    assert_eq!(actions(&["--action", "key.", "--since", "2020-01-01T00:00:00Z", "--all"]).len(), 3);
    assert_eq!(actions(&["--since", "2100-01-01T00:00:00Z"]), Vec::<String>::new());
    for usage in [&["audit", "--since", "yesterday"][..], &["audit", "--all", "--limit", "5"]] {
        assert_eq!(site.run(usage, "").status.code(), Some(2), "{usage:?}");
    }
    for (name, value) in [("action", "bogus"), ("limit", "-1"), ("offset", "-1")] {
        let output = site.run(&["audit", &format!("--{name}"), value], "");
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(&format!("'{value}' for '--{name}")), "{stderr}");
    }
    let table = site.ok(&["audit"], "");
    assert!(table.contains("command_line") && table.contains(DEMO) && !table.contains('\u{1b}'), "{table}");
}

#[test]
fn the_entries_of_a_deleted_user_are_found_by_id_and_by_address() {
    let site = Site::with_users();
    let users = site.json(&["user", "list", "--json"]);
    let id = users.as_array().unwrap().iter().find(|user| text(user, "email") == OTHER).unwrap();
    let id = text(id, "id").to_owned();
    site.ok(&["user", "delete", OTHER], "");
    for (name, value) in [("--user", id.as_str()), ("--user", &id.to_uppercase()), ("--search", OTHER)] {
        let entries = site.json(&["audit", "--json", name, value]);
        let is_there =
            |action| entries.as_array().unwrap().iter().any(|entry| text(entry, "action") == action);
        assert!(is_there("user.deleted") && is_there("user.added"), "{name} {value}: {entries}");
    }
    assert!(site.fails(&["audit", "--user", OTHER], "").contains(OTHER));
}
