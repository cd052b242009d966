//! What admins do, and what nobody else can.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::scripted_edge::{Edge, short_terms};
use crate::support::{ADMIN, DEMO, OTHER, PASSWORD, Service, read, session_cookie, text};

#[tokio::test]
async fn a_member_is_refused_every_admin_operation() {
    let (service, demo, _) = Service::with_users().await;
    let id = service.user_id(OTHER);
    let user = format!("/api/users/{id}/");
    let link = format!("/api/users/{id}/link/");
    let refused = json!({
        "type": "authentication_error",
        "code": "permission_denied",
        "detail": "You do not have permission to perform this action.",
        "attr": null
    });
    for (method, path) in [
        (Method::GET, "/api/users/"),
        (Method::POST, "/api/users/"),
        (Method::GET, &user),
        (Method::PATCH, &user),
        (Method::POST, &link),
        (Method::GET, "/api/management_tokens/"),
        (Method::POST, "/api/management_tokens/"),
        (Method::DELETE, "/api/management_tokens/x/"),
        (Method::GET, "/api/audit_log/"),
        (Method::GET, "/api/edges/"),
        (Method::POST, "/api/leaked_keys/"),
    ] {
        let (status, answer) = read(demo.request(method.clone(), path).json(&json!({}))).await;
        assert_eq!((status.as_u16(), &answer), (403, &refused), "{method} {path}");
        let nobody = crate::support::client().request(method.clone(), format!("{}{path}", service.public));
        assert_eq!(read(nobody).await.0, 401, "{method} {path}");
    }
    let (_, keys) = demo.get("/api/keys/").await;
    assert_eq!(keys["count"], 0, "one's own, of which there are none");
}

#[tokio::test]
async fn an_admin_adds_a_user_who_chooses_a_password_by_a_link() {
    let (service, ..) = Service::with_users().await;
    let admin = service.admin().await;
    let body = json!({"email": " New@Example.com", "permissions": ["insight:read"]});
    let (status, user) = admin.post("/api/users/", body.clone()).await;
    assert_eq!(status, 201, "{user}");
    assert_eq!(
        (&user["email"], &user["has_password"], &user["is_admin"]),
        (&json!("new@example.com"), &json!(false), &json!(false))
    );
    assert_eq!(service.log_in("new@example.com", "").await.status(), 400);
    assert_eq!(service.log_in("new@example.com", "anything").await.status(), 401);
    let (status, link) = admin.post(&format!("/api/users/{}/link/", text(&user, "id")), Value::Null).await;
    assert_eq!(status, 201, "{link}");
    assert!(text(&link, "path").starts_with("/link/"));

    let (status, taken) = admin.post("/api/users/", body).await;
    assert_eq!((status.as_u16(), &taken["attr"]), (400, &json!("email")));
}

#[tokio::test]
async fn bad_users_are_refused_with_the_field() {
    let (service, ..) = Service::with_users().await;
    let admin = service.admin().await;
    for (body, attr, code) in [
        (json!({"permissions": ["*"]}), "email", "required"),
        (json!({"email": "", "permissions": ["*"]}), "email", "blank"),
        (json!({"email": "x", "permissions": ["*"]}), "email", "invalid_input"),
        (json!({"email": "x@y"}), "permissions", "required"),
        (json!({"email": "x@y", "permissions": ["all"]}), "permissions", "invalid_input"),
        (json!({"email": "x@y", "permissions": ["*"], "password": "short"}), "password", "invalid_input"),
        (json!({"email": "x@y", "permissions": ["*"], "password": "Password1"}), "password", "invalid_input"),
        (json!({"email": "x@y", "permissions": ["*"], "is_admin": 1}), "is_admin", "invalid_input"),
    ] {
        let (status, answer) = admin.post("/api/users/", body.clone()).await;
        assert_eq!(
            (status.as_u16(), &answer["attr"], &answer["code"]),
            (400, &json!(attr), &json!(code)),
            "{body}"
        );
    }
    let own = format!("/api/users/{}/", service.user_id(ADMIN));
    let (status, answer) = admin.patch(&own, json!({"is_active": false})).await;
    assert_eq!((status.as_u16(), &answer["detail"]), (400, &json!("You cannot disable yourself.")));
    assert_eq!(admin.patch("/api/users/none/", json!({"is_active": true})).await.0, 404);
}

