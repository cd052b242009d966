//! `token`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::roles::answer;
use crate::support::{ADMIN, Automation, DEMO, TestApp, client, key_path, text};

#[tokio::test]
async fn a_token_that_the_command_line_made_outlives_every_admin() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let value = app.site.ok(&["token", "create", "--label", "ops"], "").trim().to_owned();
    let automation = Automation { base: app.public.clone(), id: String::new(), token: value };
    drop(admin);
    let stderr = app.site.run(&["user", "disable", ADMIN], "");
    assert!(!String::from_utf8(stderr.stderr).unwrap().contains("tokens"));
    assert_eq!(answer(&automation).await.0, 200);
}

#[tokio::test]
async fn the_command_line_lists_the_tokens_that_end() {
    let app = TestApp::start().await;
    let admin = app.admin();
    admin.create_token(None).await;
    let output = app.site.run(&["user", "admin", ADMIN, "--remove"], "");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("These management tokens have ended: terraform."), "{stderr}");
    assert!(app.site.ok(&["token", "list"], "").contains("ended"));
}

#[tokio::test]
async fn the_command_line_makes_a_token_that_can_do_less() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["*"]).await;
    let made = app.site.json(&["token", "create", "--label", "scanner", "--can", "revoke,read", "--json"]);
    assert_eq!(made["can"], json!(["read", "revoke"]));
    let token = text(&made, "value").to_owned();
    let automation = Automation { base: app.public.clone(), id: String::new(), token };
    let path = key_path(&key);
    assert_eq!(automation.call(Method::POST, &format!("{path}roll/"), json!({})).await.0, 403);
    assert_eq!(automation.call(Method::DELETE, &path, Value::Null).await.0, 200);
    assert!(app.site.ok(&["token", "list"], "").contains("read, revoke"));
    let bad = app.site.run(&["token", "create", "--label", "x", "--can", "delete"], "");
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8(bad.stderr).unwrap().contains("--can"));
}

#[tokio::test]
async fn a_management_token_works_until_it_is_revoked() {
    let app = TestApp::start().await;
    let site = &app.site;
    let value = site.ok(&["token", "create", "--label", "terraform"], "");
    let limited = site.json(&["token", "create", "--label", "ci", "--user", DEMO, "--json"]);
    assert_eq!(limited["user_ids"].as_array().unwrap().len(), 1);
    let users = async |value: &str| {
        let request = client().get(format!("{}/api/users/", app.public)).bearer_auth(value);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(users(value.trim()).await, 200);
    assert_eq!(users(text(&limited, "value")).await, 403);

    let table = site.ok(&["token", "list"], "");
    assert!(table.contains(DEMO), "{table}");
    assert!(table.contains("terraform") && !table.contains(value.trim()), "{table}");
    let tokens = site.json(&["token", "list", "--json"]);
    let terraform = tokens.as_array().unwrap().iter().find(|token| token["label"] == "terraform").unwrap();
    let revoked = site.json(&["token", "revoke", text(terraform, "id"), "--json"]);
    assert_eq!(revoked["label"], "terraform");
    assert_eq!(users(value.trim()).await, 401);
    assert!(
        site.fails(&["token", "revoke", text(terraform, "id")], "").contains("no such management token: ")
    );
    assert!(site.fails(&["token", "create", "--label", " "], "").contains("label:"));
}
