//! The command line's users and keys.

mod management;
mod scan;
mod transfer;

use std::io::Write;
use std::process::Stdio;

use crate::support::{DEMO, OTHER, PASSWORD, Service, Site, text};

const NOBODY: &str = "nobody@example.com";

const EXAMPLE: &str = "phx_1234567890abcdef";

/// What makes a database, and nothing in it.
pub(crate) const IMPORT_NOTHING: [&str; 2] = ["import", "-"];
pub(crate) const NOTHING: &str = "email,label,secure_value,scopes\n";

fn create<'a>(user: &'a str, label: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["key", "create", "--user", user, "--label", label, "--scopes", "insight:read,cohort:write"], more]
        .concat()
}

#[test]
fn a_command_that_only_reads_makes_no_database() {
    let site = Site::empty();
    let commands: [&[&str]; 5] = [
        &["user", "list"],
        &["key", "list"],
        &["export"],
        &["backup", "b.db"],
        &["import", "-", "--dry-run"],
    ];
    for command in commands {
        let said = site.fails(command, NOTHING);
        assert!(said.contains("there is no database") && site.storage.is_untouched(), "{command:?}: {said}");
    }
}

#[test]
fn a_user_is_added_once() {
    let site = Site::empty();
    let add =
        ["user", "add", "Demo@example.com", "--password-stdin", "--permissions", "insight:read", "--admin"];
    let id = site.ok(&add, PASSWORD);
    assert!(site.fails(&add, PASSWORD).contains("demo@example.com"));
    let again = site.ok(&[&add[..], &["--if-absent"]].concat(), "another-password");
    assert_eq!(again, id, "the id that is there");
    let users = site.json(&["user", "list", "--json"]);
    assert_eq!(users.as_array().unwrap().len(), 1);
    assert_eq!((text(&users[0], "id"), text(&users[0], "email")), (id.trim(), DEMO));
    assert_eq!(users[0]["permissions"], serde_json::json!(["insight:read"]));
    assert_eq!(users[0]["is_admin"], true);
    let table = site.ok(&["user", "list"], "");
    assert!(table.contains(DEMO) && !table.contains("argon2"), "{table}");
}

#[tokio::test]
async fn a_user_of_an_earlier_release_is_there_whatever_the_address_contains() {
    let (service, ..) = Service::with_users().await;
    let id = service.user_id(DEMO);
    service.alter(format!("UPDATE users SET email = 'de\u{202e}mo@example.com' WHERE id = '{id}'")).await;
    let add = |email| ["user", "add", email, "--without-password", "--if-absent"];
    assert_eq!(service.site.ok(&add("De\u{202e}mo@example.com"), "").trim(), id);
    let said = service.site.fails(&add("de\u{202e}no@example.com"), "");
    assert!(said.contains("<EMAIL>: Bidirectional control characters"), "{said}");
}

#[test]
fn bad_users_are_refused_with_the_reason() {
    let site = Site::empty();
    let add = |email, more: &[&str], password| {
        site.fails(&[&["user", "add", email, "--password-stdin"], more].concat(), password)
    };
    assert!(add("nobody", &[], PASSWORD).contains("<EMAIL>: Enter a valid email address."));
    assert!(add(DEMO, &[], "short").contains("--password-stdin: A password has"));
    assert!(
        add(DEMO, &["--permissions", "all"], PASSWORD)
            .contains("--permissions: Invalid scope: all; --help names")
    );
    assert!(site.storage.is_untouched(), "nothing was made");
    let site = Site::with_users();
    for command in
        [&["user", "disable", NOBODY][..], &["user", "enable", NOBODY], &["key", "list", "--user", NOBODY]]
    {
        assert!(site.fails(command, "").contains("there is no user"), "{command:?}");
    }
    assert!(
        site.fails(&["user", "passwd", NOBODY, "--password-stdin"], PASSWORD).contains("there is no user")
    );
}

