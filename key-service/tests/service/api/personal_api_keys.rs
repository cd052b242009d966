//! A key's life, from its creation to its end.

use std::time::Duration;

use protocol::Verdict;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{KEYS, OTHER, Process, TestApp, key_path, read, text};

#[tokio::test]
async fn a_key_works_from_its_creation_until_its_deletion() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("  Production  ", &["insight:read", "cohort:write"]).await;
    let value = text(&key, "value").to_owned();
    assert_eq!(value.len(), 54);
    assert_eq!(key["label"], "Production");
    assert_eq!(key["mask_value"], format!("phx_...{}", &value[50..]));
    assert_eq!(key["scopes"], json!(["insight:read", "cohort:write"]));
    assert!(text(&key, "created_at").ends_with('Z'));
    for field in ["last_used_at", "last_rolled_at", "expires_at"] {
        assert_eq!(key[field], Value::Null, "{field}");
    }
    assert_eq!(app.scopes(&value).await.as_deref(), Some("insight:read cohort:write"));

    let mut shown = key.clone();
    shown["value"] = Value::Null;
    assert_eq!(demo.get(&key_path(&key)).await, (200.try_into().unwrap(), shown.clone()));
    assert_eq!(demo.get(KEYS).await, (200.try_into().unwrap(), json!([shown])));

    let (status, deleted) = demo.delete(&key_path(&key)).await;
    assert_eq!((status.as_u16(), &deleted["id"]), (200, &key["id"]));
    assert_eq!(app.scopes(&value).await, None);
    assert_eq!(demo.get(&key_path(&key)).await.0, 404);
    assert_eq!(demo.delete(&key_path(&key)).await.0, 404);
    assert_eq!(demo.get(KEYS).await.1, json!([]));
}

#[tokio::test]
async fn a_value_is_shown_once_and_never_stored_or_logged() {
    let mut app = Process::start().await;
    let demo = app.demo();
    let key = demo.create_key("secret", &["*"]).await;
    let (_, rolled) = demo.post(&format!("{}roll/", key_path(&key)), json!({"grace_s": 60})).await;
    let (_, patched) = demo.patch(&key_path(&key), json!({"label": "still secret"})).await;
    assert_eq!(patched["value"], Value::Null);
    let adopted = "phx_1234567890abcdef";
    app.site.ok(
        &["key", "create", "--user", "demo@example.com", "--label", "docs", "--scopes", "*", "--value-stdin"],
        adopted,
    );

    let values = [text(&key, "value"), text(&rolled, "value"), adopted];
    let (_, listed) = demo.get(KEYS).await;
    for value in values {
        assert!(app.scopes(value).await.is_some(), "{value}");
        let hidden = |bytes: &[u8]| !bytes.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(hidden(&app.site.storage.content()) && hidden(listed.to_string().as_bytes()));
        assert!(hidden(app.log_text().as_bytes()));
    }
    app.stop();
    let stored = app.site.storage.content();
    assert!(stored.windows(5).any(|window| window == b"phx_."), "the masks are there");
    assert!(!stored.windows(values[0].len()).any(|window| window == values[0].as_bytes()));
}

#[tokio::test]
async fn keys_are_listed_newest_first_and_a_repeated_label_is_allowed() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let first = demo.create_key("CI", &["*"]).await;
    let second = demo.create_key("CI", &["*"]).await;
    let (_, listed) = demo.get(KEYS).await;
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert_eq!(ids, [&second["id"], &first["id"]]);
}

#[tokio::test]
async fn every_path_works_with_and_without_its_last_slash() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let (status, key) = demo.post("/api/personal_api_keys", json!({"label": "a", "scopes": ["*"]})).await;
    assert_eq!(status, 201);
    let bare = key_path(&key).trim_end_matches('/').to_owned();
    assert_eq!(demo.get("/api/personal_api_keys").await.0, 200);
    assert_eq!(demo.get("/api/users/@me").await.1["email"], "demo@example.com");
    assert_eq!(demo.get(&bare).await.0, 200);
    assert_eq!(demo.patch(&bare, json!({})).await.0, 200);
    assert_eq!(demo.post(&format!("{bare}/roll"), json!({})).await.0, 200);
    assert_eq!(demo.delete(&bare).await.0, 200);
}

