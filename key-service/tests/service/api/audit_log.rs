//! The audit log: the actor, the action, the time and the address of each change.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{DEMO, PASSWORD, Process, TestApp, key_path, text};
use crate::ui::Tab;

#[tokio::test]
async fn every_step_of_a_keys_life_is_in_the_log() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let key = demo.create_key("watched", &["insight:read"]).await;
    let path = key_path(&key);
    demo.patch(&path, json!({"label": "renamed"})).await;
    demo.patch(&path, json!({"scopes": ["*"], "expires_at": "2099-01-01T00:00:00Z"})).await;
    demo.post(&format!("{path}roll/"), json!({"grace_s": 60})).await;
    app.site.ok(&["key", "delete", text(&key, "id")], "");

    let (_, log) = admin.get(&format!("/api/audit_log/?subject_id={}", text(&key, "id"))).await;
    let entries = log["results"].as_array().unwrap();
    let listed: Vec<_> = entries
        .iter()
        .map(|entry| {
            (text(entry, "action"), text(entry, "actor_kind"), text(entry, "subject_name"), &entry["detail"])
        })
        .collect();
    assert_eq!(
        listed,
        [
            ("key.deleted", "command_line", "renamed", &Value::Null),
            ("key.rolled", "user", "renamed", &json!({"grace_s": 60})),
            (
                "key.updated",
                "user",
                "renamed",
                &json!({
                    "scopes": {"from": ["insight:read"], "to": ["*"]},
                    "expires_at": {"from": null, "to": "2099-01-01T00:00:00Z"},
                })
            ),
            ("key.updated", "user", "renamed", &json!({"label": {"from": "watched", "to": "renamed"}})),
            ("key.created", "user", "watched", &json!({"scopes": ["insight:read"]})),
        ]
    );
    let made = entries.last().unwrap();
    assert_eq!((&made["actor_name"], &made["user_email"]), (&json!(DEMO), &json!(DEMO)));
    assert_eq!(made["address"], "127.0.0.1");
    assert_eq!(entries[0]["address"], Value::Null);
    assert!(!log.to_string().contains(text(&key, "value")));
}

#[tokio::test]
async fn sign_ins_are_in_the_log_the_refused_ones_too() {
    let app = TestApp::start().await;
    let admin = app.admin();
    app.log_in(DEMO, PASSWORD).await;
    app.log_in(DEMO, "wrong-password").await;
    app.log_in("nobody@example.com", "wrong-password").await;
    let path = format!("/api/audit_log/?user_id={}&action=user.sign", app.user_id(DEMO));
    let (_, log) = admin.get(&path).await;
    let actions: Vec<_> =
        log["results"].as_array().unwrap().iter().map(|entry| text(entry, "action")).collect();
    assert_eq!(actions[..2], ["user.sign_in_refused", "user.signed_in"], "{log}");
    let (_, refused) = admin.get("/api/audit_log/?action=user.sign_in_refused").await;
    assert_eq!(refused["count"], 2, "an address that nobody has is not kept: {refused}");
    assert!(!refused.to_string().contains("nobody@"));
}

#[tokio::test]
async fn a_failed_change_is_not_in_the_log() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let admin = app.admin();
    let key = demo.create_key("stays", &["*"]).await;
    assert_eq!(other.delete(&key_path(&key)).await.0, 404);
    let (_, log) = admin.get("/api/audit_log/?action=Key.").await;
    assert_eq!(log["count"], 1, "{log}");
}

#[tokio::test]
async fn old_entries_are_forgotten_after_the_retention() {
    let app = Process::start().await;
    let demo = app.demo();
    demo.create_key("long ago", &["*"]).await;
    app.alter("UPDATE audit_log SET at = at - 3 * 86400000 WHERE action = 'key.created'").await;
    let app = app.restart(|command| command.env("AUDIT_RETENTION_DAYS", "4"));
    let admin = app.admin();
    let count = async || admin.get("/api/audit_log/?action=key.created").await.1["count"].as_u64().unwrap();
    assert_eq!(count().await, 1, "it is 3 days old, and 4 are kept");
    let cookie = admin.cookie.clone();
    let app = app.restart(|command| command.env("AUDIT_RETENTION_DAYS", "2"));
    let admin = app.browser(&cookie);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while admin.get("/api/audit_log/?action=key.created").await.1["count"] != 0 {
        assert!(std::time::Instant::now() < deadline, "it was not forgotten");
    }
}

