//! The public API's error bodies, each as documented.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Browser, DEMO, KEYS, TOKEN, TestApp, client, read, text};

fn error(r#type: &str, code: &str, detail: &str, attr: Option<&str>) -> Value {
    json!({"type": r#type, "code": code, "detail": detail, "attr": attr})
}

fn invalid(code: &str, detail: &str, attr: &str) -> Value {
    invalid_item(code, detail, attr, attr)
}

/// `path` is the item of the field that is wrong.
fn invalid_item(code: &str, detail: &str, attr: &str, path: &str) -> Value {
    let mut answer = error("validation_error", code, detail, Some(attr));
    answer["errors"] = json!([{"code": code, "detail": detail, "attr": path}]);
    answer
}

/// Adds a problem that is not the first.
fn add(answer: &mut Value, code: &str, detail: &str, path: &str) {
    let errors = answer["errors"].as_array_mut().unwrap();
    errors.push(json!({"code": code, "detail": detail, "attr": path}));
}

async fn assert_refused(demo: &Browser, body: Value, expected: Value) {
    let (status, answer) = demo.post(KEYS, body.clone()).await;
    assert_eq!((status.as_u16(), answer), (400, expected), "{body}");
}

#[tokio::test]
async fn without_a_session_every_route_asks_for_one() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("a key", &["*"]).await;
    let id = key["id"].as_str().unwrap();
    let expected = error(
        "authentication_error",
        "not_authenticated",
        "Authentication credentials were not provided.",
        None,
    );
    let routes = [
        (Method::GET, "/api/users/@me/".to_owned()),
        (Method::GET, KEYS.to_owned()),
        (Method::POST, KEYS.to_owned()),
        (Method::GET, format!("{KEYS}{id}/")),
        (Method::PATCH, format!("{KEYS}{id}/")),
        (Method::DELETE, format!("{KEYS}{id}/")),
        (Method::POST, format!("{KEYS}{id}/roll/")),
    ];
    for (method, path) in routes {
        let url = format!("{}{path}", app.public);
        let bare = client().request(method.clone(), &url);
        assert_eq!(read(bare).await, (401.try_into().unwrap(), expected.clone()), "{method} {path}");
        let forged = client().request(method, &url).header("cookie", "session=AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(read(forged).await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn a_personal_api_key_cannot_manage_keys() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("a key", &["*"]).await;
    assert_eq!(detail(&app.public, KEYS, key["value"].as_str().unwrap()).await, NO_KEY);
}

const NO_KEY: &str =
    "This is a personal API key, which cannot manage keys. Sign in, or send a management token.";

/// The `detail` of the 401 that answers a bearer token.
async fn detail(base: &str, path: &str, token: &str) -> String {
    let (status, answer) = read(client().get(format!("{base}{path}")).bearer_auth(token)).await;
    let detail = answer["detail"].as_str().unwrap().to_owned();
    let expected = error("authentication_error", "authentication_failed", &detail, None);
    assert_eq!((status.as_u16(), answer), (401, expected));
    detail
}

#[tokio::test]
async fn a_valid_credential_of_the_wrong_kind_gets_an_error_that_says_so() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let key = demo.create_key("a key", &["*"]).await;
    let key = key["value"].as_str().unwrap();
    let token = admin.create_token(None).await.token;
    let edge = "This is not a management token, which begins with ekm_. An edge token works only on the edge listener.";
    for path in [KEYS, "/api/users/", "/api/users/@me/", "/api/management_tokens/"] {
        assert_eq!(detail(&app.public, path, key).await, NO_KEY, "{path}");
        assert_eq!(detail(&app.public, path, TOKEN).await, edge, "{path}");
        assert_eq!(
            detail(&app.public, path, "edge-token-that-is-wrong").await,
            edge,
            "no word of whether it is one"
        );
    }
    let in_person = "This is a management token. Only a user who is signed in can do this.";
    assert_eq!(detail(&app.public, "/api/users/@me/", &token).await, in_person);
    for (sent, expected) in [
        (key, "This is a personal API key. The edge API accepts only the edge token."),
        (token.as_str(), "This is a management token. The edge API accepts only the edge token."),
        ("edge-token-that-is-wrong", "The edge token is wrong."),
    ] {
        let request = client().post(format!("{}/edge/v1/verify", app.edge)).bearer_auth(sent);
        let (status, answer) = read(request).await;
        assert_eq!((status.as_u16(), answer["detail"].as_str().unwrap()), (401, expected));
    }
    let basic = client().get(format!("{}{KEYS}", app.public)).basic_auth("demo", Some("demo"));
    assert!(read(basic).await.1["detail"].as_str().unwrap().contains("Bearer ekm_"));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_in_the_documented_form() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let not_found = error("invalid_request", "not_found", "Not found.", None);
    for path in ["/api/", "/api/nowhere", "/api/personal_api_keys/x/", "/api/personal_api_keys/x/y/z"] {
        assert_eq!(demo.get(path).await, (404.try_into().unwrap(), not_found.clone()), "{path}");
    }
    let put = demo.request(Method::PUT, KEYS).send().await.unwrap();
    assert_eq!((put.status().as_u16(), put.headers()["allow"].to_str().unwrap()), (405, "GET,HEAD,POST"));
    let expected = error("invalid_request", "method_not_allowed", "Method \"PUT\" not allowed.", None);
    assert_eq!(put.json::<Value>().await.unwrap(), expected);
    assert_eq!(demo.get("/api/login/").await.0, 405);
    let bad_escape = client().delete(format!("{}{KEYS}%ff/", app.public));
    assert_eq!(read(bad_escape.header("cookie", format!("session={}", demo.cookie))).await.0, 400);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let post = |content_type: &str, body: String| {
        read(demo.request(Method::POST, KEYS).header("content-type", content_type).body(body))
    };
    let (status, body) = post("application/json", "{\"label\": ".into()).await;
    assert_eq!(
        (status.as_u16(), &body["type"], &body["code"]),
        (400, &json!("invalid_request"), &json!("parse_error"))
    );
    let (status, body) = post("application/json; charset=utf-8", "[1]".into()).await;
    assert_eq!((status.as_u16(), &body["code"], &body["attr"]), (400, &json!("invalid_input"), &Value::Null));
    let (status, body) = post("text/plain", "{}".into()).await;
    assert_eq!((status.as_u16(), &body["code"]), (415, &json!("unsupported_media_type")));
    let (status, body) = post("application/json", format!("\"{}\"", "x".repeat(70_000))).await;
    assert_eq!((status.as_u16(), &body["code"]), (413, &json!("request_too_large")));
    let (status, body) = post("application/json", String::new()).await;
    assert_eq!((status.as_u16(), &body["attr"]), (400, &json!("label")));
}

#[tokio::test]
async fn bad_fields_of_a_new_key_are_named() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let required = |attr| invalid("required", "This field is required.", attr);
    assert_refused(&demo, json!({"scopes": ["*"]}), required("label")).await;
    let mut two = required("label");
    add(&mut two, "not_a_list", "Expected a list of items.", "scopes");
    assert_refused(&demo, json!({"scopes": "of no use"}), two).await;
    assert_refused(&demo, json!({"label": "a"}), required("scopes")).await;

    let with_label = |label: Value| json!({"label": label, "scopes": ["*"]});
    let blank = invalid("blank", "This field may not be blank.", "label");
    assert_refused(&demo, with_label(json!("  ")), blank).await;
    assert_refused(&demo, with_label(json!(null)), invalid("null", "This field may not be null.", "label"))
        .await;
    assert_refused(&demo, with_label(json!(7)), invalid("invalid_input", "Not a valid string.", "label"))
        .await;
    let long = invalid("max_length", "Ensure this field has no more than 40 characters.", "label");
    assert_refused(&demo, with_label(json!("x".repeat(41))), long).await;

    let with_scopes = |scopes: Value| json!({"label": "a", "scopes": scopes});
    let unknown = invalid_item("invalid_input", "Invalid scope: unicorn:read", "scopes", "scopes[1]");
    assert_refused(&demo, with_scopes(json!(["insight:read", "unicorn:read"])), unknown).await;
    assert_refused(&demo, with_scopes(json!([])), invalid("empty", "This list may not be empty.", "scopes"))
        .await;
    let no_list = invalid("not_a_list", "Expected a list of items.", "scopes");
    assert_refused(&demo, with_scopes(json!("*")), no_list).await;
    assert_refused(&demo, with_scopes(json!(null)), invalid("null", "This field may not be null.", "scopes"))
        .await;
    let no_text = invalid_item("invalid_input", "Not a valid string.", "scopes", "scopes[0]");
    assert_refused(&demo, with_scopes(json!([1])), no_text).await;

    let expiring = |at: Value| json!({"label": "a", "scopes": ["*"], "expires_at": at});
    for at in [json!("tomorrow"), json!(7), json!("2020-01-01T00:00:00Z")] {
        let (status, body) = demo.post(KEYS, expiring(at)).await;
        assert_eq!((status.as_u16(), &body["attr"]), (400, &json!("expires_at")));
    }
    assert_eq!(demo.get(KEYS).await.1, json!([]), "nothing was created");
}

/// A misspelt `expires_at` made a key that never expires.
#[tokio::test]
async fn a_misspelt_field_is_refused_by_name() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let misspelt = json!({"label": "a", "scopes": ["*"], "expires": "2099-01-01T00:00:00Z"});
    let unknown = invalid("unknown_field", "There is no such field. Did you mean expires_at?", "expires");
    assert_refused(&demo, misspelt, unknown).await;
    assert_eq!(demo.get(KEYS).await.1, json!([]), "nothing was created");

    let key = demo.create_key("unchanged", &["*"]).await;
    let path = format!("{KEYS}{}/", key["id"].as_str().unwrap());
    let (status, answer) = demo.patch(&path, json!({"label": "changed", "scope": ["*"]})).await;
    assert_eq!((status.as_u16(), &answer["attr"]), (400, &json!("scope")));
    assert_eq!(demo.get(&path).await.1["label"], "unchanged");
}

