//! The history of changes, and the last use of keys.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::{Invalidation, MAX_CHANGED_PER_SYNC};
use serde_json::{Value, json};

use crate::support::scripted_edge::{ALMOST, Edge, SHORT_LEASES, SOON, short_leases};
use crate::support::{Browser, Process, TestApp, key_path, text};

async fn a_change(demo: &Browser) {
    let key = demo.create_key("deleted", &["*"]).await;
    assert_eq!(demo.delete(&key_path(&key)).await.0, 200);
}

/// How many digests an invalidation lists; `None` for a reset.
fn changed(invalidation: &Invalidation) -> Option<usize> {
    match invalidation {
        Invalidation::Changed(changed) => Some(changed.len()),
        Invalidation::Reset => None,
    }
}

#[tokio::test]
async fn an_edge_far_behind_gets_up_to_a_thousand_changes_and_then_a_reset() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let mut edge = Edge::subscribed(&app, "e").await;
    a_change(&demo).await;
    // Another 999 digests of that revision, the first of them once more in another one.
    app.alter(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 999)
            INSERT INTO changes SELECT revision, substr(digest, 1, 58) || (100000 + n), made_at
                FROM n, (SELECT * FROM changes) c",
    )
    .await;
    let behind = edge.request.clone();
    assert_eq!(changed(&edge.sync(0).await.invalidation), Some(MAX_CHANGED_PER_SYNC));
    app.alter(
        "INSERT INTO changes SELECT revision, substr(digest, 1, 58) || 101000, made_at FROM changes LIMIT 1",
    )
    .await;
    edge.request = behind;
    assert_eq!(changed(&edge.sync(0).await.invalidation), None);
}

#[tokio::test]
async fn changes_are_kept_for_an_hour() {
    let app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let mut edge = Edge::subscribed(&app, "e").await;
    let behind = edge.request.clone();
    a_change(&demo).await;
    edge.sync(0).await;
    let at_the_old_change = edge.request.clone();
    app.alter("UPDATE changes SET made_at = made_at - 3600000").await;
    a_change(&demo).await;

    let app = app.restart(short_leases);
    app.until("SELECT COUNT(*) = 1 FROM changes").await;
    let mut edge = Edge::new(&app, "e");
    for (request, expected) in [(behind, None), (at_the_old_change, Some(1))] {
        edge.request = request;
        assert_eq!(changed(&edge.sync(0).await.invalidation), expected);
    }
}

/// As a restore of the rows alone does, which leaves the tables and all connections as they are.
#[tokio::test]
async fn rows_that_are_restored_while_the_service_runs_begin_another_epoch() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    for _ in 0..3 {
        a_change(&demo).await;
    }
    let mut edge = Edge::subscribed(&app, "e").await;
    let ahead = edge.request.clone();
    let epoch = app.text("SELECT epoch FROM revision_log").await;
    let begun = Instant::now();
    app.alter("UPDATE revision_log SET revision = revision - 2").await;
    app.alter("UPDATE edge_leases SET ends_at = 0").await;
    a_change(&demo).await;
    assert!(begun.elapsed() >= ALMOST, "earlier leases end first: {:?}", begun.elapsed());
    assert_ne!(app.text("SELECT epoch FROM revision_log").await, epoch);
    for _ in 0..3 {
        a_change(&demo).await;
    }
    edge.request = ahead;
    assert_eq!(
        changed(&edge.sync(0).await.invalidation),
        None,
        "it may have missed changes of the same numbers"
    );
}

#[tokio::test]
async fn a_hundred_thousand_changed_digests_are_kept_at_most() {
    let app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let edge = Edge::subscribed(&app, "e").await;
    for _ in 0..2 {
        a_change(&demo).await;
    }
    app.alter(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 99999)
            INSERT INTO changes SELECT revision, substr(digest, 1, 58) || (100000 + n), made_at FROM n,
                (SELECT * FROM changes ORDER BY revision DESC LIMIT 1) c",
    )
    .await;
    assert_eq!(app.number("SELECT COUNT(*) FROM changes").await, 100_001);
    let app = app.restart(short_leases);
    app.until("SELECT COUNT(*) = 100000 FROM changes").await;
    let mut again = Edge::new(&app, "e");
    again.request = edge.request;
    assert_eq!(changed(&again.sync(0).await.invalidation), None, "the first change is forgotten");
}