#[tokio::test]
async fn entries_are_found_from_a_time_on() {
    // No entry is too old to be kept.
    let app = TestApp::start_with(&["--audit-retention-days", "0"]).await;
    let demo = app.demo();
    let admin = app.admin();
    demo.create_key("long ago", &["*"]).await;
    app.alter("UPDATE audit_log SET at = 1000 WHERE action = 'key.created'").await;
    demo.create_key("today", &["*"]).await;
    let found = async |since: &str| {
        let (_, log) = admin.get(&format!("/api/audit_log/?action=key.&since={since}")).await;
        let entries = log["results"].as_array().unwrap().clone();
        entries.iter().map(|entry| text(entry, "subject_name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("1970-01-01T00:00:01Z").await, ["today", "long ago"], "the time itself counts");
    assert_eq!(found("1970-01-01T00:00:01.001Z").await, ["today"]);
    assert_eq!(found("").await.len(), 2);
    let (status, refused) = admin.get("/api/audit_log/?since=yesterday").await;
    assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!("since")));
}

#[tokio::test]
async fn a_tokens_users_are_named_by_their_addresses() {
    let app = TestApp::start().await;
    let admin = app.admin();
    admin.create_token(Some(&[&app.user_id(DEMO)])).await;
    let (_, log) = admin.get("/api/audit_log/?action=token.created").await;
    assert_eq!(
        log["results"][0]["detail"],
        json!({"users": [DEMO], "can": ["read", "revoke", "create"], "expires_at": null})
    );
}

#[tokio::test]
async fn page_api_download_and_command_line_select_entries_with_the_same_parameters() {
    // No entry is too old to be kept.
    let app = TestApp::start_with(&["--audit-retention-days", "0"]).await;
    let (demo, other, admin) = (app.demo(), app.other(), app.admin());
    demo.create_key("=HYPERLINK(1)", &["*"]).await;
    other.create_key("of another", &["*"]).await;
    app.site.ok(&["key", "create", "--user", DEMO, "--label", "by command", "--scopes", "*"], "");
    app.alter("UPDATE audit_log SET at = 1767225599999 WHERE subject_name = 'of another'").await;
    let labels = |entries: &[Value]| -> Vec<String> {
        entries.iter().map(|entry| text(entry, "subject_name").to_owned()).collect()
    };
    for (query, flags, found) in [
        ("actor=DEMO@", vec!["--actor", "DEMO@"], vec!["=HYPERLINK(1)"]),
        ("search=by+com", vec!["--search", "by com"], vec!["by command"]),
        ("search=other%40", vec!["--search", "other@"], vec!["of another"]),
        ("until=2025-12-31", vec!["--until", "2025-12-31"], vec!["of another"]),
        ("until=2025-12-30", vec!["--until", "2025-12-30"], vec![]),
        (
            "since=2025-12-31&until=2025-12-31T23:59:59.999Z",
            vec!["--since", "2025-12-31"],
            vec!["of another"],
        ),
        ("since=2026-01-01&actor=%25", vec!["--since", "2026-01-01", "--actor", "%"], vec![]),
    ] {
        let query = format!("action=key.&{query}");
        let (_, log) = admin.get(&format!("/api/audit_log/?{query}")).await;
        let entries = log["results"].as_array().unwrap();
        assert_eq!(labels(entries), found, "{query}");

        let path = format!("/admin/audit/download?{query}&utm_source=chat");
        let download = admin.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(
            (download.status().as_u16(), &download.headers()["content-type"]),
            (200, &"application/x-ndjson".parse().unwrap())
        );
        let lines = download.text().await.unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(&lines, entries, "{query}");

        let shown = Tab::of(&admin).get(&format!("/admin/audit?{query}")).await;
        for label in ["=HYPERLINK(1)", "by command", "of another"] {
            assert_eq!(shown.has(label), found.contains(&label), "{query}: {label}");
        }
        let mut flags = [&["audit", "--action", "key.", "--json"], &flags[..]].concat();
        if query.contains("until=2025-12-31T") {
            flags.extend(["--until", "2025-12-31T23:59:59.999Z"]);
        }
        assert_eq!(labels(app.site.json(&flags).as_array().unwrap()), found, "{flags:?}");
    }
    let (status, refused) = admin.get("/api/audit_log/?untill=2030-01-01").await;
    assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!("untill")));
    let download = demo.request(Method::GET, "/admin/audit/download").send().await.unwrap();
    assert_eq!(download.status(), 403);
}

/// More entries than are read at once, many of them of one time.
#[tokio::test]
async fn a_download_has_each_entry_once() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let columns = "at, action, actor_kind, actor_name, detail";
    app.alter(&format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
        INSERT INTO audit_log (id, {columns})
        SELECT 'entry-' || n, CAST(unixepoch('subsec') * 1000 AS BIGINT) + 60000 + n / 1200, 'key.created', 'service', '', 'null' FROM n"
    ))
    .await;
    let download = admin.request(Method::GET, "/admin/audit/download?action=key.").send().await.unwrap();
    let lines = download.text().await.unwrap();
    let ids: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    let distinct: std::collections::HashSet<_> = ids.iter().map(Value::to_string).collect();
    assert_eq!((ids.len(), distinct.len()), (2500, 2500));
}
