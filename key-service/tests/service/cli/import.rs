//! `import`.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use protocol::{Invalidation, KeyDigest};

use crate::support::scripted_edge::{Edge, SHORT_LEASES, outcome};
use crate::support::{DEMO, OTHER, Site, TestApp, key_path, text};

const HEAD: &str = "email,label,secure_value,scopes,created_at,last_used_at\n";

fn secure_value(value: &str) -> String {
    format!("sha256${}", KeyDigest::of_value(value).to_hex())
}

/// A line for a value.
fn line(email: &str, label: &str, value: &str) -> String {
    let created_at = "2025-01-31T12:00:00Z";
    format!("{email},{label},{},insight:read,{created_at},2026-01-31T12:00:00Z\n", secure_value(value))
}

/// Runs an import, and returns its exit code and its JSON.
pub(super) fn import(site: &Site, args: &[&str], file: &str) -> (i32, serde_json::Value) {
    let output = site.run(&[&["import", "-", "--json"], args].concat(), file);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    (output.status.code().unwrap(), json)
}

/// `lines`, `imported`, `unchanged`, `refused` and `users_added`.
pub(super) fn counts(json: &serde_json::Value) -> [u64; 5] {
    ["lines", "imported", "unchanged", "refused", "users_added"].map(|name| json[name].as_u64().unwrap())
}

fn refused_lines(json: &serde_json::Value) -> Vec<(u64, &str)> {
    let refused = json["refused_lines"].as_array().unwrap();
    refused.iter().map(|refused| (refused["line"].as_u64().unwrap(), text(refused, "field"))).collect()
}

#[tokio::test]
async fn an_imported_key_works_with_its_old_value_and_keeps_what_the_file_says() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let (code, json) = import(&app.site, &[], &[HEAD, &line(DEMO, "CI", "phx_imported")].concat());
    assert_eq!((code, counts(&json)), (0, [1, 1, 0, 0, 0]));
    assert_eq!(app.scopes("phx_imported").await.as_deref(), Some("insight:read"));
    let (_, keys) = demo.get("/api/personal_api_keys/").await;
    let fields = ["label", "mask_value", "created_at", "last_used_at"].map(|field| text(&keys[0], field));
    assert_eq!(fields, ["CI", "********", "2025-01-31T12:00:00Z", "2026-01-31T12:00:00Z"]);
    let logged = "SELECT COUNT(*) FROM audit_log
        WHERE action = 'key.imported' AND actor_kind = 'command_line' AND user_email = 'demo@example.com'
        AND subject_name = 'CI' AND subject_id = (SELECT id FROM api_keys)";
    assert_eq!(app.number(logged).await, 1);
}

#[tokio::test]
async fn the_restrictions_of_posthog_are_imported() {
    let app = TestApp::start().await;
    let head = "email,label,secure_value,scopes,scoped_teams,scoped_organizations\n";
    let line = |value: &str, teams: &str, organizations: &str| {
        let secure_value = secure_value(value);
        format!("{DEMO},{value},{secure_value},{{*}},\"{teams}\",\"{organizations}\"\n")
    };
    let file = [
        head,
        &line("phx_projects", "{1,2}", "{}"),
        &line("phx_organizations", "", "{0185a3b0-5d5c-0000-8e4f-2c9a1b7d6e55}"),
        &line("phx_free", "[]", "NULL"),
        &line("phx_refused", "{1,2", ""),
    ]
    .concat();
    let (code, json) = import(&app.site, &[], &file);
    assert_eq!((code, counts(&json)), (3, [4, 3, 0, 1, 0]));
    assert_eq!(refused_lines(&json), [(5, "scoped_teams")]);
    for (value, restrictions) in [
        ("phx_projects", Some("project:1 project:2")),
        ("phx_organizations", Some("organization:0185a3b0-5d5c-0000-8e4f-2c9a1b7d6e55")),
        ("phx_free", Some("")),
        ("phx_refused", None),
    ] {
        assert_eq!(app.restrictions(value).await.as_deref(), restrictions, "{value}");
    }
}

