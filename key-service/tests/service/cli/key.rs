//! `key create`, `list`, `update`, `roll` and `revoke`.

use super::new_key;
use crate::support::{DEMO, OTHER, Site, TestApp, text};

const EXAMPLE: &str = "phx_1234567890abcdef";

fn create<'a>(user: &'a str, label: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["key", "create", "--user", user, "--label", label, "--scopes", "insight:read,cohort:write"], more]
        .concat()
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
    let app = TestApp::start().await;
    let site = &app.site;
    let adopt_value = create(DEMO, "docs", &["--value-stdin", "--if-absent"]);
    assert_eq!(site.ok(&adopt_value, "phx_1234567890abcdef\r\n"), "", "the value is not repeated");
    assert_eq!(app.scopes(EXAMPLE).await.as_deref(), Some("insight:read cohort:write"));

    let revision = app.verify(&[]).await.revision;
    site.ok(&adopt_value, EXAMPLE);
    assert_eq!(app.verify(&[]).await.revision, revision, "nothing changed");
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
    site.ok(&["key", "delete", id], "");
    assert_eq!(app.scopes(EXAMPLE).await, None);
    assert!(site.fails(&["key", "delete", id], "").contains(&format!("<ID>: there is no such key: {id}")));
}

#[tokio::test]
async fn a_key_is_restricted_and_set_free_again() {
    let app = TestApp::start().await;
    let site = &app.site;
    let flags = ["--projects", "1,2", "--organizations", "acme", "--json"];
    let key: serde_json::Value = serde_json::from_str(&site.ok(&create(DEMO, "ci", &flags), "")).unwrap();
    let (id, value) = (text(&key, "id"), text(&key, "value"));
    assert_eq!(key["scoped_teams"], serde_json::json!([1, 2]));
    let both = "project:1 project:2 organization:acme";
    assert_eq!(app.restrictions(value).await.as_deref(), Some(both));
    assert!(site.ok(&["key", "list"], "").contains(both));

    let update = |more: &[&str]| site.ok(&[&["key", "update", id], more].concat(), "");
    update(&["--projects", "3 4", "--all-organizations"]);
    assert_eq!(app.restrictions(value).await.as_deref(), Some("project:3 project:4"));
    update(&["--all-projects"]);
    assert_eq!(app.restrictions(value).await.as_deref(), Some(""));
    let empty = site.fails(&["key", "update", id, "--projects", ""], "");
    assert!(empty.contains("--projects: This field may not be blank."), "{empty}");
    let wrong = site.fails(&create(DEMO, "x", &["--organizations", "a/b"]), "");
    assert!(wrong.contains("--organizations: Not a valid id"), "{wrong}");
}