#[test]
fn a_new_keys_value_stands_alone_on_standard_output() {
    let site = Site::with_users();
    let output = site.run(&create(DEMO, "ci", &[]), "");
    let printed = String::from_utf8(output.stdout).unwrap();
    let value = printed.strip_suffix('\n').unwrap();
    assert!(protocol::ApiKey::parse(value.as_bytes()).unwrap().is_generated());
    assert!(!String::from_utf8(output.stderr).unwrap().contains(value));

    assert_eq!(site.ok(&create(DEMO, "ci", &["--if-absent"]), ""), "", "it is there and stays as it is");
    let created: serde_json::Value =
        serde_json::from_str(&site.ok(&create(DEMO, "other", &["--if-absent", "--json"]), "")).unwrap();
    assert!(text(&created, "value").starts_with("phx_"));
    let listed = site.json(&["key", "list", "--json"]);
    let labels: Vec<_> = listed.as_array().unwrap().iter().map(|key| text(key, "label")).collect();
    assert_eq!(labels, ["other", "ci"]);
    assert!(listed[0]["value"].is_null());
}

#[tokio::test]
async fn an_existing_value_is_adopted_and_works_while_the_service_runs() {
    let (service, ..) = Service::with_users().await;
    let site = &service.site;
    let adopt_value = create(DEMO, "docs", &["--value-stdin", "--if-absent"]);
    assert_eq!(site.ok(&adopt_value, "phx_1234567890abcdef\r\n"), "", "the value is not repeated");
    assert_eq!(service.scopes(EXAMPLE).await.as_deref(), Some("insight:read cohort:write"));

    let revision = service.verify(&[]).await.revision;
    site.ok(&adopt_value, EXAMPLE);
    assert_eq!(service.verify(&[]).await.revision, revision, "nothing changed");
    assert!(
        site.fails(&create(DEMO, "again", &["--value-stdin"]), EXAMPLE)
            .contains("--value-stdin: the value belongs")
    );
    let of_other = create(OTHER, "docs", &["--value-stdin", "--if-absent"]);
    assert!(site.fails(&of_other, EXAMPLE).contains("belongs to a key"));

    let keys = site.json(&["key", "list", "--user", DEMO, "--json"]);
    assert_eq!(keys.as_array().unwrap().len(), 1);
    assert_eq!(text(&keys[0], "mask_value"), "phx_...cdef");
    let id = text(&keys[0], "id");
    site.ok(&["key", "revoke", id], "");
    assert_eq!(service.scopes(EXAMPLE).await, None);
    assert!(site.fails(&["key", "revoke", id], "").contains(&format!("<ID>: there is no such key: {id}")));
}

#[test]
fn bad_keys_are_refused_with_the_reason() {
    let site = Site::with_users();
    let fails = |args: &[&str], input: &str| site.fails(args, input);
    assert!(fails(&create("nobody@example.com", "ci", &[]), "").contains("--user: there is no user"));
    assert!(fails(&create(DEMO, " ", &[]), "").contains(" --label: This field may not be blank."));
    let scopes = ["key", "create", "--user", DEMO, "--label", "ci", "--scopes", "insight:read,nothing:read"];
    assert!(fails(&scopes, "").contains(" --scopes: Invalid scope: nothing:read"));
    for value in ["", "phc_project", "phx_", "phx_with space"] {
        assert!(fails(&create(DEMO, "ci", &["--value-stdin"]), value).contains("--value-stdin:"), "{value}");
    }
    let mistyped = format!("phx_{}", "a".repeat(50));
    assert!(fails(&create(DEMO, "ci", &["--value-stdin"]), &mistyped).contains("checksum"));
    assert_eq!(site.json(&["key", "list", "--json"]), serde_json::json!([]));
}

#[test]
fn help_names_the_scopes_that_there_are() {
    let site = Site::empty();
    for command in
        [&["key", "create"][..], &["key", "update"], &["user", "add"], &["user", "permissions"], &["import"]]
    {
        let help = site.ok(&[command, &["--help"]].concat(), "");
        assert!(help.contains("session_recording"), "{command:?}: {help}");
    }
}

#[test]
fn a_label_cannot_steer_the_terminal() {
    let site = Site::with_users();
    let output = site.run(&create(DEMO, "a\u{1b}[2J\u{9b}b", &[]), "");
    assert!(output.status.success());
    let json = site.ok(&["key", "list", "--json"], "");
    for shown in [String::from_utf8(output.stderr).unwrap(), site.ok(&["key", "list"], ""), json.clone()] {
        assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown:?}");
    }
    let keys: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(text(&keys[0], "label"), "a\u{1b}[2J\u{9b}b");
}

#[test]
fn processes_that_start_together_on_a_new_database_take_turns() {
    let site = Site::empty();
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = site.command(&IMPORT_NOTHING);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(NOTHING.as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
