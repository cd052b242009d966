//! The edge listener.

use protocol::{Feature, KeyDigest, MAX_DIGESTS_PER_VERIFY, Verdict, VerifyResponse};
use serde_json::{Value, json};

use crate::support::{KEYS, PREVIOUS_TOKEN, Process, TOKEN, TestApp, client, key_path, read, text};

#[tokio::test]
async fn verdicts_have_the_order_of_the_request_and_the_identity_of_the_key() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let (_, me) = demo.get("/api/users/@me/").await;
    let first = demo.create_key("first", &["insight:read"]).await;
    let second = other.create_key("second", &["*"]).await;
    let [first_value, second_value] = [text(&first, "value"), text(&second, "value")];
    let answer = app.verify(&[second_value, "phx_unknown", first_value, first_value]).await;
    let [Verdict::Active(of_second), Verdict::Inactive, Verdict::Active(of_first), again] =
        answer.verdicts.as_slice()
    else {
        panic!("{answer:?}")
    };
    assert_eq!(of_second.key_id, text(&second, "id"));
    assert_eq!((of_first.key_id.as_str(), of_first.user_id.as_str()), (text(&first, "id"), text(&me, "id")));
    assert_eq!((of_first.scopes.to_string(), of_first.expires_in_ms), ("insight:read".to_owned(), None));
    assert_eq!(again, &Verdict::Active(of_first.clone()));
}

#[tokio::test]
async fn a_restricted_key_is_inactive_at_an_edge_that_does_not_know_restrictions() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let body = json!({"label": "CI", "scopes": ["*"], "scoped_teams": [1, 2]});
    let (_, restricted) = demo.post(KEYS, body).await;
    let free = demo.create_key("free", &["*"]).await;
    let digests = [&restricted, &free].map(|key| KeyDigest::of_value(text(key, "value"))).to_vec();
    let verdicts = async |understands: &[Feature]| {
        let answer = app.ask_as(TOKEN, digests.clone(), understands).send().await.unwrap();
        answer.json::<VerifyResponse>().await.unwrap().verdicts
    };
    for lacking in [&[][..], &[Feature::Unknown]] {
        let verdicts = verdicts(lacking).await;
        assert!(matches!(verdicts[..], [Verdict::Inactive, Verdict::Active(_)]), "{verdicts:?}");
    }
    let verdicts = verdicts(&[Feature::Restrictions]).await;
    let [Verdict::Active(of_restricted), Verdict::Active(of_free)] = &verdicts[..] else {
        panic!("{verdicts:?}")
    };
    assert_eq!(of_restricted.restrictions.to_string(), "project:1 project:2");
    assert!(of_free.restrictions.is_empty());
}

#[tokio::test]
async fn every_change_that_can_alter_a_verdict_raises_the_revision() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let before = app.verify(&[]).await;
    assert_eq!(before.verdicts, []);
    let key = demo.create_key("counted", &["*"]).await;
    let path = key_path(&key);
    demo.patch(&path, json!({"scopes": ["insight:read"]})).await;
    demo.patch(&path, json!({"expires_at": "2099-01-01T00:00:00Z"})).await;
    demo.post(&format!("{path}roll/"), json!({})).await;
    demo.delete(&path).await;
    app.site.ok(&["user", "disable", "other@example.com"], "");
    app.site.ok(&["user", "enable", "other@example.com"], "");
    app.site.ok(&["user", "permissions", "other@example.com", "insight:read"], "");
    let after = app.verify(&[]).await;
    assert_eq!((after.revision, after.epoch), (before.revision + 7, before.epoch));

    assert_eq!(demo.delete(&path).await.0, 404);
    assert_eq!(app.verify(&[]).await.revision, after.revision, "a change that failed left no trace");
}

#[tokio::test]
async fn each_database_has_an_epoch_of_its_own() {
    let [one, two] = [TestApp::empty().await, TestApp::empty().await];
    assert_ne!(one.verify(&[]).await.epoch, two.verify(&[]).await.epoch);
}

