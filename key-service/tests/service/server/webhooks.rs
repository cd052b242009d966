//! Messages to the operator's webhook: signed, delivered once, and never lost.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::webhook_receiver::{HIDDEN_PATH, Received, Receiver, SECRET, enqueue};
use crate::support::{Process, Site, TOKEN, TestApp, key_path, text};

/// Whether nothing is left to deliver.
const EMPTY: &str = "SELECT COUNT(*) = 0 FROM webhook_deliveries";

/// Lets the time pass until the next attempt.
async fn make_due(app: &TestApp) {
    app.alter("UPDATE webhook_deliveries SET next_attempt_at = 0").await;
}

fn header<'a>(message: &'a Received, name: &str) -> &'a str {
    message.headers[name].to_str().unwrap()
}

/// Checks a message as its receiver has to.
fn assert_signed(message: &Received) {
    let at_s: u64 = header(message, "webhook-timestamp").parse().unwrap();
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now_s.abs_diff(at_s) < 60, "{at_s}");
    let secret = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(format!("{}.{at_s}.{}", header(message, "webhook-id"), message.body).as_bytes());
    let signature = header(message, "webhook-signature").strip_prefix("v1,").unwrap();
    mac.verify_slice(&STANDARD.decode(signature).unwrap()).unwrap();
    assert_eq!(header(message, "content-type"), "application/json");
}

#[tokio::test]
async fn a_message_is_signed_and_delivered_once() {
    let receiver = Receiver::start(&[204]).await;
    let app = Process::on_with(Site::empty(), receiver.settings());
    enqueue(&app).await;
    let message = receiver.next().await;
    assert_signed(&message);
    assert_eq!(header(&message, "webhook-id"), "msg_1");
    assert_eq!(message.body, r#"{"type":"key.leaked","data":{"label":"é"}}"#);
    app.until(EMPTY).await;
    assert!(receiver.is_left_alone().await);
    let scrape = app.scrape().await;
    assert_eq!(scrape.value(r#"key_service_webhook_attempts_total{outcome="delivered"}"#), 1.0);
}

#[tokio::test]
async fn a_leak_webhook_is_stored_in_the_transaction_that_ends_the_key() {
    let receiver = Receiver::start(&[204]).await;
    let app = Process::start_with(receiver.settings()).await;
    let demo = app.demo();
    let key = demo.create_key("leaked", &["*"]).await;
    app.alter("UPDATE users SET is_admin = 1 WHERE email = 'demo@example.com'").await;
    let report = json!({"values": [text(&key, "value")], "source": "a test"});
    assert_eq!(demo.post("/api/leaked_keys/", report).await.0, 200);
    let message = receiver.next().await;
    assert_signed(&message);
    assert!(header(&message, "webhook-id").starts_with("msg_"));
    let body: Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["key_id"]), (&"key.leaked".into(), &key["id"]));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
    assert!(!message.body.contains(text(&key, "value")));
}

#[tokio::test]
async fn a_message_that_is_refused_or_redirected_is_sent_again_later() {
    let receiver = Receiver::start(&[500, 307, 200]).await;
    let app = Process::on_with(Site::empty(), receiver.settings());
    enqueue(&app).await;
    let first = receiver.next().await;
    let waits =
        "SELECT attempts = 1 AND next_attempt_at - created_at BETWEEN 4000 AND 9000 FROM webhook_deliveries";
    app.until(waits).await;
    assert!(receiver.is_left_alone().await, "not at once");
    make_due(&app).await;
    receiver.next().await;
    app.until("SELECT attempts = 2 FROM webhook_deliveries").await;
    make_due(&app).await;
    let last = receiver.next().await;
    assert_signed(&last);
    assert_eq!(header(&last, "webhook-id"), header(&first, "webhook-id"), "so that receivers know it");
    app.until(EMPTY).await;
    let scrape = app.scrape().await;
    assert_eq!(scrape.value(r#"key_service_webhook_attempts_total{outcome="failed"}"#), 2.0);
}

#[tokio::test]
async fn a_message_survives_a_receiver_that_is_away_and_a_restart() {
    let receiver = Receiver::start(&[]).await;
    let app = Process::on_with(Site::empty(), receiver.settings());
    enqueue(&app).await;
    receiver.next().await;
    // Killed while the receiver had the message and had not answered.
    let receiver = Receiver::start(&[200]).await;
    let app = app.restart(receiver.settings());
    make_due(&app).await;
    assert_signed(&receiver.next().await);
    app.until(EMPTY).await;
}

#[tokio::test]
async fn a_message_that_nobody_takes_is_given_up_and_logged() {
    let receiver = Receiver::start(&[500]).await;
    let app = Process::on_with(Site::empty(), |command| command);
    enqueue(&app).await;
    app.alter("UPDATE webhook_deliveries SET attempts = 13").await;
    let app = app.restart(receiver.settings());
    receiver.next().await;
    app.until(EMPTY).await;
    assert!(app.log_text().contains("given up"));
    let scrape = app.scrape().await;
    assert_eq!(scrape.value(r#"key_service_webhook_attempts_total{outcome="given_up"}"#), 1.0);
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_nothing_up() {
    let receiver = Receiver::start(&[]).await;
    let app = Process::start_with(receiver.settings()).await;
    let demo = app.demo();
    enqueue(&app).await;
    receiver.next().await;
    let begun = std::time::Instant::now();
    let key = demo.create_key("meanwhile", &["*"]).await;
    assert_eq!(demo.delete(&key_path(&key)).await.0, 200);
    assert!(begun.elapsed() < crate::support::scripted_edge::SOON);
    assert_eq!(app.scrape().await.value("key_service_webhook_deliveries_pending"), 1.0);
}

#[tokio::test]
async fn neither_the_secret_nor_the_address_is_logged() {
    let receiver = Receiver::start(&[500, 200]).await;
    let settings = receiver.settings();
    let app = Process::on_with(Site::empty(), |command| settings(command.env("RUST_LOG", "trace")));
    enqueue(&app).await;
    receiver.next().await;
    app.until("SELECT attempts = 1 FROM webhook_deliveries").await;
    make_due(&app).await;
    receiver.next().await;
    app.until(EMPTY).await;
    // An address that nobody listens at, too.
    let app = app.restart(|command| {
        let nowhere = format!("http://127.0.0.1:9{HIDDEN_PATH}");
        command.env("RUST_LOG", "trace").env("LEAK_WEBHOOK_URL", nowhere).env("LEAK_WEBHOOK_SECRET", SECRET)
    });
    enqueue(&app).await;
    app.until("SELECT attempts = 1 FROM webhook_deliveries").await;
    while !app.log_text().contains("did not accept the message") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let log = app.log_text();
    for secret in [HIDDEN_PATH, SECRET, &SECRET[6..], "MfKQ9r8GKYqr"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn half_a_setting_is_refused_by_name() {
    let output = Site::empty()
        .command(&["serve", "--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0"])
        .env("EDGE_TOKEN", TOKEN)
        .env("LEAK_WEBHOOK_URL", "https://hooks.example.com/hidden")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("LEAK_WEBHOOK_SECRET is not set") && !stderr.contains("hidden"), "{stderr}");
}