#[test]
fn a_file_without_restrictions_is_reported() {
    let site = Site::with_users();
    let notice = |format: &str, file: &str| {
        let output = site.run(&["import", "-", "--format", format], file);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let without = "the file has no scoped_teams and no scoped_organizations: \
        its keys are imported without such restrictions\n";
    assert_eq!(notice("csv", &[HEAD, &line(DEMO, "CI", "phx_1")].concat()), without);
    assert_eq!(notice("csv", HEAD), "", "the file has no keys");
    let object = |more: &str| {
        let secure_value = secure_value("phx_1");
        format!(r#"{{"email":"{DEMO}","label":"CI","secure_value":"{secure_value}","scopes":["*"]{more}}}"#)
    };
    assert_eq!(notice("jsonl", &object("")), without);
    let teams = notice("jsonl", &object(r#","scoped_teams":null"#));
    assert!(teams.starts_with("the file has no scoped_organizations: "), "{teams}");
    assert_eq!(notice("jsonl", &site.ok(&["export", "--format", "jsonl"], "")), "");
    assert_eq!(notice("csv", &site.ok(&["export"], "")), "");
}

#[test]
fn a_line_whose_key_allows_more_is_refused() {
    let site = Site::with_users();
    let head = "email,label,secure_value,scopes,expires_at,scoped_teams\n";
    let line = |n: u32, rest: &str| format!("{DEMO},{n},{},{rest}\n", secure_value(&format!("phx_{n}")));
    let first =
        [head, &line(1, "*,,"), &line(2, "*,,"), &line(3, "*,,{7}"), &line(4, "*,,\"{7,8}\"")].concat();
    assert_eq!(import(&site, &[], &first).0, 0);
    let narrower = [
        head,
        &line(1, "insight:read,,"),
        &line(2, "*,2100-01-01T00:00:00Z,"),
        &line(3, "*,,"),
        &line(4, "*,,{7}"),
    ]
    .concat();
    for args in [&["--dry-run"][..], &[]] {
        let (code, json) = import(&site, args, &narrower);
        assert_eq!((code, counts(&json)), (3, [4, 0, 1, 3, 0]));
        assert_eq!(refused_lines(&json), [(2, "scopes"), (3, "expires_at"), (5, "scoped_teams")]);
    }
    // The command of each reason mends its line.
    for refused in import(&site, &[], &narrower).1["refused_lines"].as_array().unwrap() {
        let reason = text(refused, "reason");
        let command = reason.split('`').nth(1).unwrap();
        let args: Vec<_> = command.strip_prefix("key-service ").unwrap().split(' ').collect();
        site.ok(&args, "");
    }
    let (code, json) = import(&site, &[], &narrower);
    assert_eq!((code, counts(&json)), (0, [4, 0, 4, 0, 0]));
}

#[test]
fn bad_lines_are_named_and_the_good_ones_go_in() {
    let site = Site::with_users();
    let of_other = site.json(&["key", "create", "--user", OTHER, "--label", "x", "--scopes", "*", "--json"]);
    let revoked = site.json(&["key", "create", "--user", DEMO, "--label", "x", "--scopes", "*", "--json"]);
    site.ok(&["key", "delete", text(&revoked, "id")], "");
    let mut file = HEAD.to_owned();
    file += &line(DEMO, "good", "phx_2");
    file += &line("stranger@example.com", "no such user", "phx_3");
    file += &line(DEMO, &"x".repeat(41), "phx_4");
    writeln!(file, "{DEMO},an old hash,pbkdf2_sha256$260000$x$y,*,,").unwrap();
    writeln!(file, "{DEMO},a value,phx_a_secret_value,*,,").unwrap();
    file += &line(DEMO, "again", "phx_2");
    file += &line(DEMO, "of another user", text(&of_other, "value"));
    file += &line(DEMO, "revoked", text(&revoked, "value"));
    file += "too,few\n";
    file += &line(DEMO, "two", "phx_11").replace("insight:read", "insight:look");
    file += &line(DEMO, "good too", "phx_12").replace("insight:read", "*");

    let (code, json) = import(&site, &["--dry-run"], &file);
    let expected = [11, 2, 0, 9, 0];
    assert_eq!((code, counts(&json)), (3, expected));
    assert!(site.json(&["key", "list", "--user", DEMO, "--json"]).as_array().unwrap().is_empty());

    let (code, real) = import(&site, &[], &file);
    assert_eq!((code, counts(&real)), (3, expected));
    assert_eq!(refused_lines(&real), refused_lines(&json), "the dry run refuses the same lines");
    let places = [
        (3, "email"),
        (4, "label"),
        (5, "secure_value"),
        (6, "secure_value"),
        (7, "secure_value"),
        (8, "secure_value"),
        (9, "secure_value"),
        (10, ""),
        (11, "scopes"),
    ];
    assert_eq!(refused_lines(&real), places);
    assert_eq!(site.json(&["key", "list", "--user", DEMO, "--json"]).as_array().unwrap().len(), 2);

    let output = site.run(&["import", "-", "--report", "refused.csv"], &file);
    let printed = [output.stdout, output.stderr].concat();
    let report = fs::read_to_string(site.dir.path().join("refused.csv")).unwrap();
    let all = String::from_utf8(printed).unwrap() + &report;
    assert_eq!(report.lines().count(), 10);
    assert!(
        report.contains("\"3\",\"email\",\"there is no user with this address; --create-users adds it\""),
        "{report}"
    );
    assert!(!all.contains("a_secret_value") && !all.contains(text(&revoked, "value")), "{all}");
}

#[test]
fn a_user_gets_ten_keys_at_most() {
    let site = Site::with_users();
    let lines: Vec<_> = (0..12).map(|n| line(DEMO, &format!("key {n}"), &format!("phx_{n}"))).collect();
    // The lines between put the last two lines into another transaction.
    let file = [HEAD, &lines[..10].concat(), &"no key\n".repeat(1_000), &lines[10..].concat()].concat();
    for (dry_run, already) in [(&["--dry-run"][..], 0), (&[], 0), (&[], 10)] {
        let (code, json) = import(&site, dry_run, &file);
        assert_eq!((code, counts(&json)), (3, [1_012, 10 - already, already, 1_002, 0]), "{dry_run:?}");
        assert_eq!(refused_lines(&json).len(), 100, "the first ones are listed");
    }
}

#[tokio::test]
async fn users_are_added_if_asked_for_and_cannot_sign_in_yet() {
    let app = TestApp::start().await;
    let new = "new@example.com";
    let file = [HEAD, &line(new, "one", "phx_1"), &line("New@Example.com", "two", "phx_2")].concat();
    let create = ["--create-users", "--permissions", "insight:write"];
    for (args, added) in [(&["--dry-run"][..], 1), (&[], 1), (&[], 0)] {
        let (code, json) = import(&app.site, &[&create, args].concat(), &file);
        let imported = if added == 1 { 2 } else { 0 };
        assert_eq!((code, counts(&json)), (0, [2, imported, 2 - imported, 0, added]), "{args:?}");
    }
    assert_eq!(app.scopes("phx_2").await.as_deref(), Some("insight:read"), "insight:write is the limit");
    for password in ["", "password"] {
        assert_ne!(app.log_in(new, password).await.status(), 200);
    }
}

#[test]
fn a_file_that_is_none_is_refused_as_a_whole() {
    let site = Site::with_users();
    let fails = |args: &[&str], input: &str| {
        let output = site.run(&[&["import"], args].concat(), input);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(fails(&["missing.csv"], "").contains("cannot read missing.csv: No such file"));
    let without_head = fails(&["-"], &line(DEMO, "CI", "phx_1234567890abcdef"));
    assert!(without_head.contains("column 1 (\"demo@example.com\") is not a field"), "{without_head}");
    let value_first = fails(&["-"], "phx_1234567890abcdef,email\n");
    assert!(value_first.contains("-: line 1: column 1 is not a field"), "{value_first}");
    assert!(fails(&["-"], "{\"email\":\"a@b.c\"}\n").contains("--format jsonl"));
    assert!(fails(&["."], "").contains("cannot read .: is a directory"));
    assert!(fails(&["-"], "email,label,scopes\n").contains("the column secure_value is missing"));
    assert!(
        fails(&["-", "--create-users", "--permissions", "all"], "").contains("--permissions: Invalid scope")
    );
    fs::write(site.dir.path().join("report"), "").unwrap();
    assert!(fails(&["-", "--report", "report"], HEAD).contains("--report: report already exists; nothing"));
}

const ROWS: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn edges_do_not_notice_a_large_import() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let mut file = HEAD.to_owned();
    for row in 0..ROWS {
        let email = format!("user-{}@example.com", row / 10);
        file += &match row % (ROWS / 10) {
            7 => line("nobody", "bad", &format!("phx_{row}")),
            _ => line(&email, &format!("key {row}"), &format!("phx_{row}")),
        };
    }
    let deleted = demo.create_key("deleted meanwhile", &["*"]).await;
    let revision = app.number("SELECT revision FROM revision_log").await;
    let mut edge = Edge::subscribed(&app, "e").await;

    let site = app.site.clone();
    let import_all = move || {
        let begun = Instant::now();
        let first = import(&site, &["--create-users"], &file);
        let took = begun.elapsed();
        (first, took, import(&site, &["--create-users"], &file))
    };
    let importing = tokio::task::spawn_blocking(import_all);
    let (mut syncs, mut slowest) = (0, Duration::ZERO);
    while !importing.is_finished() {
        let begun = Instant::now();
        let response = edge.sync(200).await;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(response.invalidation, Invalidation::Changed(vec![]), "nothing for an edge to forget");
        syncs += 1;
    }
    let (first, took, second) = importing.await.unwrap();
    let rows = ROWS as u64;
    assert_eq!((first.0, counts(&first.1)), (3, [rows, rows - 10, 0, 10, rows / 10]));
    let every_tenth: Vec<_> = (0..10).map(|n| (n * rows / 10 + 9, "email")).collect();
    assert_eq!(refused_lines(&first.1), every_tenth);
    assert_eq!(
        (second.0, counts(&second.1)),
        (3, [rows, 0, rows - 10, 10, 0]),
        "a second run changes nothing"
    );
    println!("{rows} rows in {took:?}; {syncs} syncs at the same time, the slowest took {slowest:?}");
    // On a busy machine too, no sync waits for more than a small part of the import.
    assert!(slowest * 4 < took, "a sync took {slowest:?}, the import {took:?}");
    assert_eq!(app.number("SELECT revision FROM revision_log").await, revision);

    let running = edge.run();
    let (status, answer) = demo.delete(&key_path(&deleted)).await;
    assert_eq!((status.as_u16(), outcome(&answer)), (200, [1, 1, 0]), "the edge kept its lease");
    assert!(running.has_received(text(&deleted, "value")));
    assert_eq!(app.scopes("phx_8").await.as_deref(), Some("insight:read"));
}

#[test]
fn a_line_with_a_scope_that_its_user_lacks_is_refused() {
    let site = Site::with_users();
    let line = |email: &str, n: u32, scopes: &str| {
        format!("{email},CI,{},{scopes}\n", secure_value(&format!("phx_{n}")))
    };
    let file = [
        "email,label,secure_value,scopes\n".to_owned(),
        line(OTHER, 1, "insight:read"),
        line(OTHER, 2, "insight:write"),
        line("new@example.com", 3, "cohort:read"),
        line("newer@example.com", 4, "insight:read"),
        line("newer@example.com", 5, "*"),
    ];
    let create = ["--create-users", "--permissions", "insight:read"];
    let (_, dry) = import(&site, &[&create[..], &["--dry-run"]].concat(), &file.concat());
    let (code, real) = import(&site, &create, &file.concat());
    assert_eq!((code, refused_lines(&real)), (3, vec![(3, "scopes"), (4, "scopes")]));
    assert_eq!(counts(&real), [5, 3, 0, 2, 1], "a refused line adds no user");
    assert_eq!((refused_lines(&dry), counts(&dry)), (refused_lines(&real), counts(&real)));
    assert_eq!(
        real["refused_lines"][0]["reason"],
        "The owner of the key lacks this permission: insight:write"
    );
}
