//! A scope catalogue of one's own.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::startup::refused;
use crate::support::{ADMIN, DEMO, KEYS, OTHER, Site, TestApp, client, key_path, text};
use crate::ui::{Tab, key_page};

/// The catalogue of a shop.
const SHOP: [&str; 5] = ["order", "customer", "product", "invoice", "return_label"];

/// Writes a catalogue with these objects into the folder of a site, and returns the file's path.
fn write_catalogue(site: &Site, objects: &[&str]) -> String {
    let entry = |object: &&str| {
        let group = if ["order", "return_label"].contains(object) { "Fulfilment" } else { "Master data" };
        let title = format!("Shop {object}");
        json!({"object": object, "title": title, "description": format!("Each {object}."), "group": group})
    };
    let path = site.dir.path().join("scopes.json");
    fs::write(&path, Value::from_iter(objects.iter().map(entry)).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A service with these objects, on the database and with the users of a site.
async fn shop(site: Site, objects: &[&str]) -> TestApp {
    let file = write_catalogue(&site, objects);
    TestApp::on(site, &["--scope-catalogue", &file]).await
}

async fn site() -> Site {
    tokio::task::spawn_blocking(Site::with_sessions).await.unwrap()
}

#[tokio::test]
async fn the_api_takes_the_scopes_of_the_catalogue_alone() {
    let app = shop(site().await, &SHOP).await;
    let (demo, admin) = (app.demo(), app.admin());
    let key = demo.create_key("shop", &["order:write", "return_label:read"]).await;
    assert_eq!(app.scopes(text(&key, "value")).await.as_deref(), Some("order:write return_label:read"));

    let body = json!({"label": " ", "scopes": ["order:read", "insight:read", "order:admin", "query:write"]});
    let (status, answer) = demo.post(KEYS, body).await;
    let errors = answer["errors"].as_array().unwrap().iter();
    let errors: Vec<_> = errors.map(|error| (text(error, "attr"), text(error, "detail"))).collect();
    let expected = [
        ("label", "This field may not be blank."),
        ("scopes[1]", "Invalid scope: insight:read"),
        ("scopes[2]", "Invalid scope: order:admin"),
        ("scopes[3]", "Invalid scope: query:write"),
    ];
    assert_eq!((status.as_u16(), errors), (400, expected.to_vec()));

    let (status, answer) = demo.patch(&key_path(&key), json!({"scopes": ["insight:read"]})).await;
    assert_eq!((status.as_u16(), &answer["detail"]), (400, &json!("Invalid scope: insight:read")));
    assert_eq!((&answer["attr"], &answer["code"]), (&json!("scopes"), &json!("invalid_input")));
    let new = json!({"email": "new@example.com", "permissions": ["order:read", "cohort:read"]});
    let (status, answer) = admin.post("/api/users/", new).await;
    assert_eq!((status.as_u16(), &answer["errors"][0]["attr"]), (400, &json!("permissions[1]")));
    let user = app.user_path(DEMO);
    let (status, answer) = admin.patch(&user, json!({"permissions": ["cohort:read"]})).await;
    assert_eq!((status.as_u16(), &answer["attr"]), (400, &json!("permissions")));
    assert_eq!(admin.patch(&user, json!({"permissions": ["customer:write"]})).await.0, 200);

    let (_, objects) = demo.get("/api/scopes/").await;
    let names: Vec<_> = objects.as_array().unwrap().iter().map(|object| text(object, "object")).collect();
    assert_eq!(names, SHOP);
    let order = json!({"object": "order", "title": "Shop order", "description": "Each order.", "group": "Fulfilment"});
    assert_eq!(objects[0], order);
    let token = admin.create_token_that_can(&["read"], Some(&[&app.user_id(OTHER)])).await;
    assert_eq!(token.call(Method::GET, "/api/scopes/", Value::Null).await.1, objects);
    assert_eq!(client().get(format!("{}/api/scopes/", app.public)).send().await.unwrap().status(), 401);

    let (_, document) = demo.get("/api/openapi.json").await;
    let scope = &document["components"]["schemas"]["Scope"];
    let scopes = scope["enum"].as_array().unwrap();
    assert_eq!(
        (scopes.len(), &scopes[9], &scopes[10]),
        (11, &json!("return_label:read"), &json!("return_label:write"))
    );
    assert_eq!(scope["examples"], json!(["order:read"]));
    assert!(!document.to_string().contains("insight"), "nothing of another catalogue");
}

#[tokio::test]
async fn the_command_line_and_imports_take_the_scopes_of_the_catalogue_alone() {
    let site = site().await;
    let file = write_catalogue(&site, &SHOP);
    let flag = ["--scope-catalogue", file.as_str()];
    let listed = site.json(&[&["scopes", "--json"], &flag[..]].concat());
    assert_eq!(listed, serde_json::from_str::<Value>(&fs::read_to_string(&file).unwrap()).unwrap());
    assert!(site.ok(&[&["scopes"], &flag[..]].concat(), "").contains("Shop return_label"));

    let create = ["key", "create", "--user", DEMO, "--label", "shop", "--json", "--scopes"];
    let key = site.json(&[&create[..], &["order:read,invoice:write"], &flag].concat());
    let unknown = [&create[..], &["insight:read"], &flag].concat();
    assert!(site.fails(&unknown, "").contains("--scopes: Invalid scope: insight:read"));
    let update = ["key", "update", text(&key, "id"), "--scopes", "query:read"];
    assert!(site.fails(&[&update[..], &flag].concat(), "").contains("--scopes: Invalid scope: query:read"));
    let permissions = ["user", "permissions", OTHER, "query:read"];
    assert!(
        site.fails(&[&permissions[..], &flag].concat(), "")
            .contains("<PERMISSIONS>: Invalid scope: query:read")
    );
    let add = ["user", "add", "new@example.com", "--without-password", "--permissions", "cohort:read"];
    assert!(
        site.fails(&[&add[..], &flag].concat(), "").contains("--permissions: Invalid scope: cohort:read")
    );
    site.ok(&[&["user", "permissions", OTHER, "order:write"], &flag[..]].concat(), "");

    let line = |email: &str, digit: u32, scopes: &str| format!("{email},CI,sha256${digit:064},{scopes}\n");
    let lines = [
        "email,label,secure_value,scopes\n".to_owned(),
        line(DEMO, 1, "customer:read"),
        line(DEMO, 2, "customer:read insight:read"),
        line(ADMIN, 3, "*"),
        line("new@example.com", 4, "cohort:read"),
    ];
    let import = [&["import", "-", "--json", "--create-users"], &flag[..]].concat();
    let output = site.run(&import, &lines.concat());
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &result["imported"]), (Some(3), &json!(2)));
    let refused = |line, scope: &str| json!({"line": line, "field": "scopes", "reason": format!("Invalid scope: {scope}")});
    assert_eq!(result["refused_lines"], json!([refused(3, "insight:read"), refused(5, "cohort:read")]));

    // The variable is the same setting.
    let mut command = site.command(&[&create[..], &["insight:read"]].concat());
    let output = command.env("SCOPE_CATALOGUE", &file).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("Invalid scope: insight:read"));
}

