//! Everybody's keys, as admins find them.

use serde_json::{Value, json};

use crate::support::{DEMO, TestApp, key_path, text};

#[tokio::test]
async fn letters_beyond_ascii_are_found_as_they_are_shown() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    demo.create_key("Übung İx", &["*"]).await;
    for found in ["%C3%9Cbung", "BUNG", "%C4%B0x"] {
        assert_eq!(admin.get(&format!("/api/keys/?search={found}")).await.1["count"], 1, "{found}");
    }
}

#[tokio::test]
async fn an_admin_sees_and_deletes_any_key_and_gets_none_of_their_values() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let key = demo.create_key("of a member", &["*"]).await;
    let path = key_path(&key);
    assert_eq!(admin.get(&path).await.1["label"], "of a member");
    assert_eq!(admin.post(&format!("{path}roll/"), json!({})).await.0, 404);
    assert_eq!(admin.patch(&path, json!({"scopes": ["*"]})).await.0, 404);
    assert_eq!(admin.delete(&path).await.0, 200);
    assert_eq!(app.scopes(text(&key, "value")).await, None);
}

#[tokio::test]
async fn keys_are_found_by_text_owner_scope_and_state_page_by_page() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let admin = app.admin();
    for n in 0..5 {
        demo.create_key(&format!("CI 100%_{n}"), &["insight:read"]).await;
    }
    other.create_key("Old one", &["cohort:read", "insight:read"]).await;
    app.alter("UPDATE api_keys SET created_at = created_at - 7862400000 WHERE label = 'Old one'").await;

    let labels = async |query: &str| {
        let (status, found) = admin.get(&format!("/api/keys/?{query}")).await;
        assert_eq!(status, 200, "{found}");
        let results = found["results"].as_array().unwrap();
        let labels: Vec<_> = results.iter().map(|key| text(key, "label").to_owned()).collect();
        (found["count"].as_u64().unwrap(), labels)
    };
    assert_eq!(labels("").await.0, 6);
    assert_eq!(labels("search=old%20ONE").await, (1, vec!["Old one".to_owned()]));
    assert_eq!(labels("search=other@").await.0, 1);
    assert_eq!(labels("search=100%25_3").await, (1, vec!["CI 100%_3".to_owned()]), "no wildcards");
    assert_eq!(labels("search=100_3").await.0, 0, "an underscore is an underscore");
    assert_eq!(labels("scope=insight:read").await.0, 6);
    assert_eq!(labels("scope=cohort:read").await.0, 1);
    for state in ["old", "unused"] {
        assert_eq!(labels(&format!("state={state}")).await, (1, vec!["Old one".to_owned()]), "{state}");
    }
    assert_eq!(labels("state=never_used").await.0, 6);
    assert_eq!(labels("state=expired").await.0, 0);
    assert_eq!(labels(&format!("user_id={}", app.user_id(DEMO))).await.0, 5);

    let (_, first) = admin.get("/api/keys/?search=CI&limit=2").await;
    assert_eq!((&first["count"], &first["previous"]), (&json!(5), &Value::Null));
    let (_, second) = admin.get(text(&first, "next")).await;
    let (_, third) = admin.get(text(&second, "next")).await;
    assert_eq!(third["next"], Value::Null);
    let all: Vec<_> = [&first, &second, &third]
        .iter()
        .flat_map(|page| page["results"].as_array().unwrap())
        .map(|key| text(key, "label"))
        .collect();
    assert_eq!(all, ["CI 100%_4", "CI 100%_3", "CI 100%_2", "CI 100%_1", "CI 100%_0"]);
    assert_eq!(admin.get(text(&second, "previous")).await.1, first);

    for (query, attr) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("offset=-1", "offset"),
        ("state=new", "state"),
        ("scope=cohort", "scope"),
        ("scope=%25", "scope"),
    ] {
        let (status, answer) = admin.get(&format!("/api/keys/?{query}")).await;
        assert_eq!((status.as_u16(), &answer["attr"]), (400, &json!(attr)), "{query}");
    }
}

#[tokio::test]
async fn ten_thousand_keys_of_a_thousand_accounts_are_listed_and_found() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let mut file = "email,label,secure_value,scopes,created_at,last_used_at\n".to_owned();
    for row in 0..10_000 {
        let digest = protocol::KeyDigest::of_value(&format!("phx_{row}")).to_hex();
        let created = "2026-01-02T03:04:05Z";
        file += &format!(
            "user-{:03}@example.com,key {row:04},sha256${digest},insight:read,{created},\n",
            row / 10
        );
    }
    app.site.ok(&["import", "--create-users", "-"], &file);

    let mut took = Vec::new();
    let mut labels = std::collections::BTreeSet::new();
    let mut next = Some("/api/keys/?limit=1000".to_owned());
    while let Some(path) = next {
        let begun = std::time::Instant::now();
        let (status, found) = admin.get(&path).await;
        took.push(begun.elapsed());
        assert_eq!((status.as_u16(), &found["count"]), (200, &json!(10_000)));
        labels.extend(found["results"].as_array().unwrap().iter().map(|key| text(key, "label").to_owned()));
        next = found["next"].as_str().map(str::to_owned);
    }
    assert_eq!((took.len(), labels.len()), (10, 10_000), "each key once");
    for (query, count) in [
        ("search=key%207771", 1),
        ("search=user-042", 10),
        ("search=USER-42@example.com&limit=1", 0),
        ("state=never_used&limit=1", 10_000),
        ("scope=insight:read&search=key%2099&limit=50", 100),
    ] {
        let begun = std::time::Instant::now();
        assert_eq!(admin.get(&format!("/api/keys/?{query}")).await.1["count"], count, "{query}");
        took.push(begun.elapsed());
    }
    let (_, users) = admin.get("/api/users/?search=user-9&limit=50").await;
    assert_eq!((&users["count"], users["results"].as_array().unwrap().len()), (&json!(100), 50));
    println!("pages of 1,000 and searches among 10,000 keys: {took:?}");
}
