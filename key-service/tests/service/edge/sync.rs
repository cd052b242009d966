//! Syncs: the invalidations that an edge receives, and their timing.

use std::time::{Duration, Instant};

use protocol::{Invalidation, KeyDigest, MAX_USED_PER_SYNC};
use serde_json::{Value, json};

use crate::support::scripted_edge::{Edge, SHORT_LEASES, SOON, delete_later};
use crate::support::{Process, TOKEN, TestApp, client, key_path, read, text};

fn changed(values: &[&str]) -> Invalidation {
    Invalidation::Changed(values.iter().map(|value| KeyDigest::of_value(value)).collect())
}

#[tokio::test]
async fn a_sync_without_a_cursor_is_answered_with_a_reset_at_once() {
    let app = TestApp::empty().await;
    let mut edge = Edge::new(&app, "e");
    let begun = Instant::now();
    let first = edge.sync(2_000).await;
    assert!(begun.elapsed() < SOON);
    assert_eq!((first.invalidation, first.revision, first.lease_ms), (Invalidation::Reset, 0, 6_000));
    assert_eq!(first.epoch, app.verify(&[]).await.epoch);
    assert_eq!(edge.sync(0).await.invalidation, changed(&[]));
}

#[tokio::test]
async fn a_cursor_that_says_nothing_of_this_history_gets_a_reset_at_once() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    demo.delete(&key_path(&key)).await;
    let mut edge = Edge::subscribed(&app, "e").await;
    let good = edge.request.clone();
    for (epoch, cursor) in [
        (None, good.cursor),
        (good.epoch.clone(), None),
        (Some("another".to_owned()), good.cursor),
        (good.epoch.clone(), Some(2)),
        (good.epoch.clone(), Some(u64::MAX)),
    ] {
        (edge.request.epoch, edge.request.cursor) = (epoch, cursor);
        let begun = Instant::now();
        assert_eq!(edge.sync(2_000).await.invalidation, Invalidation::Reset, "{cursor:?}");
        assert!(begun.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_held_sync_is_answered_as_soon_as_a_key_is_deleted() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let mut edge = Edge::subscribed(&app, "e").await;
    let deleting = delete_later(&demo, &key);
    let begun = Instant::now();
    assert_eq!(edge.sync(2_000).await.invalidation, changed(&[text(&key, "value")]));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    edge.sync(0).await;
    assert_eq!(deleting.await.unwrap().0, 200);
}

#[tokio::test]
async fn a_sync_without_changes_is_held_as_long_as_the_edge_and_the_configuration_allow() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let mut edge = Edge::subscribed(&app, "e").await;
    for (wait_ms, held_ms) in [(0, 0), (100, 100), (60_000, 200)] {
        let begun = Instant::now();
        let answer = edge.sync(wait_ms).await;
        assert_eq!((answer.invalidation, answer.lease_ms), (changed(&[]), 2_400));
        let held = begun.elapsed();
        assert!(held >= Duration::from_millis(held_ms) && held < SOON, "{wait_ms}: {held:?}");
    }
}