#[tokio::test]
async fn what_is_so_already_ends_no_session_and_raises_no_revision() {
    let (service, demo, _) = Service::with_users().await;
    let admin = service.admin().await;
    let revision = service.verify(&[]).await.revision;
    let path = format!("/api/users/{}/", service.user_id(DEMO));
    for body in [json!({}), json!({"is_active": true}), json!({"permissions": ["*"], "is_admin": false})] {
        let (status, user) = admin.patch(&path, body.clone()).await;
        assert_eq!(
            (status.as_u16(), &user["revocation"]["revision"]),
            (200, &json!(revision)),
            "{body}: {user}"
        );
    }
    let key = demo.new_key("same", &["insight:read"]).await;
    let key_path = format!("/api/personal_api_keys/{}/", text(&key, "id"));
    let same = json!({"label": "same", "scopes": ["insight:read"], "expires_at": null});
    assert_eq!(demo.patch(&key_path, same).await.1["revocation"]["revision"], revision);
    assert_eq!(service.verify(&[]).await.revision, revision);
    assert_eq!(demo.get("/api/users/@me/").await.0, 200);
    assert_eq!(admin.get("/api/audit_log/?action=user.enabled").await.1["count"], 0);
}

#[tokio::test]
async fn admins_are_made_and_unmade_by_admins_in_person() {
    let (service, demo, _) = Service::with_users().await;
    let admin = service.admin().await;
    let path = format!("/api/users/{}/", service.user_id(DEMO));
    assert_eq!(demo.get("/api/users/").await.0, 403);
    assert_eq!(admin.patch(&path, json!({"is_admin": true})).await.1["is_admin"], true);
    assert_eq!(demo.get("/api/users/").await.0, 401, "the session of a member has ended");
    let cookie = session_cookie(&service.log_in(DEMO, PASSWORD).await).unwrap();
    let demo = crate::support::Browser { cookie, ..demo };
    assert_eq!(demo.get("/api/users/").await.0, 200);
    let of_admin = format!("/api/users/{}/", service.user_id(ADMIN));
    assert_eq!(demo.patch(&of_admin, json!({"is_admin": false})).await.0, 200);
    assert_eq!(admin.get("/api/users/").await.0, 403);
    let (status, last) = demo.patch(&path, json!({"is_admin": false})).await;
    assert_eq!(status, 400, "nobody would be left: {last}");
    service.site.ok(&["user", "admin", DEMO, "--remove"], "");
    assert_eq!(demo.get("/api/users/").await.0, 403, "an operator may");
}

#[tokio::test]
async fn a_password_changes_only_against_the_one_it_was_checked_with() {
    let (_service, demo, _) = Service::with_users().await;
    let change = |new: &str| {
        let body = json!({"current_password": PASSWORD, "password": new});
        read(demo.request(Method::PATCH, "/api/users/@me/").json(&body))
    };
    let (a, b, c) =
        tokio::join!(change("long-password-a"), change("long-password-b"), change("long-password-c"));
    let changed = [a, b, c].iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(changed, 1, "the others knew a password that had been replaced");
}

#[tokio::test]
async fn letters_beyond_ascii_are_found_as_they_are_shown() {
    let (service, demo, _) = Service::with_users().await;
    let admin = service.admin().await;
    demo.new_key("Übung İx", &["*"]).await;
    for found in ["%C3%9Cbung", "BUNG", "%C4%B0x"] {
        assert_eq!(admin.get(&format!("/api/keys/?search={found}")).await.1["count"], 1, "{found}");
    }
}

#[tokio::test]
async fn a_permission_taken_away_is_gone_at_every_edge_when_the_patch_returns() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let admin = service.admin().await;
    let key = demo.new_key("reads insights", &["insight:read", "cohort:read"]).await;
    let value = text(&key, "value");
    let edge = Edge::subscribed(&service, "edge").await;
    let _running = edge.run();

    let path = format!("/api/users/{}/", service.user_id(DEMO));
    let (status, user) = admin.patch(&path, json!({"permissions": ["cohort:write"]})).await;
    assert_eq!(status, 200, "{user}");
    assert_eq!(
        (&user["revocation"]["edges"], &user["revocation"]["acknowledged"]),
        (&json!(1), &json!(1)),
        "{user}"
    );
    assert_eq!(user["permissions"], json!(["cohort:write"]));
    assert_eq!(service.scopes(value).await.as_deref(), Some("cohort:read"));
}

#[tokio::test]
async fn a_disabled_users_session_and_keys_end() {
    let (service, demo, _) = Service::with_users().await;
    let admin = service.admin().await;
    let key = demo.new_key("of a disabled user", &["*"]).await;
    let path = format!("/api/users/{}/", service.user_id(DEMO));
    let (status, user) = admin.patch(&path, json!({"is_active": false})).await;
    assert_eq!((status.as_u16(), &user["is_active"]), (200, &json!(false)));
    assert_eq!(demo.get("/api/users/@me/").await.0, 401);
    assert_eq!(service.log_in(DEMO, PASSWORD).await.status(), 401);
    assert_eq!(service.scopes(text(&key, "value")).await, None);
    let (_, user) = admin.patch(&path, json!({"is_active": true})).await;
    assert_eq!(user["is_active"], true);
    assert!(service.scopes(text(&key, "value")).await.is_some());
}

