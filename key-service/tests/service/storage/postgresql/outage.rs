//! A server that goes away, with the leases or without them, and a database that is copied.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_stack::postgres::{Postgres, Shutdown};

use crate::storage::postgresql::scene::{BACK, Scene, scene, scene_with};
use crate::storage::postgresql::server::{role, shared};
use crate::support::scripted_edge::{ALMOST, Edge, SOON, outcome};
use crate::support::{Process, Site, TOKEN, client, key_path, text};

/// Asks until the database is there again, and returns whether the value works.
async fn works(service: &Process, value: &str) -> bool {
    let deadline = Instant::now() + BACK;
    let digest = protocol::KeyDigest::of_value(value);
    loop {
        let response = service.ask(TOKEN, vec![digest]).send().await.unwrap();
        if response.status() == 200 {
            let answer: protocol::VerifyResponse = response.json().await.unwrap();
            return matches!(answer.verdicts[..], [protocol::Verdict::Active(_)]);
        }
        assert_eq!(response.status(), 503);
        assert!(Instant::now() < deadline, "the database is back");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn after_a_crash_of_the_database_a_change_waits_for_the_lost_leases() {
    let scene = scene().await;
    Edge::subscribed(&scene.service, "e").await;
    let crashed = |postgres: &Postgres| {
        postgres.stop(Shutdown::Immediate).unwrap();
        postgres.start_again().unwrap();
    };
    let granted_at = Instant::now();
    let scene = scene.server(crashed).await;
    let answer = scene.delete(&scene.keys[0]).await;
    assert_eq!(outcome(&answer), [0, 0, 0], "nobody knows of the edge");
    assert!(granted_at.elapsed() >= ALMOST, "{:?}", granted_at.elapsed());

    let begun = Instant::now();
    scene.delete(&scene.keys[1]).await;
    assert!(begun.elapsed() < SOON, "one crash is waited for once: {:?}", begun.elapsed());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_command_after_a_crash_of_the_database_waits_as_well() {
    let scene = scene().await;
    Edge::subscribed(&scene.service, "e").await;
    let granted_at = Instant::now();
    let Scene { service, keys: [key, _], postgres, .. } = scene;
    let revoke = move || {
        let site = service.site.clone();
        drop(service);
        postgres.process().kill().unwrap();
        postgres.start_again().unwrap();
        site.ok(&["key", "delete", text(&key, "id")], "");
    };
    tokio::task::spawn_blocking(revoke).await.unwrap();
    assert!(granted_at.elapsed() >= ALMOST, "{:?}", granted_at.elapsed());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_restart_of_the_database_loses_no_lease() {
    // Longer than a restart takes.
    let scene = scene_with(|command| command.env("LEASE_MS", "9000")).await;
    let granted_at = Instant::now();
    Edge::subscribed(&scene.service, "e").await;
    let scene = scene.server(|postgres| postgres.restart().unwrap()).await;
    assert!(works(&scene.service, text(&scene.keys[0], "value")).await);
    let answer = scene.delete(&scene.keys[0]).await;
    assert_eq!(outcome(&answer), [1, 0, 1]);
    let waited = granted_at.elapsed();
    assert!(waited >= Duration::from_millis(10_450), "{waited:?}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn without_its_database_the_service_says_so_and_takes_nothing_for_revoked() {
    let scene = scene().await;
    let value = text(&scene.keys[0], "value").to_owned();
    assert!(works(&scene.service, &value).await);
    let scene = scene.server(|postgres| postgres.stop(Shutdown::Fast).unwrap()).await;
    let digest = protocol::KeyDigest::of_value(&value);
    let begun = Instant::now();
    let refused = scene.service.ask(TOKEN, vec![digest]).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let edge = Edge::new(&scene.service, "e");
    assert_eq!(edge.asks(0).send().await.unwrap().status(), 503, "no lease");
    let checks = crate::server::readiness::until(&scene.service, 503).await;
    assert_eq!((&checks["database"], &checks["writes"]), (&json!("failed"), &json!("failed")));
    assert!(crate::server::readiness::is_alive(&scene.service).await);

    let scene = scene.server(|postgres| postgres.start_again().unwrap()).await;
    assert!(works(&scene.service, &value).await);
    crate::server::readiness::until(&scene.service, 200).await;
    Edge::subscribed(&scene.service, "e").await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn connections_that_are_cut_lose_no_change_and_falsify_no_verdict() {
    let scene = scene().await;
    let [kept, revoked] = scene.keys.each_ref().map(|key| text(key, "value").to_owned());
    let mut edge = Edge::subscribed(&scene.service, "e").await;
    let cut = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let cut = move |postgres: &Postgres| {
        assert_ne!(postgres.databases().query("postgres", cut).unwrap(), "0");
    };
    let scene = scene.server(cut).await;
    for _ in 0..20 {
        assert!(works(&scene.service, &kept).await);
    }
    let answer = scene.delete(&scene.keys[1]).await;
    assert_eq!(outcome(&answer)[0], 1, "{answer}");
    assert!(!works(&scene.service, &revoked).await);
    let changed = protocol::Invalidation::Changed(vec![protocol::KeyDigest::of_value(&revoked)]);
    assert_eq!(edge.sync(0).await.invalidation, changed);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_copy_of_a_database_begins_an_epoch_of_its_own() {
    let (original, copy, _postgres) = tokio::task::spawn_blocking(|| {
        let postgres = shared();
        let role = role(&postgres);
        let site = Site::at(&role.url(&postgres, "127.0.0.1"));
        let mut service = Process::on(site.clone());
        assert_eq!(service.stop(), Some(0));
        let copy = format!("copy_of_{}", role.database);
        postgres.databases().create(&copy, Some(&role.database)).unwrap();
        (Process::on(site), Process::on(Site::at(&postgres.url(&copy))), postgres)
    })
    .await
    .unwrap();
    assert_ne!(original.verify(&[]).await.epoch, copy.verify(&[]).await.epoch);
}

/// As a restore from a dump does, which makes the tables anew: no open connection notices.
#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn tables_that_are_restored_while_the_service_runs_begin_another_epoch() {
    let scene = scene().await;
    let epoch = scene.service.text("SELECT epoch FROM revision_log").await;
    // The revision is not below what the service has seen.
    let restore = "BEGIN; CREATE TABLE restored (LIKE revision_log INCLUDING ALL);
        INSERT INTO restored SELECT * FROM revision_log; UPDATE restored SET revision = revision + 5;
        DROP TABLE revision_log; ALTER TABLE restored RENAME TO revision_log; COMMIT";
    scene.service.alter_tables(restore).await;
    let begun = Instant::now();
    scene.delete(&scene.keys[0]).await;
    assert!(begun.elapsed() >= ALMOST, "earlier leases may still be valid: {:?}", begun.elapsed());
    let next = scene.service.text("SELECT epoch FROM revision_log").await;
    assert_ne!(next, epoch);
    scene.delete(&scene.keys[1]).await;
    assert_eq!(scene.service.text("SELECT epoch FROM revision_log").await, next, "it goes on");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_writer_that_gave_up_succeeds_as_soon_as_the_lock_is_free() {
    let scene = scene().await;
    let mut other = scene.service.database().await;
    sqlx::raw_sql("SELECT pg_advisory_lock(7310579463551)").execute(&mut other).await.unwrap();
    let delete = |key: &Value| {
        let url = format!("{}{}", scene.service.public, key_path(key));
        client().delete(url).bearer_auth(&scene.automation.token)
    };
    // The server gives up waiting for the lock; then the client does.
    assert_eq!(delete(&scene.keys[0]).send().await.unwrap().status(), 503);
    assert!(
        delete(&scene.keys[0]).timeout(Duration::from_millis(500)).send().await.unwrap_err().is_timeout()
    );
    let ready = client().get(format!("{}/readyz", scene.service.edge)).send().await.unwrap();
    assert_eq!(ready.status(), 200, "leases can be recorded all the same");
    sqlx::raw_sql("SELECT pg_advisory_unlock_all()").execute(&mut other).await.unwrap();
    for key in &scene.keys {
        let began = Instant::now();
        assert_eq!(delete(key).send().await.unwrap().status(), 200);
        assert!(began.elapsed() < BACK / 2, "{:?}", began.elapsed());
    }
    let stuck = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()
        AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - INTERVAL '1 second'";
    assert_eq!(scene.service.number(stuck).await, 0);
}