#[tokio::test]
async fn another_users_key_is_not_found_whatever_is_tried() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let key = demo.create_key("mine", &["*"]).await;
    assert_eq!(other.get(KEYS).await.1, json!([]));
    assert_eq!(other.get(&key_path(&key)).await.0, 404);
    assert_eq!(other.patch(&key_path(&key), json!({"label": "yours"})).await.0, 404);
    assert_eq!(other.post(&format!("{}roll/", key_path(&key)), json!({})).await.0, 404);
    let (status, body) = other.delete(&key_path(&key)).await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!("not_found")));
    assert!(app.scopes(text(&key, "value")).await.is_some());
    assert_eq!(demo.get(&key_path(&key)).await.1["label"], "mine");
}

#[tokio::test]
async fn a_key_can_do_no_more_than_its_user() {
    let app = TestApp::start().await;
    let other = app.other();
    app.site.ok(&["user", "permissions", OTHER, "*"], "");
    let all = other.create_key("all", &["*"]).await;
    let some = other.create_key("some", &["insight:write", "project:read"]).await;
    assert_eq!(some["scopes"], json!(["insight:write", "project:read"]), "kept as written");
    app.site.ok(&["user", "permissions", OTHER, "insight:read,cohort:write"], "");
    assert_eq!(app.scopes(text(&all, "value")).await.as_deref(), Some("insight:read cohort:write"));
    assert_eq!(app.scopes(text(&some, "value")).await.as_deref(), Some("insight:read"));
}

#[tokio::test]
async fn new_scopes_count_at_once() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("narrowing", &["*"]).await;
    let (status, patched) = demo.patch(&key_path(&key), json!({"scopes": ["insight:read"]})).await;
    assert_eq!(
        (status.as_u16(), &patched["scopes"], &patched["label"]),
        (200, &json!(["insight:read"]), &key["label"])
    );
    assert_eq!(app.scopes(text(&key, "value")).await.as_deref(), Some("insight:read"));
}

#[tokio::test]
async fn a_key_is_restricted_to_projects_and_organizations() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let body = json!({
        "label": "CI", "scopes": ["*"], "scoped_teams": [2, "1", 2, "eu-1"], "scoped_organizations": ["acme"]
    });
    let (status, key) = demo.post(KEYS, body).await;
    assert_eq!(status, 201, "{key}");
    let restricted = [&json!([2, 1, "eu-1"]), &json!(["acme"])];
    let of = |key: &Value| [key["scoped_teams"].clone(), key["scoped_organizations"].clone()];
    assert_eq!(of(&key).each_ref(), restricted);
    assert_eq!(of(&demo.get(&key_path(&key)).await.1).each_ref(), restricted);
    assert_eq!(of(&demo.get(KEYS).await.1[0]).each_ref(), restricted);
    assert_eq!(of(&app.admin().get("/api/keys/").await.1["results"][0]).each_ref(), restricted);
    let at_edges = "project:2 project:1 project:eu-1 organization:acme";
    assert_eq!(app.restrictions(text(&key, "value")).await.as_deref(), Some(at_edges));

    let (_, rolled) = demo.post(&format!("{}roll/", key_path(&key)), json!({})).await;
    assert_eq!(of(&rolled).each_ref(), restricted, "a roll keeps them");
    assert_eq!(app.restrictions(text(&rolled, "value")).await.as_deref(), Some(at_edges));
    let (_, relabelled) = demo.patch(&key_path(&key), json!({"label": "Build"})).await;
    assert_eq!((of(&relabelled).each_ref(), &relabelled["revocation"]), (restricted, &Value::Null));

    let (_, changed) = demo.patch(&key_path(&key), json!({"scoped_teams": []})).await;
    assert_eq!(of(&changed), [Value::Null, json!(["acme"])]);
    let (_, changed) = demo.patch(&key_path(&key), json!({"scoped_organizations": null})).await;
    assert_eq!(of(&changed), [Value::Null, Value::Null]);

    let (_, log) = app.admin().get("/api/audit_log/").await;
    let details: Vec<_> = log["results"].as_array().unwrap().iter().map(|entry| &entry["detail"]).collect();
    assert_eq!(*details[0], json!({"scoped_organizations": {"from": ["acme"], "to": null}}));
    assert_eq!(*details[1], json!({"scoped_teams": {"from": [2, 1, "eu-1"], "to": null}}));
    let created = details.iter().find(|detail| detail["scopes"].is_array()).unwrap();
    assert_eq!(of(created).each_ref(), restricted);
}