#[tokio::test]
async fn only_an_edge_token_opens_the_edge_api() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let digest = KeyDigest::of_value("phx_x");
    assert_eq!(app.ask(PREVIOUS_TOKEN, vec![digest]).send().await.unwrap().status(), 200);
    for wrong in ["wrong-edge-token-of-the-tests", "", &TOKEN[1..], &demo.cookie] {
        let response = app.ask(wrong, vec![digest]).send().await.unwrap();
        assert_eq!(response.status(), 401, "{wrong:?}");
        assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="edge""#);
        assert!(response.json::<Value>().await.unwrap()["detail"].is_string());
    }
    let bare = client().post(format!("{}/edge/v1/verify", app.edge)).body("{}");
    assert_eq!(read(bare).await.0, 401);
}

#[tokio::test]
async fn a_malformed_verify_gets_a_detail() {
    let app = TestApp::start().await;
    let post = |body: String| {
        read(client().post(format!("{}/edge/v1/verify", app.edge)).bearer_auth(TOKEN).body(body))
    };
    let bodies = [
        "",
        "{",
        "[]",
        "{}",
        r#"{"edge":"e"}"#,
        r#"{"edge":"e","digests":["abc"]}"#,
        r#"{"edge":1,"digests":[]}"#,
        // The values of a body without their names.
        r#"["e",[]]"#,
    ];
    for body in bodies {
        let (status, answer) = post(body.to_owned()).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["detail"].is_string());
    }
}

#[tokio::test]
async fn a_verify_has_256_digests_at_most() {
    let app = TestApp::start().await;
    let digests = |count| (0..count).map(|n| KeyDigest::of_value(&format!("phx_{n}"))).collect();
    let most = app.ask(TOKEN, digests(MAX_DIGESTS_PER_VERIFY)).send().await.unwrap();
    let answer: protocol::VerifyResponse = most.json().await.unwrap();
    assert_eq!(answer.verdicts, vec![Verdict::Inactive; 256]);
    let (status, answer) = read(app.ask(TOKEN, digests(MAX_DIGESTS_PER_VERIFY + 1))).await;
    assert_eq!((status.as_u16(), text(&answer, "detail")), (400, "digests: at most 256 at once."));
}

#[tokio::test]
async fn cleartext_http_2_works_too() {
    let app = TestApp::start().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let question = json!({"edge": "e", "digests": []});
    let request = client.post(format!("{}/edge/v1/verify", app.edge)).bearer_auth(TOKEN).json(&question);
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_2));
}

#[tokio::test]
async fn health_and_readiness_need_no_token_and_nothing_else_is_there() {
    let app = TestApp::start().await;
    let get = |path: &str| read(client().get(format!("{}{path}", app.edge)));
    assert_eq!(get("/healthz").await.0, 200);
    assert_eq!(get("/readyz").await.0, 200);
    assert_eq!(get("/api/personal_api_keys/").await.0, 404);
    assert_eq!(get("/edge/v1/verify").await.0, 401);
    for path in ["/healthz", "/readyz", "/metrics", "/edge/v1/verify", "/else"] {
        let answer = client().get(format!("{}{path}", app.edge)).send().await.unwrap();
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers()["cross-origin-opener-policy"], "same-origin", "{path}");
    }
}

#[tokio::test]
async fn a_database_in_trouble_is_unavailable_and_never_an_inactive_key() {
    let app = Process::start().await;
    let demo = app.demo();
    let key = demo.create_key("a key", &["*"]).await;
    // Another program takes a table away.
    app.alter_tables("ALTER TABLE users RENAME TO gone").await;

    let digest = KeyDigest::of_value(text(&key, "value"));
    let (status, answer) = read(app.ask(TOKEN, vec![digest])).await;
    assert_eq!(status, 503);
    assert_eq!(text(&answer, "detail"), "The key service is unavailable.");
    assert_eq!(demo.get("/api/personal_api_keys/").await.0, 503);
    let log = app.log_text();
    let names_the_cause = |line: &str| line.contains("ERROR") && line.contains("users");
    assert!(log.lines().any(names_the_cause), "the log says what the answer does not: {log}");

    app.alter_tables("ALTER TABLE revision_log RENAME TO gone_too").await;
    assert_eq!(read(client().get(format!("{}/readyz", app.edge))).await.0, 503);
    assert_eq!(read(client().get(format!("{}/healthz", app.edge))).await.0, 200);
}