#[tokio::test]
async fn a_change_made_by_another_process_ends_the_hold_within_100_ms() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let mut edge = Edge::subscribed(&app, "e").await;
    let mut late_ms = Vec::new();
    for _ in 0..5 {
        let key = demo.create_key("deleted elsewhere", &["*"]).await;
        let (site, id) = (app.site.clone(), text(&key, "id").to_owned());
        let holding = tokio::spawn(async move {
            let answer = edge.sync(2_000).await;
            (edge, answer, std::time::SystemTime::now())
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let revoke = tokio::task::spawn_blocking(move || site.json(&["key", "delete", &id, "--json"]));
        let (held, answer, answered_at) = holding.await.unwrap();
        edge = held;
        assert_eq!(answer.invalidation, changed(&[text(&key, "value")]));
        let made_at = app.number("SELECT MAX(made_at) FROM changes").await;
        let since_1970 = answered_at.duration_since(std::time::UNIX_EPOCH).unwrap();
        late_ms.push(i64::try_from(since_1970.as_millis()).unwrap() - made_at);
        edge.sync(0).await;
        let revocation = revoke.await.unwrap();
        assert_eq!((&revocation["edges"], &revocation["acknowledged"]), (&json!(1), &json!(1)));
    }
    // The best of them: other tests run at the same time.
    assert!(late_ms.iter().min() < Some(&100), "{late_ms:?} ms");
}

#[tokio::test]
async fn a_change_that_alters_no_verdict_raises_no_revision() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let before = app.verify(&[]).await.revision;
    let key = demo.create_key("first", &["*"]).await;
    let (status, patched) = demo.patch(&key_path(&key), json!({"label": "second"})).await;
    assert_eq!((status.as_u16(), &patched["revocation"]), (200, &Value::Null));
    assert_eq!(patched["label"], "second");
    assert_eq!(app.verify(&[]).await.revision, before);
}

#[tokio::test]
async fn a_terminated_service_answers_held_syncs_at_once() {
    let mut app = Process::start().await;
    let mut edge = Edge::subscribed(&app, "e").await;
    let holding = tokio::spawn(async move {
        let answer = edge.sync(2_000).await;
        (answer, Instant::now())
    });
    app.until_syncs_are_held(1.0).await;
    let begun = Instant::now();
    app.signal("-TERM");
    let (answer, answered_at) = holding.await.unwrap();
    assert_eq!(answer.invalidation, changed(&[]));
    // Not when the hold of 2 s is over.
    assert!(answered_at - begun < SOON, "{:?}", answered_at - begun);
    assert_eq!(tokio::task::spawn_blocking(move || app.wait()).await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_malformed_sync_gets_a_detail_and_no_lease() {
    let app = TestApp::start().await;
    let post = |body: Value| {
        read(client().post(format!("{}/edge/v1/sync", app.edge)).bearer_auth(TOKEN).json(&body))
    };
    let good = json!({"edge": "e", "epoch": null, "cursor": null, "wait_ms": 0, "used": {}});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let uses = |count: usize| (0..count).map(|n| (format!("k{n}"), json!(n))).collect::<Value>();
    let refused = [
        with("edge", json!("")),
        with("edge", json!("e".repeat(65))),
        with("edge", json!("two words")),
        with("edge", json!("é")),
        with("edge", json!(7)),
        with("epoch", json!("a\0b")),
        with("cursor", json!(-1)),
        with("wait_ms", json!(null)),
        with("used", uses(MAX_USED_PER_SYNC + 1)),
        with("used", json!({"": 1})),
        with("used", json!({"k": "yesterday"})),
        json!([]),
    ];
    for body in refused {
        let (status, answer) = post(body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["detail"].is_string());
    }
    assert_eq!(app.number("SELECT COUNT(*) FROM edge_leases").await, 0);
    assert_eq!(post(with("edge", json!("!".repeat(64)))).await.0, 200);
    assert_eq!(post(with("used", uses(MAX_USED_PER_SYNC))).await.0, 200);
    let bare = client().post(format!("{}/edge/v1/sync", app.edge)).json(&good);
    assert_eq!(read(bare).await.0, 401);
    let question = json!({"edge": "two words", "digests": []});
    let verify = client().post(format!("{}/edge/v1/verify", app.edge)).bearer_auth(TOKEN);
    assert_eq!(read(verify.json(&question)).await.0, 400);
}

#[tokio::test]
async fn frequent_requests_are_not_logged() {
    let app = Process::start().await;
    Edge::subscribed(&app, "e").await;
    app.verify(&[]).await;
    app.scrape().await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/else", 404)] {
        assert_eq!(read(client().get(format!("{}{path}", app.edge))).await.0, status);
    }
    let log = app.log_text();
    assert_eq!(log.matches(r#""message":"answered""#).count(), 1, "{log}");
    assert!(log.contains(r#""route":"(none)""#), "{log}");
}