#[tokio::test]
async fn a_restriction_that_is_no_list_of_ids_is_refused() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["*"]).await;
    let too_many: Vec<_> = (0..101).collect();
    for (value, code) in [
        (json!("1"), "not_a_list"),
        (json!([-1]), "invalid_input"),
        (json!([1.5]), "invalid_input"),
        (json!([true]), "invalid_input"),
        (json!([null]), "null"),
        (json!([1, "@current"]), "invalid_input"),
        (json!(too_many), "max_length"),
    ] {
        for field in ["scoped_teams", "scoped_organizations"] {
            let mut body = json!({"label": "x", "scopes": ["*"]});
            body[field] = value.clone();
            let (status, refused) = demo.post(KEYS, body).await;
            assert_eq!(
                (status.as_u16(), &refused["attr"], &refused["code"]),
                (400, &json!(field), &json!(code)),
                "{refused}"
            );
            let (status, refused) = demo.patch(&key_path(&key), json!({ field: value })).await;
            assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!(field)), "{refused}");
        }
    }
    let most: Vec<_> = (0..100).collect();
    assert_eq!(demo.patch(&key_path(&key), json!({"scoped_teams": most})).await.0, 200);
}

#[tokio::test]
async fn a_roll_without_grace_ends_every_old_value_at_once() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("rolled", &["*"]).await;
    let roll = format!("{}roll/", key_path(&key));
    let (_, second) = demo.post(&roll, json!({"grace_s": 3600})).await;
    let (_, third) = demo.post(&roll, json!({"grace_s": 3600})).await;
    for key in [&key, &second, &third] {
        assert!(app.scopes(text(key, "value")).await.is_some(), "the grace runs");
    }
    let (status, last) = read(demo.request(Method::POST, &roll)).await;
    assert_eq!(status, 200, "a body is optional");
    for key in [&key, &second, &third] {
        assert_eq!(app.scopes(text(key, "value")).await, None);
    }
    assert!(app.scopes(text(&last, "value")).await.is_some());
    for field in ["id", "label", "scopes", "created_at", "last_used_at"] {
        assert_eq!(last[field], key[field], "{field}");
    }
    assert!(last["last_rolled_at"].is_string());
    assert_ne!(last["mask_value"], key["mask_value"]);
}

async fn assert_works_for_an_hour(app: &TestApp, value: &str) {
    match &app.verify(&[value]).await.verdicts[0] {
        Verdict::Active(active) => {
            let left = active.expires_in_ms.unwrap();
            assert!((3_500_000..=3_600_000).contains(&left), "{left}");
        }
        Verdict::Inactive => panic!("it has an hour left"),
    }
}

#[tokio::test]
async fn an_old_value_works_as_long_as_its_grace_and_no_longer_than_its_key() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("rolled", &["*"]).await;
    let roll = format!("{}roll/", key_path(&key));
    let (_, second) = demo.post(&roll, json!({"grace_s": 3600})).await;
    assert_works_for_an_hour(&app, text(&key, "value")).await;
    app.alter("UPDATE key_digests SET expires_at = expires_at - 3600000").await;
    assert_eq!(app.scopes(text(&key, "value")).await, None);
    assert!(app.scopes(text(&second, "value")).await.is_some());

    let (_, third) = demo.post(&roll, json!({"grace_s": 3600})).await;
    demo.delete(&key_path(&key)).await;
    for key in [&second, &third] {
        assert_eq!(app.scopes(text(key, "value")).await, None);
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_and_can_be_given_more_time() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let in_an_hour = time::OffsetDateTime::now_utc() + Duration::from_secs(3600);
    let in_an_hour = in_an_hour.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({"label": "short-lived", "scopes": ["*"], "expires_at": in_an_hour});
    let (status, key) = demo.post(KEYS, body).await;
    assert_eq!(status, 201, "{key}");
    let value = text(&key, "value");
    assert_works_for_an_hour(&app, value).await;
    app.alter("UPDATE api_keys SET expires_at = expires_at - 3600000").await;
    assert_eq!(app.scopes(value).await, None);

    let (_, patched) = demo.patch(&key_path(&key), json!({"expires_at": "2100-01-01T00:00:00+00:00"})).await;
    assert_eq!(patched["expires_at"], "2100-01-01T00:00:00Z");
    assert!(app.scopes(value).await.is_some());
    let (_, patched) = demo.patch(&key_path(&key), json!({"expires_at": null})).await;
    assert_eq!(patched["expires_at"], Value::Null);
    let (_, unchanged) = demo.patch(&key_path(&key), json!({"label": "kept"})).await;
    assert_eq!((&unchanged["expires_at"], &unchanged["label"]), (&Value::Null, &json!("kept")));
}

