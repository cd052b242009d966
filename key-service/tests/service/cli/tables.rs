//! The tables that commands print.

use insta::assert_snapshot;

use crate::support::scripted_edge::Edge;
use crate::support::transcript::without_ids;
use crate::support::{DEMO, OTHER, TestApp};

#[tokio::test]
async fn of_users_keys_tokens_and_the_audit_log() {
    let app = TestApp::start().await;
    let site = &app.site;
    let create = ["key", "create", "--label", "CI", "--scopes", "insight:read,cohort:write", "--user"];
    site.ok(&[&create[..], &[DEMO]].concat(), "");
    site.ok(&[&create[..], &[OTHER, "--expires-at", "2100-01-01T00:00:00Z"]].concat(), "");
    site.ok(&["token", "create", "--label", "terraform", "--user", DEMO, "--can", "read,revoke"], "");
    site.ok(&["token", "create", "--label", "backups"], "");
    site.ok(&["user", "disable", OTHER], "");
    // Each table is as wide in each run.
    for (table, column) in [
        ("users", "created_at"),
        ("api_keys", "created_at"),
        ("management_tokens", "created_at"),
        ("audit_log", "at"),
    ] {
        app.alter(format!("UPDATE {table} SET {column} = 1767323045000")).await;
    }
    for (name, args) in [
        ("user_list", &["user", "list"][..]),
        ("key_list", &["key", "list"]),
        ("token_list", &["token", "list"]),
        ("audit", &["audit", "--limit", "6"]),
    ] {
        assert_snapshot!(name, without_ids(&site.ok(args, "")));
    }
}

#[tokio::test]
async fn of_the_edges() {
    let app = TestApp::start().await;
    Edge::subscribed(&app, "0123456789abcdef").await;
    let table = app.site.ok(&["edges"], "");
    // How long the lease runs still.
    let (table, _) = table.trim_end().rsplit_once("  ").unwrap();
    assert_snapshot!("edges", table);
}

#[tokio::test]
async fn of_leaked_values_and_refused_lines() {
    let app = TestApp::start().await;
    let key = app.demo().create_key("CI", &["*"]).await;
    let values = format!("{}\nphx_of_nobody\n", key["value"].as_str().unwrap());
    let table = app.site.ok(&["key", "leaked", "--source", "a gist"], &values);
    assert_snapshot!("key_leaked", without_ids(&table));
    let file = "email,label,secure_value,scopes\nnobody@example.com,CI,phx_a_value,insight:look\ntoo,few\n";
    let refused = app.site.run(&["import", "-"], file);
    assert_snapshot!("import", String::from_utf8(refused.stdout).unwrap());
}