#[tokio::test]
async fn every_problem_of_a_request_is_named() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let body = json!({"label": " ", "scopes": ["*"], "expires_at": "2020-01-01T00:00:00Z", "user": "x"});
    let mut expected = invalid("blank", "This field may not be blank.", "label");
    add(&mut expected, "invalid_input", "This time has passed already.", "expires_at");
    add(&mut expected, "unknown_field", "There is no such field. Did you mean user_id?", "user");
    assert_refused(&demo, body, expected).await;

    let automation = app.admin().create_token(None).await;
    let body = json!({"label": " ", "scopes": ["unicorn:read"], "id": "x"});
    let (status, answer) = automation.call(Method::POST, KEYS, body).await;
    let errors: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| text(error, "attr")).collect();
    assert_eq!((status.as_u16(), errors), (400, vec!["label", "scopes[0]", "user_id", "id"]));
}

#[tokio::test]
async fn a_token_without_the_verb_is_refused_before_its_body_is_checked() {
    let app = TestApp::start().await;
    let path = app.user_path(DEMO);
    for (can, body) in [
        ("revoke", json!({"permissions": ["unicorn:read"]})),
        ("revoke", json!({"is_active": false, "permissions": ["unicorn:read"]})),
        ("create", json!({"is_active": false, "is_admin": 7})),
    ] {
        let automation = app.admin().create_token_that_can(&[can], None).await;
        assert_eq!(automation.call(Method::PATCH, &path, body.clone()).await.0, 403, "{can} {body}");
    }
}

