//! The rights of management tokens.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, DEMO, KEYS, OTHER, Process, TestApp, client, key_path, text};

#[tokio::test]
async fn a_token_for_one_user_manages_that_users_keys_alone() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let admin = app.admin();
    let (demo_id, other_id) = (app.user_id(DEMO), app.user_id(OTHER));
    let automation = admin.create_token(Some(&[&demo_id])).await;
    let foreign = other.create_key("of another", &["*"]).await;

    let body = json!({"label": "by terraform", "scopes": ["insight:read"], "user_id": demo_id});
    let (status, key) = automation.call(Method::POST, KEYS, body.clone()).await;
    assert_eq!((status.as_u16(), &key["user_id"]), (201, &json!(demo_id)), "{key}");
    let path = key_path(&key);
    assert!(app.scopes(text(&key, "value")).await.is_some());
    assert_eq!(demo.get(KEYS).await.1.as_array().unwrap().len(), 1, "it is the user's own");
    let (status, rolled) = automation.call(Method::POST, &format!("{path}roll/"), json!({})).await;
    assert_eq!(status, 200, "{rolled}");
    assert_eq!(automation.call(Method::PATCH, &path, json!({"label": "renamed"})).await.0, 200);
    assert_eq!(automation.call(Method::GET, &path, Value::Null).await.1["label"], "renamed");
    let (_, list) = automation.call(Method::GET, &format!("{KEYS}?user_id={demo_id}"), Value::Null).await;
    assert_eq!(list.as_array().unwrap().len(), 1);
    let (_, found) = automation.call(Method::GET, "/api/keys/", Value::Null).await;
    assert_eq!(found["count"], 1, "{found}");
    assert_eq!(automation.call(Method::DELETE, &path, Value::Null).await.0, 200);

    let foreign = key_path(&foreign);
    for (method, path) in [
        (Method::GET, foreign.clone()),
        (Method::PATCH, foreign.clone()),
        (Method::DELETE, foreign.clone()),
        (Method::POST, format!("{foreign}roll/")),
    ] {
        assert_eq!(automation.call(method.clone(), &path, json!({})).await.0, 404, "{method} {path}");
    }
    for user_id in [&other_id, "nobody"] {
        let (status, answer) = automation
            .call(Method::POST, KEYS, json!({"label": "x", "scopes": ["*"], "user_id": user_id}))
            .await;
        assert_eq!((status.as_u16(), &answer["attr"]), (400, &json!("user_id")), "{answer}");
    }
    let (status, answer) = automation.call(Method::GET, KEYS, Value::Null).await;
    assert_eq!(
        (status.as_u16(), &answer["attr"], &answer["code"]),
        (400, &json!("user_id"), &json!("required"))
    );
    for path in ["/api/users/", "/api/audit_log/", "/api/edges/"] {
        assert_eq!(automation.call(Method::GET, path, Value::Null).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn a_token_for_all_manages_accounts_but_creates_no_tokens_and_no_admins() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let new = json!({"email": "new@example.com", "permissions": ["*"]});
    let (status, user) = automation.call(Method::POST, "/api/users/", new).await;
    assert_eq!(status, 201, "{user}");
    let path = format!("/api/users/{}/", text(&user, "id"));
    assert_eq!(automation.call(Method::PATCH, &path, json!({"permissions": ["insight:read"]})).await.0, 200);
    assert_eq!(automation.call(Method::POST, &format!("{path}link/"), Value::Null).await.0, 201);
    for path in ["/api/users/", "/api/audit_log/", "/api/edges/"] {
        assert_eq!(automation.call(Method::GET, path, Value::Null).await.0, 200, "{path}");
    }
    let key = json!({"label": "x", "scopes": ["*"], "user_id": "nobody"});
    let (status, answer) = automation.call(Method::POST, KEYS, key).await;
    assert_eq!((status.as_u16(), &answer["attr"]), (400, &json!("user_id")), "{answer}");

    let an_admin = json!({"email": "root@example.com", "permissions": ["*"], "is_admin": true});
    assert_eq!(automation.call(Method::POST, "/api/users/", an_admin).await.0, 403);
    let of_admin = format!("{}link/", app.user_path(ADMIN));
    assert_eq!(automation.call(Method::POST, &of_admin, Value::Null).await.0, 403);
    let admin_path = app.user_path(ADMIN);
    for body in [json!({"is_active": false}), json!({"permissions": []})] {
        assert_eq!(
            automation.call(Method::PATCH, &admin_path, body.clone()).await.0,
            403,
            "an admin's: {body}"
        );
    }
    assert_eq!(automation.call(Method::PATCH, &path, json!({"is_admin": true})).await.0, 403);
    assert_eq!(automation.call(Method::PATCH, &path, json!({"permissions": []})).await.0, 200);
    let token = json!({"label": "child", "user_ids": null});
    assert_eq!(automation.call(Method::POST, "/api/management_tokens/", token).await.0, 403);
    assert_eq!(
        automation.call(Method::GET, "/api/users/@me/", Value::Null).await.0,
        401,
        "a token is not a user"
    );
}

#[tokio::test]
async fn a_token_ends_when_it_is_revoked_or_expires_and_its_value_is_shown_once() {
    let mut app = Process::start().await;
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let (_, tokens) = admin.get("/api/management_tokens/").await;
    assert_eq!(tokens[0]["created_by"], ADMIN);
    assert!(tokens[0].get("value").is_none() && tokens[0]["last_used_at"].is_null(), "{tokens}");
    assert_eq!(automation.call(Method::GET, "/api/users/", Value::Null).await.0, 200);
    let (_, tokens) = admin.get("/api/management_tokens/").await;
    assert!(tokens[0]["last_used_at"].is_string(), "{tokens}");

    let mistyped = client().get(format!("{}/api/users/", app.public)).bearer_auth("ekm_wrong");
    assert_eq!(mistyped.send().await.unwrap().status(), 401);
    let path = format!("/api/management_tokens/{}/", automation.id);
    assert_eq!(admin.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(automation.call(Method::GET, "/api/users/", Value::Null).await.0, 401);
    assert_eq!(admin.delete(&path).await.0, 404);

    let short = admin.create_token(None).await;
    app.alter("UPDATE management_tokens SET expires_at = 1").await;
    assert_eq!(short.call(Method::GET, "/api/users/", Value::Null).await.0, 401);

    app.stop();
    let stored = app.site.storage.content();
    for secret in [&automation.token, &short.token] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
        assert!(!app.log_text().contains(secret.as_str()));
    }
}

#[tokio::test]
async fn a_token_is_for_users_that_exist() {
    let app = TestApp::start().await;
    let admin = app.admin();
    for (body, attr) in [
        (json!({"label": "x"}), "user_ids"),
        (json!({"label": "x", "user_ids": ["nobody"]}), "user_ids"),
        (json!({"label": "x", "user_ids": "all"}), "user_ids"),
        (json!({"label": " ", "user_ids": null}), "label"),
        (json!({"label": "x", "user_ids": null, "can": []}), "can"),
        (json!({"label": "x", "user_ids": null, "can": ["delete"]}), "can"),
        (json!({"label": "x", "user_ids": null, "can": null}), "can"),
        (json!({"label": "x", "user_ids": null, "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
    ] {
        let (status, answer) = admin.post("/api/management_tokens/", body.clone()).await;
        assert_eq!((status.as_u16(), &answer["attr"]), (400, &json!(attr)), "{body}");
    }
    let none = admin.create_token(Some(&[])).await;
    assert_eq!(none.call(Method::GET, "/api/keys/", Value::Null).await.1["count"], 0);
}

const VERBS: [&str; 3] = ["read", "revoke", "create"];

#[tokio::test]
async fn a_token_can_only_do_what_its_verb_allows() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let mut tokens = Vec::new();
    for verb in VERBS {
        tokens.push((verb, admin.create_token_that_can(&[verb], None).await));
    }
    let (_, document) = admin.get("/api/openapi.json").await;
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().cloned().unwrap_or_default();
            let Some(needed) = security.iter().find_map(|way| way["management_token"].as_array()) else {
                continue;
            };
            let needed: Vec<_> = needed.iter().map(|verb| verb.as_str().unwrap()).collect();
            if needed == ["create", "revoke"] {
                assert_eq!((path.as_str(), method.as_str()), ("/api/users/{id}/", "patch"));
                continue;
            }
            let [needed] = needed[..] else { panic!("{method} {path}: {needed:?}") };
            for (verb, token) in &tokens {
                let call = (method.to_uppercase().parse().unwrap(), path.replace("{id}", "none"));
                let (status, answer) = token.call(call.0, &call.1, json!({})).await;
                if *verb == needed {
                    assert!(![401, 403].contains(&status.as_u16()), "{verb}: {method} {path}: {answer}");
                } else {
                    let detail = format!("This management token cannot {needed}; it can {verb}.");
                    assert_eq!(
                        (status.as_u16(), text(&answer, "detail")),
                        (403, &*detail),
                        "{method} {path}"
                    );
                }
            }
            tried += 1;
        }
    }
    assert!(tried >= 13, "{tried}");
}

#[tokio::test]
async fn disabling_a_user_needs_revoke_and_other_changes_need_create() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let user = app.user_path(OTHER);
    let [read, revoke, create] = [
        admin.create_token_that_can(&["read"], None).await,
        admin.create_token_that_can(&["revoke"], None).await,
        admin.create_token_that_can(&["create"], None).await,
    ];
    let both = admin.create_token_that_can(&["create", "revoke"], None).await;
    let off = json!({"is_active": false});
    let more = json!({"is_active": false, "permissions": ["*"]});
    for (token, body, expected) in [
        (&read, &off, 403),
        (&create, &off, 403),
        (&revoke, &more, 403),
        (&create, &more, 403),
        (&revoke, &json!({}), 403),
        (&revoke, &json!({"is_active": true}), 403),
        (&revoke, &json!({"permissions": []}), 403),
        (&revoke, &json!({"is_active": false, "is_admin": false}), 403),
        (&revoke, &off, 200),
        (&create, &json!({"is_active": true}), 200),
        (&both, &more, 200),
    ] {
        let (status, answer) = token.call(Method::PATCH, &user, body.clone()).await;
        assert_eq!(status.as_u16(), expected, "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_token_without_verbs_can_read() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let (status, made) = admin.post("/api/management_tokens/", json!({"label": "x", "user_ids": null})).await;
    assert_eq!((status.as_u16(), &made["can"]), (201, &json!(["read"])));
    let made = app.site.json(&["token", "create", "--label", "x", "--json"]);
    assert_eq!(made["can"], json!(["read"]));
    let page = admin.request(Method::GET, "/admin/tokens/new").send().await.unwrap().text().await.unwrap();
    let boxes = page.split("name=\"can.").skip(1).map(|rest| rest.split('>').next().unwrap());
    let chosen: Vec<_> =
        boxes.filter(|it| it.contains("checked")).map(|it| it.split('"').next().unwrap()).collect();
    assert_eq!(chosen, ["read"]);
}
