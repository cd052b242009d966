//! Commits that wait for a standby.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::storage::postgresql::scene::{Scene, scene};
use crate::support::key_path;

/// Has every commit wait for a standby that there is not; returns when the server does so.
async fn require_standby(scene: &Scene) {
    let server = scene.postgres.databases();
    server.query("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").unwrap();
    server.query("postgres", "SELECT pg_reload_conf()").unwrap();
    let commit = "SELECT CAST(pg_logical_emit_message(true, 'test', '') AS TEXT)";
    loop {
        let mut probe = scene.service.database().await;
        let committed =
            tokio::spawn(async move { sqlx::raw_sql(commit).execute(&mut probe).await.map(drop) });
        while !committed.is_finished() {
            if give_up_waiting(scene) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Has commits that wait for a standby give up; how many did.
fn give_up_waiting(scene: &Scene) -> usize {
    let cancel = "SELECT COUNT(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    scene.postgres.databases().query("postgres", cancel).unwrap().parse().unwrap()
}

/// A change whose commit gave up waiting for a standby can be read, and a failover would still undo it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_repeated_change_is_not_answered_before_a_standby_has_the_first() {
    let scene = scene().await;
    let narrower = json!({"scopes": ["insight:read"]});
    for (method, key, body, expected) in
        [(Method::DELETE, &scene.keys[0], Value::Null, 404), (Method::PATCH, &scene.keys[1], narrower, 200)]
    {
        let call = || {
            let (automation, method, path, body) =
                (scene.automation.clone(), method.clone(), key_path(key), body.clone());
            tokio::spawn(async move { automation.call(method, &path, body).await })
        };
        require_standby(&scene).await;
        let first = call();
        while !first.is_finished() {
            give_up_waiting(&scene);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(first.await.unwrap().0, 200, "a commit that gave up waiting counts as made");

        let again = call();
        while securing(&scene) == 0 {
            assert!(!again.is_finished(), "{method}: it was answered, and no standby has it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        require_no_standby(&scene);
        assert_eq!(again.await.unwrap().0, expected);
    }
}

/// How many of the service's connections wait until a standby has what was found.
fn securing(scene: &Scene) -> usize {
    let waits =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%edge-key-auth%'";
    scene.postgres.databases().query("postgres", waits).unwrap().parse().unwrap()
}

fn require_no_standby(scene: &Scene) {
    let server = scene.postgres.databases();
    server.query("postgres", "ALTER SYSTEM RESET synchronous_standby_names").unwrap();
    server.query("postgres", "SELECT pg_reload_conf()").unwrap();
}

/// Without a standby, DELETEs of unknown ids wait together on one connection; reads do not wait for them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn waits_for_a_standby_share_one_connection_and_block_no_reads() {
    let scene = scene().await;
    let key = key_path(&scene.keys[0]);
    let look = async || scene.automation.call(Method::GET, &key, Value::Null).await.0;
    assert_eq!(look().await, 200);
    require_standby(&scene).await;
    let deletes: Vec<_> = (0..20)
        .map(|n| {
            let automation = scene.automation.clone();
            let path = format!("/api/personal_api_keys/nothing-{n}/");
            tokio::spawn(async move { automation.call(Method::DELETE, &path, Value::Null).await })
        })
        .collect();
    while securing(&scene) == 0 {
        assert!(deletes.iter().all(|delete| !delete.is_finished()), "no standby has what was found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Each that has found nothing by now waits: had it a connection of those for reading, none would be left.
    for _ in 0..10 {
        assert_eq!(look().await, 200);
        assert_eq!(securing(&scene), 1);
    }
    require_no_standby(&scene);
    for delete in deletes {
        assert_eq!(delete.await.unwrap().0, 404);
    }
}