#[tokio::test]
async fn a_user_has_ten_keys_at_most() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    for _ in 0..10 {
        demo.create_key("one of ten", &["*"]).await;
    }
    let eleventh = demo.post(KEYS, json!({"label": "eleventh", "scopes": ["*"]})).await;
    let expected = json!({
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "You can only have 10 personal API keys. Remove an existing key before creating a new one.",
        "attr": null
    });
    assert_eq!(eleventh, (400.try_into().unwrap(), expected));
    other.create_key("another user's first", &["*"]).await;
}

#[tokio::test]
async fn concurrent_creations_do_not_exceed_the_limit() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let attempts: Vec<_> = (0..16)
        .map(|_| {
            let demo = demo.clone();
            tokio::spawn(async move { demo.post(KEYS, json!({"label": "race", "scopes": ["*"]})).await.0 })
        })
        .collect();
    let mut created = 0;
    for attempt in attempts {
        let status = attempt.await.unwrap();
        assert!(status == 201 || status == 400, "{status}");
        created += usize::from(status == 201);
    }
    assert_eq!(created, 10);
}

#[tokio::test]
async fn a_key_gets_no_scope_that_its_user_lacks() {
    let app = TestApp::start().await;
    let other = app.other();
    let lacks = |scope: &str| format!("The owner of the key lacks this permission: {scope}");
    for (scopes, lacking) in
        [(json!(["insight:write"]), "insight:write"), (json!(["insight:read", "person:read"]), "person:read")]
    {
        let (status, refused) = other.post(KEYS, json!({"label": "x", "scopes": scopes})).await;
        assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!("scopes")));
        assert_eq!(refused["detail"], lacks(lacking));
    }
    let create = ["key", "create", "--user", OTHER, "--label", "x", "--scopes", "person:read"];
    let error = app.site.fails(&create, "");
    assert!(error.contains(&format!("--scopes: {}", lacks("person:read"))), "{error}");
    let adopted = app.site.fails(&[&create[..], &["--value-stdin"]].concat(), "phx_1234567890abcdef");
    assert!(adopted.contains("--scopes: "), "{adopted}");

    let everything = other.create_key("everything", &["*"]).await;
    let value = text(&everything, "value");
    assert_eq!(app.scopes(value).await.as_deref(), Some("insight:read cohort:write"));
    let key = other.create_key("CI", &["insight:read", "cohort:write"]).await;
    let (status, refused) = other.patch(&key_path(&key), json!({"scopes": ["person:read"]})).await;
    assert_eq!((status.as_u16(), &refused["detail"]), (400, &json!(lacks("person:read"))));

    app.site.ok(&["user", "permissions", OTHER, "person:write"], "");
    assert_eq!(app.scopes(value).await.as_deref(), Some("person:write"), "now and later");
    let kept = json!({"scopes": ["insight:read", "person:read"]});
    assert_eq!(
        other.patch(&key_path(&key), kept).await.0,
        200,
        "what it had can stay, and works when the user may"
    );
    assert_eq!(app.scopes(text(&key, "value")).await.as_deref(), Some("person:read"));
}

#[tokio::test]
async fn a_label_with_a_control_of_the_reading_direction_is_refused() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let label = "CI \u{202e}noitcudorp";
    let (status, refused) = demo.post(KEYS, json!({"label": label, "scopes": ["*"]})).await;
    assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!("label")), "{refused}");
    let key = demo.create_key("CI", &["*"]).await;
    assert_eq!(demo.patch(&key_path(&key), json!({"label": label})).await.1["attr"], "label");
    let token = json!({"label": label, "user_ids": null});
    assert_eq!(admin.post("/api/management_tokens/", token).await.1["attr"], "label");
}