#[tokio::test]
async fn an_admin_sees_and_deletes_any_key_and_gets_none_of_their_values() {
    let (service, demo, _) = Service::with_users().await;
    let admin = service.admin().await;
    let key = demo.new_key("of a member", &["*"]).await;
    let path = format!("/api/personal_api_keys/{}/", text(&key, "id"));
    assert_eq!(admin.get(&path).await.1["label"], "of a member");
    assert_eq!(admin.post(&format!("{path}roll/"), json!({})).await.0, 404);
    assert_eq!(admin.patch(&path, json!({"scopes": ["*"]})).await.0, 404);
    assert_eq!(admin.delete(&path).await.0, 200);
    assert_eq!(service.scopes(text(&key, "value")).await, None);
}

#[tokio::test]
async fn keys_are_found_by_text_owner_scope_and_state_page_by_page() {
    let (service, demo, other) = Service::with_users().await;
    let admin = service.admin().await;
    for n in 0..5 {
        demo.new_key(&format!("CI 100%_{n}"), &["insight:read"]).await;
    }
    other.new_key("Old one", &["cohort:read", "insight:read"]).await;
    service.alter("UPDATE api_keys SET created_at = created_at - 7862400000 WHERE label = 'Old one'").await;

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
    assert_eq!(labels(&format!("user_id={}", service.user_id(DEMO))).await.0, 5);

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
async fn users_are_found_by_address() {
    let (service, ..) = Service::with_users().await;
    let admin = service.admin().await;
    let (_, all) = admin.get("/api/users/").await;
    assert_eq!(all["count"], 3);
    let (_, found) = admin.get("/api/users/?search=OTHER").await;
    assert_eq!((&found["count"], &found["results"][0]["email"]), (&json!(1), &json!(OTHER)));
    assert!(found["results"][0].get("password_hash").is_none());
}

#[tokio::test]
async fn the_edges_that_hold_a_lease_are_shown_without_their_whole_ids() {
    let (service, demo, _) = Service::with_users().await;
    let admin = service.admin().await;
    let lagging = Edge::subscribed(&service, "11111111-of-an-edge").await;
    let key = demo.new_key("one", &["*"]).await;
    let deleting = tokio::spawn({
        let demo = demo.clone();
        async move { demo.delete(&format!("/api/personal_api_keys/{}/", text(&key, "id"))).await }
    });
    let edges = loop {
        let (_, edges) = admin.get("/api/edges/").await;
        if edges["revision"].as_u64() > Some(0) {
            break edges;
        }
    };
    let shown = &edges["edges"][0];
    assert_eq!(shown["edge"], "11111111…");
    assert!(shown["acknowledged"].as_u64() < edges["revision"].as_u64(), "{edges}");
    let left = shown["lease_ends_in_ms"].as_u64().unwrap();
    assert!((1..=7_000).contains(&left), "{edges}");
    drop(lagging);
    assert_eq!(deleting.await.unwrap().0, 200);
}

#[tokio::test]
async fn one_changes_ones_own_password_by_the_present_one() {
    let (service, demo, _) = Service::with_users().await;
    let second = session_cookie(&service.log_in(DEMO, PASSWORD).await).unwrap();
    let me = "/api/users/@me/";
    let change = |current: &str, new: &str| json!({"current_password": current, "password": new});
    let (status, wrong) = demo.patch(me, change("not-mine-at-all", "another-password")).await;
    assert_eq!((status.as_u16(), &wrong["attr"]), (400, &json!("current_password")));
    let (status, short) = demo.patch(me, change(PASSWORD, "short")).await;
    assert_eq!((status.as_u16(), &short["attr"]), (400, &json!("password")));

    let response =
        demo.request(Method::PATCH, me).json(&change(PASSWORD, "another-password")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let renewed = session_cookie(&response).unwrap();
    let session =
        |cookie: &str| crate::support::Browser { base: service.public.clone(), cookie: cookie.to_owned() };
    assert_eq!(session(&renewed).get(me).await.0, 200, "who changed it stays signed in");
    assert_eq!(session(&second).get(me).await.0, 401);
    assert_eq!(demo.get(me).await.0, 401, "the former session id is worth nothing");
    assert_eq!(service.log_in(DEMO, "another-password").await.status(), 200);
}

#[tokio::test]
async fn ten_thousand_keys_of_a_thousand_accounts_are_listed_and_found() {
    let (service, ..) = Service::with_users().await;
    let admin = service.admin().await;
    let mut file = "email,label,secure_value,scopes,created_at,last_used_at\n".to_owned();
    for row in 0..10_000 {
        let digest = protocol::KeyDigest::of_value(&format!("phx_{row}")).to_hex();
        let created = "2026-01-02T03:04:05Z";
        file += &format!(
            "user-{:03}@example.com,key {row:04},sha256${digest},insight:read,{created},\n",
            row / 10
        );
    }
    service.site.ok(&["import", "--create-users", "-"], &file);

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
