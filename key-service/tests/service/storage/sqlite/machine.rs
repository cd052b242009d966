//! A restart of the machine, which leases in SQLite's file need not survive.

use std::time::{Duration, Instant};

use crate::support::scripted_edge::{ALMOST, LASTS, SOON, delete_later, outcome, short_leases};
use crate::support::{Process, Site, key_path, text};

#[tokio::test]
async fn after_a_restart_of_the_machine_a_change_waits_for_leases_that_may_be_lost() {
    let app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let [key, next] =
        [demo.create_key("deleted", &["*"]).await, demo.create_key("deleted next", &["*"]).await];
    // A power cut took the leases with it, and the machine has started since.
    app.alter("UPDATE revision_log SET boot_id = 'another', longest_lease_ms = 3400").await;
    let restarted_at = Instant::now();
    let app = app.restart(short_leases);
    let demo = app.demo();
    let (_, answer, returned_at) = delete_later(&demo, &key).await.unwrap();
    assert_eq!(outcome(&answer), [0, 0, 0]);
    let waited = returned_at - restarted_at;
    assert!(waited >= ALMOST && waited < LASTS + SOON, "{waited:?}");

    let app = app.restart(short_leases);
    let demo = app.demo();
    let begun = Instant::now();
    assert_eq!(demo.delete(&key_path(&next)).await.0, 200);
    assert!(begun.elapsed() < SOON, "one start after the machine's is enough");
}

#[tokio::test]
async fn a_command_before_the_service_waits_for_lost_leases_too() {
    let app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let key = demo.create_key("revoked", &["*"]).await;
    app.alter("UPDATE revision_log SET boot_id = 'another', longest_lease_ms = 1200").await;
    let site = app.site.clone();
    drop(app);
    let begun = Instant::now();
    let id = text(&key, "id").to_owned();
    tokio::task::spawn_blocking(move || site.ok(&["key", "delete", &id], "")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(1_200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_longest_lease_ever_granted_is_known_before_it_is_granted() {
    let longest = "SELECT longest_lease_ms FROM revision_log";
    let app = Process::on_with(Site::empty(), short_leases);
    assert_eq!(app.number(longest).await, 3_400);
    let app = app.restart(|command| command);
    assert_eq!(app.number(longest).await, 7_000);
    let app = app.restart(short_leases);
    assert_eq!(app.number(longest).await, 7_000, "some may still run");
    app.alter("UPDATE revision_log SET boot_id = 'another'").await;
    let app = app.restart(short_leases);
    assert_eq!(app.number(longest).await, 7_000, "it is never forgotten");
    let waits = "SELECT lost_leases_until - CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM revision_log";
    assert!((4_000..=7_000).contains(&app.number(waits).await), "the old ones are waited for");
}
