//! A server that goes away, with the leases or without them, and a database that is copied.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;
use test_stack::postgres::{NON_DURABLE, Postgres, Shutdown};

use crate::storage::postgresql::server::{role, shared};
use crate::support::scripted_edge::{ALMOST, Edge, LASTS, SOON, outcome, path, short_terms};
use crate::support::{Automation, DEMO, Service, Site, text};

/// How long the service may take to notice that its database is there again.
const BACK: Duration = Duration::from_secs(10);

/// A service on a server that a test can do with as it likes, somebody who may use its API, and two keys.
struct Scene {
    service: Service,
    automation: Automation,
    keys: [Value; 2],
    postgres: Postgres,
}

async fn scene() -> Scene {
    scene_with(short_terms).await
}

async fn scene_with(set: fn(&mut Command) -> &mut Command) -> Scene {
    tokio::task::spawn_blocking(move || {
        let postgres = Postgres::start(&NON_DURABLE).unwrap();
        let site = Site::at(&role(&postgres).url(&postgres, "127.0.0.1"));
        site.ok(&["user", "add", DEMO, "--without-password", "--permissions", "*"], "");
        let create = ["key", "create", "--user", DEMO, "--scopes", "*", "--json", "--label"];
        let keys = ["first", "second"].map(|label| site.json(&[&create[..], &[label]].concat()));
        let token =
            site.json(&["token", "create", "--label", "terraform", "--can", "read,revoke,create", "--json"]);
        let service = site.serve_with(set);
        let (base, id) = (service.public.clone(), text(&token, "id").to_owned());
        let automation = Automation { base, id, token: text(&token, "value").to_owned() };
        Scene { service, automation, keys, postgres }
    })
    .await
    .unwrap()
}

impl Scene {
    /// Does something to the server, which takes a while.
    async fn server(self, what: impl FnOnce(&Postgres) + Send + 'static) -> Self {
        tokio::task::spawn_blocking(move || {
            what(&self.postgres);
            self
        })
        .await
        .unwrap()
    }

    /// Deletes a key, as soon as the database lets it; returns what that says.
    async fn delete(&self, key: &Value) -> Value {
        let deadline = Instant::now() + BACK + LASTS;
        loop {
            match self.automation.call(Method::DELETE, &path(key), Value::Null).await {
                (status, answer) if status == 200 => return answer,
                (status, answer) if status == 503 => assert!(Instant::now() < deadline, "{answer}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Asks until the database is there again, and returns whether the value works.
async fn works(service: &Service, value: &str) -> bool {
    let deadline = Instant::now() + BACK;
    let digest = protocol::KeyDigest::of_value(value);
    loop {
        let response = service.ask(crate::support::TOKEN, vec![digest]).send().await.unwrap();
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
async fn after_a_crash_of_the_database_a_change_waits_for_the_leases_that_it_forgot() {
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
        site.ok(&["key", "revoke", text(&key, "id")], "");
    };
    tokio::task::spawn_blocking(revoke).await.unwrap();
    assert!(granted_at.elapsed() >= ALMOST, "{:?}", granted_at.elapsed());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_restart_of_the_database_forgets_no_lease() {
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
    let refused = scene.service.ask(crate::support::TOKEN, vec![digest]).send().await.unwrap();
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
async fn connections_that_are_cut_cost_no_news_and_no_truth() {
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
    let told = protocol::News::Changed(vec![protocol::KeyDigest::of_value(&revoked)]);
    assert_eq!(edge.sync(0).await.news, told);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn a_copy_of_a_database_begins_a_history_of_its_own() {
    let (original, copy, _postgres) = tokio::task::spawn_blocking(|| {
        let postgres = shared();
        let role = role(&postgres);
        let site = Site::at(&role.url(&postgres, "127.0.0.1"));
        let mut service = site.clone().serve();
        assert_eq!(service.stop(), Some(0));
        let copy = format!("copy_of_{}", role.database);
        postgres.databases().create(&copy, Some(&role.database)).unwrap();
        (site.serve(), Site::at(&postgres.url(&copy)).serve(), postgres)
    })
    .await
    .unwrap();
    assert_ne!(original.verify(&[]).await.log, copy.verify(&[]).await.log);
}

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
async fn what_is_so_already_is_not_said_before_a_standby_has_it() {
    let scene = scene().await;
    let narrower = json!({"scopes": ["insight:read"]});
    for (method, key, body, expected) in
        [(Method::DELETE, &scene.keys[0], Value::Null, 404), (Method::PATCH, &scene.keys[1], narrower, 200)]
    {
        let call = || {
            let (automation, method, path, body) =
                (scene.automation.clone(), method.clone(), path(key), body.clone());
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

/// Many ask for what is not there while no standby is: they wait together, and nobody else waits for them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn who_waits_for_a_standby_waits_on_one_connection_and_holds_up_no_reading() {
    let scene = scene().await;
    let key = path(&scene.keys[0]);
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

/// As a restore from a dump does, which makes the tables anew: no open connection notices.
#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn tables_that_are_restored_while_the_service_runs_begin_another_log() {
    let scene = scene().await;
    let log = scene.service.text("SELECT log_id FROM revision_log").await;
    // The revision is not below what the service has seen.
    let restore = "BEGIN; CREATE TABLE restored (LIKE revision_log INCLUDING ALL);
        INSERT INTO restored SELECT * FROM revision_log; UPDATE restored SET revision = revision + 5;
        DROP TABLE revision_log; ALTER TABLE restored RENAME TO revision_log; COMMIT";
    scene.service.alter_tables(restore).await;
    let begun = Instant::now();
    scene.delete(&scene.keys[0]).await;
    assert!(begun.elapsed() >= ALMOST, "leases of before may run: {:?}", begun.elapsed());
    let next = scene.service.text("SELECT log_id FROM revision_log").await;
    assert_ne!(next, log);
    scene.delete(&scene.keys[1]).await;
    assert_eq!(scene.service.text("SELECT log_id FROM revision_log").await, next, "it goes on");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
async fn who_could_not_write_in_time_or_gave_up_writes_as_soon_as_others_have_done() {
    let scene = scene().await;
    let mut other = scene.service.database().await;
    sqlx::raw_sql("SELECT pg_advisory_lock(7310579463551)").execute(&mut other).await.unwrap();
    let delete = |key: &Value| {
        let url = format!("{}{}", scene.service.public, path(key));
        crate::support::client().delete(url).bearer_auth(&scene.automation.token)
    };
    // The server gives up waiting for the lock; then the client does.
    assert_eq!(delete(&scene.keys[0]).send().await.unwrap().status(), 503);
    assert!(
        delete(&scene.keys[0]).timeout(Duration::from_millis(500)).send().await.unwrap_err().is_timeout()
    );
    let ready = crate::support::client().get(format!("{}/readyz", scene.service.edge)).send().await.unwrap();
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