#[tokio::test]
async fn a_key_keeps_the_scopes_of_a_removed_object_until_its_owner_removes_them() {
    let app = shop(site().await, &SHOP).await;
    let key = app.demo().create_key("shop", &["order:write", "invoice:write"]).await;
    let value = text(&key, "value").to_owned();
    let of_other = app.user_path(OTHER);
    let both = json!({"permissions": ["order:read", "invoice:write"]});
    assert_eq!(app.admin().patch(&of_other, both).await.0, 200);
    let site = app.site.clone();
    drop(app);

    let app = shop(site, &["order", "customer"]).await;
    let (demo, admin, path) = (app.demo(), app.admin(), key_path(&key));
    assert_eq!(app.scopes(&value).await.as_deref(), Some("order:write invoice:write"), "it works as before");
    assert_eq!(demo.get(&path).await.1["scopes"], json!(["order:write", "invoice:write"]));
    let (_, found) = admin.get("/api/keys/?scope=invoice:write").await;
    assert_eq!(found["count"], 1, "a search finds it");
    let listed = app.site.json(&["key", "list", "--scope", "invoice:write", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);

    // Another key cannot get the scope.
    let (status, answer) = demo.post(KEYS, json!({"label": "x", "scopes": ["invoice:read"]})).await;
    assert_eq!((status.as_u16(), &answer["detail"]), (400, &json!("Invalid scope: invoice:read")));
    let another = demo.create_key("another", &["order:read"]).await;
    let (status, _) = demo.patch(&key_path(&another), json!({"scopes": ["invoice:read"]})).await;
    assert_eq!(status, 400);

    // The key itself can keep the scope, narrow it or lose it, but not get it back.
    let scopes_of = async |scopes: Value| demo.patch(&path, json!({ "scopes": scopes })).await.0.as_u16();
    assert_eq!(scopes_of(json!(["invoice:write", "customer:read"])).await, 200);
    assert_eq!(scopes_of(json!(["invoice:read", "customer:read"])).await, 200);
    assert_eq!(scopes_of(json!(["invoice:write"])).await, 400, "more than it has now");
    assert_eq!(app.scopes(&value).await.as_deref(), Some("invoice:read customer:read"));
    let file = write_catalogue(&app.site, &["order", "customer"]);
    let update = |scopes: &str| {
        let args = ["key", "update", text(&key, "id"), "--scope-catalogue", &file, "--scopes", scopes];
        app.site.run(&args, "").status.code()
    };
    assert_eq!(update("invoice:read"), Some(0));
    assert_eq!(update("order:read"), Some(0));
    assert_eq!(update("invoice:read"), Some(1));
    assert_eq!(scopes_of(json!(["invoice:read"])).await, 400);

    // The same holds for the permissions of a user.
    let permit = async |permissions: Value| {
        admin.patch(&of_other, json!({ "permissions": permissions })).await.0.as_u16()
    };
    assert_eq!(admin.get(&of_other).await.1["permissions"], json!(["order:read", "invoice:write"]));
    assert_eq!(permit(json!(["invoice:read"])).await, 200);
    assert_eq!(permit(json!(["invoice:write"])).await, 400);
    assert_eq!(permit(json!([])).await, 200);
    assert_eq!(permit(json!(["invoice:read"])).await, 400);

    assert_eq!(demo.delete(&path).await.0, 200);
    assert_eq!(app.scopes(&value).await, None);
}

#[tokio::test]
async fn the_page_offers_the_objects_in_their_groups() {
    let app = shop(site().await, &SHOP).await;
    let tab = Tab::of(&app.demo());
    let form = tab.get("/account/keys/new").await;
    let places = [
        "Fulfilment (2)",
        "Shop order",
        "Each order.",
        "Shop return_label",
        "Master data (3)",
        "Shop customer",
    ];
    let places = places.map(|part| form.html.find(part).unwrap_or_else(|| panic!("{part}: {}", form.html)));
    assert!(places.is_sorted(), "{places:?}");
    assert!(!form.has("scope.insight"));
    let choice = [
        ("label", "shop"),
        ("access", "some"),
        ("scope.order", "write"),
        ("scope.product", "read"),
        ("scope.insight", "read"),
        ("expires_at", "never"),
    ];
    let created = tab.post("/account/keys/new", &choice).await;
    assert_eq!(app.scopes(created.value_of("key-value")).await.as_deref(), Some("order:write product:read"));

    let admin = Tab::of(&app.admin());
    let permissions = [("action", "permissions"), ("access", "some"), ("scope.customer", "read")];
    let user = format!("/admin/users/{}", app.user_id(OTHER));
    assert_eq!(admin.post(&user, &permissions).await.status, 200);
    assert_eq!(app.admin().get(&app.user_path(OTHER)).await.1["permissions"], json!(["customer:read"]));
}

#[tokio::test]
async fn the_page_marks_the_scopes_of_a_removed_object_and_lets_the_owner_keep_or_remove_them() {
    const MARK: &str = "invoice:write (no longer offered)";
    let app = shop(site().await, &SHOP).await;
    let key = app.demo().create_key("shop", &["order:write", "invoice:write"]).await;
    let value = text(&key, "value").to_owned();
    let permissions = json!({"permissions": ["order:read", "invoice:write"]});
    assert_eq!(app.admin().patch(&app.user_path(OTHER), permissions).await.0, 200);
    let site = app.site.clone();
    drop(app);

    let app = shop(site, &["order", "customer"]).await;
    let (tab, admin) = (Tab::of(&app.demo()), Tab::of(&app.admin()));
    assert!(tab.get("/account/keys").await.has(MARK));
    assert!(admin.get("/admin/keys").await.has(MARK) && admin.get("/admin/users").await.has(MARK));
    assert!(Tab::of(&app.other()).get("/account").await.has(MARK));

    let page = key_page(&key, "");
    let form = tab.get(&page).await;
    assert!(form.has("No longer offered (1)") && form.has("name=\"scope.invoice\" value=\"write\" checked"));
    assert!(!tab.get("/account/keys/new").await.has("scope.invoice"), "it is not offered for another key");
    let choice = |invoice: &'static str| {
        [
            ("label", "shop"),
            ("access", "some"),
            ("scope.customer", "read"),
            ("scope.invoice", invoice),
            ("expires_at", "never"),
        ]
    };
    assert!(tab.post(&page, &choice("write")).await.result().starts_with("Active everywhere"));
    assert_eq!(app.scopes(&value).await.as_deref(), Some("customer:read invoice:write"));
    assert!(tab.post(&page, &choice("none")).await.result().starts_with("Active everywhere"));
    assert_eq!(app.scopes(&value).await.as_deref(), Some("customer:read"));
    tab.post(&page, &choice("read")).await;
    assert_eq!(app.scopes(&value).await.as_deref(), Some("customer:read"), "it cannot be added again");
    assert!(!tab.get("/account/keys").await.has(MARK));

    let user = format!("/admin/users/{}", app.user_id(OTHER));
    assert!(admin.get(&user).await.has("No longer offered (1)"));
    let permissions = [("action", "permissions"), ("access", "some"), ("scope.invoice", "read")];
    assert_eq!(admin.post(&user, &permissions).await.status, 200);
    assert_eq!(app.admin().get(&app.user_path(OTHER)).await.1["permissions"], json!(["invoice:read"]));
}

