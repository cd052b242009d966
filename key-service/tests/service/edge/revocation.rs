//! The promise: when a revocation has returned, no edge uses an earlier verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Invalidation;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::scripted_edge::{ALMOST, Edge, LASTS, SHORT_LEASES, SOON, delete_later, outcome};
use crate::support::{TestApp, key_path, read, text};

/// Longer than a request without a wait takes.
const A_MOMENT: Duration = Duration::from_millis(300);

/// The first change is committed.
pub(crate) const MADE: &str = "SELECT revision = 1 FROM revision_log";

pub(crate) fn assert_waited_for_the_lease(granted: Instant, returned: Instant) {
    let waited = returned - granted;
    assert!(waited >= ALMOST && waited < LASTS + SOON, "{waited:?}");
}

#[tokio::test]
async fn a_delete_returns_when_the_edge_has_acknowledged_it_and_not_before() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let mut edge = Edge::subscribed(&app, "e").await;
    let deleting = delete_later(&demo, &key);
    let synced = edge.sync(2_000).await;
    assert!(matches!(synced.invalidation, Invalidation::Changed(changed) if changed.len() == 1));
    tokio::time::sleep(A_MOMENT).await;
    assert!(!deleting.is_finished(), "the edge has not acknowledged yet");

    let acknowledged_at = Instant::now();
    edge.sync(0).await;
    let (status, answer, returned_at) = deleting.await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [1, 1, 0]));
    assert_eq!(answer["revocation"]["revision"], json!(synced.revision));
    assert!(answer["revocation"]["elapsed_ms"].as_u64().unwrap() >= 300);
    let late = returned_at.saturating_duration_since(acknowledged_at);
    assert!(late < SOON, "{late:?}");
}

#[tokio::test]
async fn a_prompt_edge_delays_a_delete_by_milliseconds() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let _edge = Edge::new(&app, "e").run();
    app.until("SELECT COUNT(*) = 1 FROM edge_leases").await;
    let mut elapsed_ms = Vec::new();
    for _ in 0..20 {
        let key = demo.create_key("deleted", &["*"]).await;
        let (_, answer) = demo.delete(&key_path(&key)).await;
        elapsed_ms.push(answer["revocation"]["elapsed_ms"].as_u64().unwrap());
    }
    elapsed_ms.sort_unstable();
    // Polling alone would take 20 ms or more each time. The minimum, because other tests run at the same time.
    assert!(elapsed_ms[0] < 15, "{elapsed_ms:?}");
}

#[tokio::test]
async fn a_change_fails_if_a_new_epoch_has_begun() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    Edge::subscribed(&app, "e").await;
    let deleting = delete_later(&demo, &key);
    app.until(MADE).await;
    app.alter("UPDATE revision_log SET epoch = 'another'").await;
    let (status, answer, _) = deleting.await.unwrap();
    assert_eq!((status, &answer["type"]), (503, &json!("server_error")), "{answer}");
}

#[tokio::test]
async fn the_value_of_a_rolled_key_is_not_lost_if_the_wait_fails() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("rolled", &["*"]).await;
    Edge::subscribed(&app, "e").await;
    let path = key_path(&key) + "roll/";
    let roll = demo.request(Method::POST, &path).header("idempotency-key", "once").json(&json!({}));
    let rolling = tokio::spawn(read(roll));
    app.until(MADE).await;
    app.alter("UPDATE revision_log SET epoch = 'another'").await;
    let (status, answer) = rolling.await.unwrap();
    assert_eq!((status.as_u16(), &answer["code"]), (503, &json!("unavailable")), "{answer}");
    assert!(app.scopes(text(&answer, "value")).await.is_some(), "{answer}");
    assert!(app.scopes(text(&key, "value")).await.is_none(), "the old value has ended");
}

#[tokio::test]
async fn a_late_sync_takes_no_acknowledgement_back() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let mut edge = Edge::subscribed(&app, "e").await;
    let before = edge.request.clone();
    let deleting = delete_later(&demo, &key);
    edge.sync(2_000).await;
    edge.sync(0).await;
    assert_eq!(outcome(&deleting.await.unwrap().1), [1, 1, 0]);
    edge.request = before;
    edge.asks(0).send().await.unwrap();
    assert_eq!(app.number("SELECT acknowledged FROM edge_leases").await, 1);
    let (_, answer) = demo.delete(&key_path(&key)).await;
    assert_eq!(answer["code"], "not_found");
}

