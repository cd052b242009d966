//! A receiver of webhooks, whose answers the test chooses.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use tokio::sync::mpsc;

use crate::support::TestApp;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Part of the address that only the operator knows.
pub(crate) const HIDDEN_PATH: &str = "/hooks/hidden-part-of-the-address";

/// A message as it came.
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) struct Receiver {
    url: String,
    received: tokio::sync::Mutex<mpsc::UnboundedReceiver<Received>>,
}

#[derive(Clone)]
struct Script {
    answers: Arc<Vec<u16>>,
    next: Arc<AtomicUsize>,
    received: Arc<Mutex<mpsc::UnboundedSender<Received>>>,
}

impl Receiver {
    /// Answers the first messages with these statuses, and the others never.
    pub(crate) async fn start(answers: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{HIDDEN_PATH}", listener.local_addr().unwrap());
        let (sends, received) = mpsc::unbounded_channel();
        let script = Script {
            answers: Arc::new(answers.to_vec()),
            next: Arc::default(),
            received: Arc::new(Mutex::new(sends)),
        };
        let router = Router::new().fallback(answer).with_state(script);
        let app = router.into_make_service();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Receiver { url, received: tokio::sync::Mutex::new(received) }
    }

    /// What makes a service deliver here.
    pub(crate) fn settings(&self) -> impl FnOnce(&mut Command) -> &mut Command + use<> {
        let url = self.url.clone();
        |command| command.env("LEAK_WEBHOOK_URL", url).env("LEAK_WEBHOOK_SECRET", SECRET)
    }

    /// The next message, which comes soon.
    pub(crate) async fn next(&self) -> Received {
        let mut received = self.received.lock().await;
        tokio::time::timeout(Duration::from_secs(10), received.recv()).await.expect("no message").unwrap()
    }

    /// Whether no message comes for a while.
    pub(crate) async fn is_left_alone(&self) -> bool {
        let mut received = self.received.lock().await;
        tokio::time::timeout(Duration::from_millis(2_500), received.recv()).await.is_err()
    }
}

async fn answer(
    State(script): State<Script>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(header::HeaderName, &'static str); 1]) {
    assert_eq!(uri.path(), HIDDEN_PATH, "a redirect was followed");
    let n = script.next.fetch_add(1, Ordering::Relaxed);
    script.received.lock().unwrap().send(Received { headers, body }).unwrap();
    let Some(&status) = script.answers.get(n) else { std::future::pending().await };
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, "/elsewhere")])
}

/// Adds a message to deliver, like one of a leak that was reported to another process.
pub(crate) async fn enqueue(app: &TestApp) {
    let insert = r#"INSERT INTO webhook_deliveries (id, kind, payload, created_at, attempts, next_attempt_at)
        VALUES ('msg_1', 'key.leaked', '{"type":"key.leaked","data":{"label":"é"}}',
            CAST(unixepoch('subsec') * 1000 AS BIGINT), 0, CAST(unixepoch('subsec') * 1000 AS BIGINT))"#;
    app.alter(insert).await;
}
