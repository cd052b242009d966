//! The import of keys from a database with PostHog's tables.

use std::env;
use std::process::Command;

use protocol::KeyDigest;
use serde_json::json;
use test_stack::postgres::programs;

use crate::storage::postgresql::server::{role, shared};
use crate::support::{DEMO, OTHER, Site, text};

/// The columns of PostHog's tables that the documented query reads.
const TABLES: &str = "CREATE TABLE posthog_user (id integer, email varchar(254), is_active boolean);
    CREATE TABLE posthog_personalapikey (id varchar(50), user_id integer, label varchar(40), mask_value varchar(11),
        secure_value varchar(300), created_at timestamptz, last_used_at timestamptz, last_rolled_at timestamptz,
        scopes varchar(100)[], scoped_teams integer[], scoped_organizations varchar(100)[])";

/// The shell command of `docs/operations.md` that writes the keys of PostHog into a file.
fn documented_command() -> &'static str {
    let page = include_str!("../../../../../docs/operations.md");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains("posthog_personalapikey")).unwrap()
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn the_documented_query_writes_a_file_that_the_import_takes() {
    let postgres = shared();
    let role = role(&postgres);
    let databases = postgres.databases();
    let run = |sql: &str| databases.query(&role.database, sql).unwrap();
    run(TABLES);
    run(&format!("INSERT INTO posthog_user VALUES (1, '{DEMO}', true), (2, '{OTHER}', false)"));
    let insert = |user: u32, label: &str, lists: &str| {
        let secure_value = format!("sha256${}", KeyDigest::of_value(&format!("phx_{label}")).to_hex());
        run(&format!(
            "INSERT INTO posthog_personalapikey VALUES ('{label}', {user}, '{label}', 'phx_...{label}', '{secure_value}',
                '2025-01-31 13:00:00+01', '2026-01-31 12:00:00+00', NULL, {lists})"
        ));
    };
    insert(1, "free", "'{*}', NULL, NULL");
    insert(1, "list", "'{insight:read,cohort:write}', '{}', '{}'");
    insert(1, "both", "'{*}', '{1,2}', '{0185a3b0-5d5c-0000-8e4f-2c9a1b7d6e55}'");
    insert(1, "none", "NULL, NULL, NULL");
    insert(2, "gone", "'{*}', NULL, NULL");

    let site = Site::with_users();
    let path = [programs::find().unwrap().into_os_string(), env::var_os("PATH").unwrap_or_default()];
    let mut shell = Command::new("sh");
    shell.args(["-c", documented_command()]).current_dir(site.dir.path());
    shell.env("PATH", path.join(":".as_ref()));
    shell.env("POSTHOG_DATABASE_URL", postgres.databases().url(&role.database));
    assert!(shell.status().unwrap().success());

    let output = site.run(&["import", "posthog-keys.csv"], "");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert_eq!(stderr.lines().next(), Some("line 5: scopes: This field is required."), "{stderr}");
    assert!(!stderr.contains("without such restrictions"), "{stderr}");
    let keys = site.json(&["key", "list", "--json"]);
    let mut found: Vec<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            assert_eq!(text(key, "created_at"), "2025-01-31T12:00:00Z");
            json!([key["label"], key["scopes"], key["scoped_teams"], key["scoped_organizations"]])
        })
        .collect();
    found.sort_by_key(ToString::to_string);
    let both = json!(["both", ["*"], [1, 2], ["0185a3b0-5d5c-0000-8e4f-2c9a1b7d6e55"]]);
    let list = json!(["list", ["insight:read", "cohort:write"], null, null]);
    assert_eq!(found, [both, json!(["free", ["*"], null, null]), list]);
}