#[tokio::test]
async fn a_delete_waits_for_the_lease_and_its_margin_of_an_edge_that_never_acknowledges() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    Edge::subscribed(&app, "e").await;
    tokio::time::sleep(A_MOMENT).await;
    let (status, answer, returned_at) = delete_later(&demo, &key).await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [1, 0, 1]));
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn syncs_that_acknowledge_nothing_do_not_prolong_the_wait() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    let edge = Edge::subscribed(&app, "e").await;
    let deleting = delete_later(&demo, &key);
    while !deleting.is_finished() {
        assert_eq!(edge.asks(0).send().await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, answer, returned_at) = deleting.await.unwrap();
    assert_eq!(outcome(&answer), [1, 0, 1]);
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn of_several_edges_the_last_one_counts() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let running = [Edge::new(&app, "a").run(), Edge::new(&app, "b").run()];
    app.until("SELECT COUNT(*) = 2 FROM edge_leases").await;
    let granted_at = Instant::now();
    Edge::subscribed(&app, "cut-off").await;
    let (status, answer, returned_at) = delete_later(&demo, &key).await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [3, 2, 1]));
    assert_waited_for_the_lease(granted_at, returned_at);
    for edge in &running {
        assert!(edge.has_received(text(&key, "value")));
    }
    // A delete does not wait for an edge whose lease has ended.
    let next = demo.create_key("deleted next", &["*"]).await;
    let begun = Instant::now();
    let (_, answer, returned_at) = delete_later(&demo, &next).await.unwrap();
    assert_eq!(outcome(&answer), [2, 2, 0]);
    assert!(returned_at - begun < SOON);
}

#[tokio::test]
async fn a_cursor_of_another_epoch_or_of_the_future_acknowledges_nothing() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    let mut of_another_epoch = Edge::subscribed(&app, "a").await;
    let mut of_the_future = Edge::subscribed(&app, "b").await;
    of_another_epoch.request.epoch = Some("another".to_owned());
    of_another_epoch.request.cursor = Some(1);
    of_the_future.request.cursor = Some(1_000);
    of_another_epoch.asks(0).send().await.unwrap();
    of_the_future.asks(0).send().await.unwrap();
    let deleting = delete_later(&demo, &key);
    app.until(MADE).await;
    of_another_epoch.asks(0).send().await.unwrap();
    of_the_future.asks(0).send().await.unwrap();
    let (_, answer, returned_at) = deleting.await.unwrap();
    assert_eq!(outcome(&answer), [2, 0, 2]);
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn a_repeated_delete_or_a_change_of_what_is_deleted_waits_as_the_delete_does() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    Edge::subscribed(&app, "e").await;
    let first = delete_later(&demo, &key);
    app.until(MADE).await;
    let again = delete_later(&demo, &key);
    let others = [("roll/", json!({})), ("", json!({"scopes": ["*"]})), ("", json!({"label": "new"}))];
    let others = others.map(|(action, body)| {
        let (demo, path) = (demo.clone(), format!("{}{action}", key_path(&key)));
        tokio::spawn(async move {
            let answer =
                if action.is_empty() { demo.patch(&path, body).await } else { demo.post(&path, body).await };
            (answer.0.as_u16(), Instant::now())
        })
    });
    let (status, body, returned_at) = again.await.unwrap();
    assert_eq!((status, &body["code"]), (404, &json!("not_found")));
    assert_waited_for_the_lease(granted_at, returned_at);
    for other in others {
        let (status, returned_at) = other.await.unwrap();
        assert_eq!(status, 404);
        assert_waited_for_the_lease(granted_at, returned_at);
    }
    assert_eq!(first.await.unwrap().0, 200);
}

#[tokio::test]
async fn a_repeated_delete_does_not_wait_for_the_write_lock() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    assert_eq!(demo.delete(&key_path(&key)).await.0, 200);
    let revision = "SELECT revision FROM revision_log";
    let before = app.number(revision).await;
    let lock = app.lock().await;
    let begun = Instant::now();
    assert_eq!(demo.delete(&key_path(&key)).await.0, 404);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    drop(lock);
    assert_eq!(app.number(revision).await, before);
}

#[tokio::test]
async fn many_edges_and_many_deletes_lose_nothing() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let mut edges = Vec::new();
    for n in 0..300 {
        edges.push(Edge::subscribed(&app, &format!("e{n}")).await.run());
    }
    let edges: Arc<[_]> = edges.into();
    let mut deleters = JoinSet::new();
    for n in 0..10 {
        let browser = if n % 2 == 0 { demo.clone() } else { other.clone() };
        let edges = edges.clone();
        deleters.spawn(async move {
            for _ in 0..5 {
                let key = browser.create_key("one of fifty", &["*"]).await;
                let (status, answer) = browser.delete(&key_path(&key)).await;
                let received = edges.iter().filter(|edge| edge.has_received(text(&key, "value"))).count();
                assert_eq!((status.as_u16(), received, outcome(&answer)), (200, 300, [300, 300, 0]));
            }
        });
    }
    deleters.join_all().await;
    assert_eq!(app.number("SELECT COUNT(*) FROM changes").await, 50);
}

#[tokio::test]
async fn without_an_edge_nothing_waits() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let begun = Instant::now();
    let (_, answer) = demo.delete(&key_path(&key)).await;
    assert_eq!(outcome(&answer), [0, 0, 0]);
    assert!(begun.elapsed() < SOON);
}