#[tokio::test]
async fn no_operation_takes_an_unknown_parameter() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let (_, document) = admin.get("/api/openapi.json").await;
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in
            ["get", "post", "patch", "delete"].into_iter().filter(|method| item.get(method).is_some())
        {
            let url = path.replace("{id}", "x").replace("{identity_id}", "y") + "?serach=x";
            let (status, answer) = read(admin.request(method.to_uppercase().parse().unwrap(), &url)).await;
            let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("{method} {path}: {answer}"));
            let is_named =
                errors.iter().any(|error| error["attr"] == "serach" && error["code"] == "unknown_field");
            assert!(status == 400 && is_named, "{method} {path}: {answer}");
            operations += 1;
        }
    }
    assert_eq!(operations, 27);
    let (_, answer) = admin.get("/api/keys/?serach=CI&limit=0").await;
    assert_eq!(answer["errors"][0]["attr"], "limit");
    assert_eq!(answer["errors"][1]["detail"], "There is no such field. Did you mean search?");
    assert_eq!(admin.get("/api/keys/?search=&state=").await.0, 200, "an empty parameter is absent");
    assert_eq!(admin.request(Method::GET, "/admin/keys?utm_source=mail").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_operation_has_an_id_of_its_own() {
    let app = TestApp::start().await;
    let (_, document) = app.admin().get("/api/openapi.json").await;
    let operations = document["paths"].as_object().unwrap().values();
    let mut ids: Vec<_> = operations
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| text(operation, "operationId"))
        .collect();
    for id in ["personal_api_keys_roll_create", "users_identities_destroy", "users_retrieve", "keys_list"] {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
    let operations = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), operations), (27, 27), "{ids:?}");
}