#[test]
fn a_file_with_mistakes_is_refused_with_all_of_them() {
    let site = Site::empty();
    let path = site.dir.path().join("bad.json");
    let bad = r#"[{"object": "Order", "title": "", "description": "x", "gruppe": "y"}, {"object": "a", "title": "A",
        "description": "A.", "group": "G"}, {"object": "a", "title": "A", "description": "A.", "group": "G"}]"#;
    fs::write(&path, bad).unwrap();
    let expected = [
        "[0].object: \"Order\" is not an object: write lower-case letters, digits and _.",
        "[0].title: This field may not be blank.",
        "[0].gruppe: There is no such field. Did you mean group?",
        "[0].group: This field is required.",
        "[2].object: \"a\" is the object of [1] already.",
    ];
    let line = |problem: &&str| {
        format!("key-service: --scope-catalogue (SCOPE_CATALOGUE): {}: {problem}\n", path.display())
    };
    let expected: String = expected.iter().map(line).collect();
    let bad = path.to_str().unwrap();
    assert_eq!(refused(&site, &["--scope-catalogue", bad], |command| command), expected);
    let output = site.run(&["scopes", "--scope-catalogue", bad], "");
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(2), expected));

    // A catalogue is one setting among others.
    let two = refused(&site, &["--scope-catalogue", "missing.json", "--hold-ms", "0"], |command| command);
    let lines: Vec<_> = two.lines().collect();
    assert!(
        lines[0].contains("(SCOPE_CATALOGUE): missing.json: No such file") && lines[1].contains("--hold-ms"),
        "{two}"
    );
    assert_eq!(lines.len(), 2);
    assert!(site.storage.is_untouched());
}
