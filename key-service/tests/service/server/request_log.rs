//! The request log: what stands there, and what never does.

use serde_json::{Value, json};

use crate::support::{
    DEMO, PASSWORD, PREVIOUS_TOKEN, Process, TOKEN, client, key_path, session_cookie, text,
};

/// The lines about answered requests.
fn answered(app: &Process) -> Vec<Value> {
    let log = app.log_text();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
    lines.filter(|line| line["message"] == "answered").collect()
}

#[tokio::test]
async fn a_line_has_the_route_and_the_id_that_the_answer_carries() {
    let app = Process::start().await;
    let demo = app.demo();
    let key = demo.create_key("logged", &["*"]).await;
    let request = demo.request(reqwest::Method::GET, &key_path(&key)).header("x-request-id", "mine");
    let response = request.send().await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap();
    assert_ne!(id, "mine", "a client's own id is not taken for ours");
    let lines = answered(&app);
    let line = lines.last().unwrap();
    assert_eq!(text(line, "id"), id);
    assert_eq!(text(line, "method"), "GET");
    assert_eq!(text(line, "route"), "/api/personal_api_keys/{id}");
    assert_eq!(text(line, "resource_id"), text(&key, "id"));
    assert_eq!((&line["status"], line["duration_ms"].is_number()), (&json!(200), true));
}

#[tokio::test]
async fn an_edge_that_is_refused_for_its_token_is_named_by_its_address() {
    let app = Process::start().await;
    let verify = client().post(format!("{}/edge/v1/verify", app.edge)).bearer_auth("an-old-edge-token");
    assert_eq!(verify.send().await.unwrap().status(), 401);
    let log = app.log_text();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let refused = lines.filter(|line| line["message"] == "a token was refused").collect::<Vec<_>>();
    let [line] = &refused[..] else { panic!("{log}") };
    let fields = ["level", "kind", "because", "address"].map(|name| text(line, name));
    assert_eq!(fields, ["INFO", "edge_token", "unknown", "127.0.0.1"]);
}

#[tokio::test]
async fn no_line_holds_what_a_client_sent() {
    let app = Process::start_with(|command| command.env("RUST_LOG", "trace")).await;
    let demo = app.demo();
    let login = app.log_in(DEMO, PASSWORD).await;
    let session = session_cookie(&login).unwrap();
    let key = demo.create_key("secret", &["*"]).await;
    let value = text(&key, "value");
    demo.get(&format!("/api/personal_api_keys/{value}/")).await;
    demo.get(&format!("/api/users/@me/?token={value}")).await;
    demo.request(reqwest::Method::GET, "/link/secret-of-a-link").send().await.unwrap();
    app.alter("UPDATE users SET is_admin = 1 WHERE email = 'demo@example.com'").await;
    let (_, user) = demo.get("/api/users/@me/").await;
    let (_, link) = demo.post(&format!("/api/users/{}/link/", text(&user, "id")), json!({})).await;
    let link = text(&link, "path");
    assert_eq!(demo.request(reqwest::Method::GET, link).send().await.unwrap().status(), 200);
    let (_, token) = demo.post("/api/management_tokens/", json!({"label": "t", "user_ids": null})).await;
    let token = text(&token, "value");
    let with_token = client().get(format!("{}/api/keys/", app.public)).bearer_auth(token).send().await;
    assert_eq!(with_token.unwrap().status(), 200);
    client().get(format!("{}/secret-path-{value}", app.edge)).send().await.unwrap();
    let method = reqwest::Method::from_bytes(b"SECRETMETHOD").unwrap();
    client().request(method, &app.public).bearer_auth("ekm_secret-token").send().await.unwrap();
    assert!(app.scopes(value).await.is_some());
    demo.delete(&key_path(&key)).await;

    let log = app.log_text();
    assert!(answered(&app).len() >= 8, "{log}");
    let link = link.rsplit('/').next().unwrap();
    let sent = [value, PASSWORD, TOKEN, PREVIOUS_TOKEN, &session, &demo.cookie, token, link];
    for secret in
        [&sent[..], &["secret-of-a-link", "secret-path", "SECRETMETHOD", "ekm_secret-token"]].concat()
    {
        assert!(!log.contains(secret), "{secret}");
    }
}