#[tokio::test]
async fn the_document_has_one_type_for_each_field_and_no_names_of_the_source() {
    let app = TestApp::start().await;
    let (_, document) = app.admin().get("/api/openapi.json").await;
    assert!(!document.to_string().contains("[`"), "a link of rustdoc");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for body in ["NewKey", "KeyChanges", "Roll", "NewUser", "UserChanges", "NewToken", "LeakReport"] {
        assert_eq!(schemas[body]["additionalProperties"], false, "{body}");
        for (name, field) in schemas[body]["properties"].as_object().unwrap() {
            assert!(field.get("allOf").is_none(), "{body}.{name}: {field}");
        }
    }
}

#[tokio::test]
async fn bad_fields_of_a_change_or_a_roll_are_named() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("unchanged", &["*"]).await;
    let path = format!("{KEYS}{}/", key["id"].as_str().unwrap());
    for (field, value) in [("label", json!("")), ("scopes", json!([])), ("expires_at", json!("soon"))] {
        let (status, body) = demo.patch(&path, json!({ field: value })).await;
        assert_eq!((status.as_u16(), &body["attr"]), (400, &json!(field)));
    }
    for grace_s in [json!(-1), json!(604_801), json!("60"), json!(1.5), json!(null)] {
        let (status, body) = demo.post(&format!("{path}roll/"), json!({"grace_s": grace_s})).await;
        assert_eq!((status.as_u16(), &body["attr"]), (400, &json!("grace_s")), "{grace_s}");
    }
    let (_, after) = demo.get(&path).await;
    assert_eq!((&after["label"], &after["mask_value"]), (&key["label"], &key["mask_value"]));
}

#[tokio::test]
async fn write_requests_of_another_origin_are_refused() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let post = |headers: &[(&str, &str)]| {
        let mut request = demo.request(Method::POST, KEYS).json(&json!({"label": "a", "scopes": ["*"]}));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request)
    };
    let (status, body) = post(&[("origin", "https://evil.example")]).await;
    assert_eq!((status.as_u16(), &body["code"]), (403, &json!("permission_denied")));
    assert_eq!(post(&[("origin", "null")]).await.0, 403);
    assert_eq!(post(&[("sec-fetch-site", "cross-site")]).await.0, 403);
    assert_eq!(post(&[("sec-fetch-site", "same-site")]).await.0, 403);
    assert_eq!(demo.get(KEYS).await.1, json!([]), "nothing was created");
    assert_eq!(post(&[("origin", &app.public)]).await.0, 201);
    assert_eq!(post(&[("origin", &app.public), ("sec-fetch-site", "same-origin")]).await.0, 201);
    let get = demo.request(Method::GET, KEYS).header("origin", "https://evil.example");
    assert_eq!(read(get).await.0, 200, "reading changes nothing");
}

/// SQLite has such texts, and PostgreSQL has none.
#[tokio::test]
async fn a_text_with_a_nul_is_never_the_databases_failure() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    for path in [
        "/api/personal_api_keys/%00/",
        "/api/users/%00/",
        "/api/users/?search=%00",
        "/api/keys/?search=a%00",
        "/api/audit_log/?action=%00",
        "/keys/%00",
    ] {
        let status = admin.request(Method::GET, path).send().await.unwrap().status();
        assert!(!status.is_server_error(), "{path}: {status}");
    }
    let (status, answer) = admin.post(KEYS, json!({"label": "x", "scopes": ["*"], "user_id": "\u{0}"})).await;
    assert!(status.is_client_error(), "{status} {answer}");
    let login = app.log_in("\u{0}@example.com", "wrong").await;
    assert!(login.status().is_client_error(), "{}", login.status());
    assert_eq!(demo.get(KEYS).await.0, 200);
}

#[tokio::test]
async fn an_invalid_body_is_refused_without_a_database() {
    let app = TestApp::start().await;
    app.close_database().await;
    let log_in =
        async |body: Value| read(client().post(format!("{}/api/login/", app.public)).json(&body)).await;
    let (status, answer) = log_in(json!({"email": "", "pasword": "x"})).await;
    let errors = answer["errors"].as_array().unwrap();
    let errors: Vec<_> = errors.iter().map(|error| (text(error, "attr"), text(error, "code"))).collect();
    let expected = [("email", "blank"), ("password", "required"), ("pasword", "unknown_field")];
    assert_eq!((status.as_u16(), errors), (400, expected.to_vec()));
    assert_eq!(log_in(json!({"email": "a@b", "password": "x"})).await.0, 503, "a valid body needs it");

    for path in ["verify", "sync"] {
        let url = format!("{}/edge/v1/{path}", app.edge);
        let request =
            client().post(url).bearer_auth(TOKEN).json(&json!({"edge": "", "digests": [], "wait_ms": 0}));
        assert_eq!(request.send().await.unwrap().status(), 400, "{path}");
    }
}