#[test]
fn each_bad_argument_has_a_line() {
    let site = Site::with_users();
    let create = ["key", "create", "--user", DEMO, "--label", " ", "--scopes", "nothing:read"];
    let output = site.run(&[&create[..], &["--expires-at", "2020-01-01T00:00:00Z"]].concat(), "");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{stderr}");
    assert_eq!(lines[0], "key-service: --label: This field may not be blank.");
    assert!(lines[1].starts_with("key-service: --scopes: Invalid scope: nothing:read"), "{stderr}");
    assert_eq!(lines[2], "key-service: --expires-at: This time has passed already.");
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
fn an_existing_key_that_allows_more_is_an_error_for_if_absent() {
    let site = Site::with_users();
    site.ok(&create(DEMO, "ci", &[]), "");
    let restricted = create(DEMO, "ci", &["--if-absent", "--projects", "7"]);
    let stderr = site.fails(&restricted, "");
    let expected = "demo@example.com has the key ci already, and it allows more: all projects; `";
    assert!(stderr.contains(expected), "{stderr}");
    let narrow: Vec<_> = stderr.split('`').nth(1).unwrap().split(' ').skip(1).collect();
    site.ok(&narrow, "");
    assert_eq!(site.ok(&restricted, ""), "", "nothing changed");
    let expiring = create(DEMO, "ci", &["--if-absent", "--expires-at", "30d"]);
    assert!(site.fails(&expiring, "").contains("it allows more: no expiry; "));
}

fn labels(site: &Site, filter: &[&str]) -> Vec<String> {
    let keys = site.json(&[&["key", "list", "--json"], filter].concat());
    keys.as_array().unwrap().iter().map(|key| text(key, "label").to_owned()).collect()
}

#[tokio::test]
async fn a_changed_key_is_worth_the_new_scopes_when_the_command_returns() {
    let app = TestApp::start().await;
    let key = new_key(&app.site, DEMO, "before", &[]);
    let id = text(&key, "id");
    let update = |more: &[&str]| app.site.json(&[&["key", "update", id, "--json"], more].concat());
    let changed =
        update(&["--label", "after", "--scopes", "cohort:write", "--expires-at", "2100-01-01T00:00:00Z"]);
    assert_eq!(app.scopes(text(&key, "value")).await.as_deref(), Some("cohort:write"));
    let fields = ["label", "expires_at"].map(|field| text(&changed, field));
    assert_eq!(fields, ["after", "2100-01-01T00:00:00Z"]);
    assert!(changed["revocation"]["revision"].is_u64());
    assert!(update(&["--label", "again"])["revocation"].is_null(), "a label concerns no edge");
    assert!(update(&["--no-expiry"])["expires_at"].is_null());

    let past = ["key", "update", id, "--expires-at", "2020-01-01T00:00:00Z"];
    assert!(app.site.fails(&past, "").contains(" --expires-at: This time has passed"));
    for usage in [&["key", "update", id][..], &["key", "update", id, "--expires-at", "tomorrow"]] {
        assert_eq!(app.site.run(usage, "").status.code(), Some(2), "{usage:?}");
    }
    assert!(
        app.site.fails(&["key", "update", "nobody", "--label", "x"], "").contains("there is no such key")
    );
}

#[test]
fn keys_with_an_expiry_are_found_by_search_and_state() {
    let site = Site::with_users();
    new_key(&site, DEMO, "nightly build", &["--expires-at", "2100-01-01T00:00:00Z"]);
    new_key(&site, OTHER, "Dashboard", &[]);
    assert_eq!(labels(&site, &[]), ["Dashboard", "nightly build"]);
    assert_eq!(labels(&site, &["--search", "NIGHTLY"]), ["nightly build"]);
    assert_eq!(labels(&site, &["--search", "other@"]), ["Dashboard"]);
    assert_eq!(labels(&site, &["--user", DEMO]), ["nightly build"]);
    assert_eq!(labels(&site, &["--scope", "cohort:read"]), Vec::<String>::new());
    assert_eq!(labels(&site, &["--state", "never_used"]).len(), 2);
    assert_eq!(labels(&site, &["--state", "old"]).len(), 0);
    site.ok(&["user", "disable", OTHER], "");
    assert_eq!(labels(&site, &["--state", "disabled"]), ["Dashboard"]);
    let table = site.ok(&["key", "list", "--search", "build"], "");
    assert!(table.contains("2100-01-01T00:00:00Z") && !table.contains("Dashboard"), "{table}");
    assert_eq!(site.run(&["key", "list", "--state", "odd"], "").status.code(), Some(2));
}

#[test]
fn more_keys_than_a_page_are_all_listed() {
    let site = Site::with_users();
    let lines: Vec<_> = (0..1_001)
        .map(|n| {
            let digest = protocol::KeyDigest::of_value(&format!("phx_{n}")).to_hex();
            format!("user-{}@example.com,key {n},sha256${digest},*\n", n / 10)
        })
        .collect();
    let file = format!("email,label,secure_value,scopes\n{}", lines.concat());
    site.ok(&["import", "-", "--create-users"], &file);
    let mut found = labels(&site, &[]);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 1_001);
    assert_eq!(site.json(&["user", "list", "--json"]).as_array().unwrap().len(), 103);
    let imported = site.json(&["audit", "--action", "key.imported", "--all", "--json"]);
    assert_eq!(imported.as_array().unwrap().len(), 1_001);
}

#[test]
fn a_roll_says_how_long_the_old_value_works() {
    let site = Site::with_users();
    let key = new_key(&site, DEMO, "rolled", &[]);
    let roll = |grace_s: &str| {
        let output = site.run(&["key", "roll", text(&key, "id"), "--grace-s", grace_s], "");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = roll("60");
    assert!(code == Some(0) && stderr.contains("the old value works for 60 seconds more"), "{stderr}");
    assert!(!roll("0").1.contains("old value"));
    let (code, stderr) = roll("-1");
    assert!(code == Some(1) && stderr.contains("--grace-s: Ensure this value is from 0 to"), "{stderr}");
}
