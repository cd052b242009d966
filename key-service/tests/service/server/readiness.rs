//! Readiness: the service is ready exactly when it can do its work.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Process, Site, TestApp, client, read};

/// A probe's timeout is a second, mostly.
const PROBE: Duration = Duration::from_secs(1);

pub(crate) async fn readiness(app: &TestApp) -> (u16, Value) {
    let (status, body) = read(client().get(format!("{}/readyz", app.edge))).await;
    (status.as_u16(), body)
}

/// Waits until the service is or is not ready, and returns its checks.
pub(crate) async fn until(app: &TestApp, status: u16) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (current, body) = readiness(app).await;
        if current == status {
            return body["checks"].clone();
        }
        assert!(Instant::now() < deadline, "{body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn is_alive(app: &TestApp) -> bool {
    client().get(format!("{}/healthz", app.edge)).send().await.unwrap().status() == 200
}

#[tokio::test]
async fn a_ready_service_names_each_check() {
    let app = TestApp::empty().await;
    let checks = json!({"database": "ok", "writes": "ok", "migrations": "ok", "shutdown": "ok"});
    assert_eq!(readiness(&app).await, (200, json!({"status": "ready", "checks": checks})));
}

#[tokio::test]
async fn while_another_process_keeps_the_database_locked_it_is_not_ready() {
    let app = Process::on(Site::empty());
    until(&app, 200).await;
    let lock = app.lock().await;
    let checks = until(&app, 503).await;
    assert_eq!((&checks["writes"], &checks["database"]), (&json!("failed"), &json!("ok")));
    assert!(is_alive(&app).await);
    // The machine may be busy with something else now and then.
    let mut soonest = Duration::MAX;
    for _ in 0..10 {
        let asked = Instant::now();
        readiness(&app).await;
        soonest = soonest.min(asked.elapsed());
    }
    assert!(soonest < PROBE, "{soonest:?}");
    drop(lock);
    until(&app, 200).await;
    let changes = app.log_text().matches("readiness changed").count();
    assert_eq!(changes, 2, "it is logged when it changes, not each time it is asked");
}

#[tokio::test]
async fn without_its_tables_it_is_not_ready() {
    let app = TestApp::empty().await;
    app.alter_tables("DELETE FROM _sqlx_migrations WHERE version = 2").await;
    assert_eq!(until(&app, 503).await["migrations"], "failed");
    app.alter_tables("DROP TABLE _sqlx_migrations").await;
    let checks = until(&app, 503).await;
    assert_eq!((&checks["database"], &checks["migrations"]), (&json!("failed"), &json!("unknown")));
}