/// When a key was last used, in seconds since 1970-01-01 UTC.
async fn last_use(demo: &Browser, key: &Value) -> Option<u64> {
    let (_, shown) = demo.get(&key_path(key)).await;
    let at = shown["last_used_at"].as_str()?;
    let at = time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339).unwrap();
    Some(u64::try_from(at.unix_timestamp()).unwrap())
}

/// An edge that reports uses, and another key with each, used an hour later each time: it shows when they are written.
struct Reporting {
    edge: Edge,
    demo: Browser,
    other: Value,
    other_at_s: u64,
}

impl Reporting {
    /// Reports a use, and returns what the key shows when that is written.
    async fn shown_after(&mut self, key: &Value, at_s: u64) -> Option<u64> {
        self.other_at_s += 3_600;
        let id = |key: &Value| text(key, "id").to_owned();
        self.edge.request.used = [(id(key), at_s), (id(&self.other), self.other_at_s)].into();
        self.edge.sync(0).await;
        let reported = Instant::now();
        while last_use(&self.demo, &self.other).await != Some(self.other_at_s) {
            assert!(reported.elapsed() < Duration::from_secs(1) + SOON, "it is not written");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        last_use(&self.demo, key).await
    }
}

#[tokio::test]
async fn a_keys_last_use_is_written_hourly_and_never_backwards_or_ahead() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("used", &["*"]).await;
    let unused = demo.create_key("unused", &["*"]).await;
    let other = demo.create_key("other", &["*"]).await;
    let edge = Edge::subscribed(&app, "e").await;
    let mut reporting = Reporting { edge, demo: demo.clone(), other, other_at_s: 0 };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let first = now - 10_000;
    assert_eq!(reporting.shown_after(&key, first).await, Some(first));
    assert_eq!(reporting.shown_after(&key, first + 3_599).await, Some(first), "too soon");
    assert_eq!(reporting.shown_after(&key, first - 7_200).await, Some(first), "never backwards");
    assert_eq!(reporting.shown_after(&key, first + 3_600).await, Some(first + 3_600));
    let latest = reporting.shown_after(&key, u64::MAX).await.unwrap();
    assert!((now..now + 60).contains(&latest), "never in the future: {latest} at {now}");
    assert_eq!(demo.get(&key_path(&unused)).await.1["last_used_at"], Value::Null);
    let (_, rolled) = demo.post(&format!("{}roll/", key_path(&unused)), json!({})).await;
    assert_eq!(rolled["last_used_at"], Value::Null);
    let table = app.site.ok(&["key", "list"], "");
    assert!(table.contains("LAST USED"), "{table}");
}

#[tokio::test]
async fn uses_reported_just_before_the_shutdown_are_written() {
    let mut app = Process::start().await;
    let demo = app.demo();
    let mut edge = Edge::subscribed(&app, "e").await;
    // They are written once a second, which may be just now.
    for attempt in 1.. {
        assert!(attempt <= 10, "it is written at once each time");
        let key = demo.create_key("used", &["*"]).await;
        edge.request.used = [(text(&key, "id").to_owned(), 1_000_000)].into();
        edge.sync(0).await;
        if app.number("SELECT COUNT(*) FROM api_keys WHERE last_used_at IS NULL").await == 1 {
            break;
        }
    }
    let site = app.site.clone();
    assert_eq!(tokio::task::spawn_blocking(move || app.stop()).await.unwrap(), Some(0));
    let keys = tokio::task::spawn_blocking(move || site.json(&["key", "list", "--json"])).await.unwrap();
    for key in keys.as_array().unwrap() {
        assert_eq!(key["last_used_at"], "1970-01-12T13:46:40Z");
    }
}
