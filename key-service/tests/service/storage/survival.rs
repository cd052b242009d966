//! What the promise survives: the end of the process, and the columns of a newer release.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::scripted_edge::{ALMOST, Edge, delete_later, outcome, short_leases};
use crate::support::{Process, Site, text};

#[tokio::test]
async fn a_killed_and_restarted_service_waits_for_the_leases_granted_before() {
    let app = Process::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    let mut edge = Edge::subscribed(&app, "e").await;

    // Before the lease of 6 s runs out. A shorter one might run out first.
    let app = app.restart(|command| command);
    let demo = app.demo();
    let (status, answer, returned_at) = delete_later(&demo, &key).await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [1, 0, 1]));
    let waited = returned_at - granted_at;
    assert!(waited >= Duration::from_millis(6_950), "{waited:?}");

    let (cursor, mut same_edge) = (edge.request.clone(), Edge::new(&app, "e"));
    same_edge.request = cursor;
    edge = same_edge;
    let answer = edge.sync(0).await;
    assert!(
        matches!(answer.invalidation, protocol::Invalidation::Changed(changed) if changed.len() == 1),
        "its cursor counts on"
    );
}

#[tokio::test]
async fn a_shorter_lease_granted_later_does_not_end_a_longer_one() {
    let app = Process::on(Site::empty());
    let edge = Edge::subscribed(&app, "e").await;
    let ends_at = app.number("SELECT ends_at FROM edge_leases").await;
    let app = app.restart(short_leases);
    let mut again = Edge::new(&app, "e");
    again.request = edge.request;
    assert_eq!(again.sync(0).await.lease_ms, 2_400);
    assert_eq!(app.number("SELECT ends_at FROM edge_leases").await, ends_at);
}

#[tokio::test]
async fn a_terminated_service_finishes_a_delete_that_waits() {
    let mut app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    Edge::subscribed(&app, "e").await;
    let deleting = delete_later(&demo, &key);
    app.until("SELECT revision = 1 FROM revision_log").await;
    app.signal("-TERM");
    let (status, answer, returned_at) = deleting.await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [1, 0, 1]));
    assert!(returned_at - granted_at >= ALMOST);
    assert_eq!(tokio::task::spawn_blocking(move || app.wait()).await.unwrap(), Some(0));
}

/// As while replicas are replaced by a newer release one after the other.
#[tokio::test]
async fn columns_that_a_newer_release_adds_are_ignored() {
    let app = Process::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let key = demo.create_key("a key", &["*"]).await;
    admin.create_token(None).await;
    let id = text(&key, "id");
    let answers = async || {
        let mut answers = vec![(200.try_into().unwrap(), json!(app.scopes(text(&key, "value")).await))];
        for path in ["/api/users/", "/api/management_tokens/", "/api/audit_log/", "/api/keys/"] {
            answers.push(admin.get(path).await);
        }
        for path in ["/api/users/@me/", "/api/personal_api_keys/", &format!("/api/personal_api_keys/{id}/")] {
            answers.push(demo.get(path).await);
        }
        answers
    };
    let before = answers().await;
    assert!(before.iter().all(|(status, _)| *status == 200), "{before:?}");
    let add =
        ["users", "api_keys", "key_digests", "management_tokens", "audit_log", "sessions", "revision_log"]
            .map(|table| format!("ALTER TABLE {table} ADD COLUMN of_a_newer_release BIGINT;"));
    app.alter_tables(add.concat()).await;
    assert_eq!(answers().await, before);
    assert_eq!(demo.delete(&format!("/api/personal_api_keys/{id}/")).await.0, 200);
}
