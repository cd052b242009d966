//! What the service does to the disk, and what it does without space on it.

use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::server::readiness::{is_alive, readiness, until};
use crate::support::{DEMO, PASSWORD, Process, Site};

/// Sets the most bytes that a file of the process can have: beyond it, writing fails as on a full disk.
fn limit_files(app: &Process, limit: &str) {
    let id = app.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &id, limit]).status().unwrap().success());
}

#[tokio::test]
async fn on_a_full_disk_it_is_not_ready_and_goes_on_when_there_is_space() {
    // The signal that comes with the limit would end the process; a full disk sends none.
    let site = tokio::task::spawn_blocking(Site::with_users).await.unwrap();
    let app = Process::through(site, "trap '' XFSZ; exec \"$0\" \"$@\"");
    until(&app, 200).await;
    limit_files(&app, "--fsize=0:unlimited");
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 503, "a sign-in writes");
    let checks = until(&app, 503).await;
    assert_eq!((&checks["writes"], &checks["database"]), (&json!("failed"), &json!("ok")));
    assert!(is_alive(&app).await, "though its log cannot be written either");
    assert_eq!(app.scopes("phx_unknown").await, None, "what it can do, it does");
    limit_files(&app, "--fsize=unlimited");
    until(&app, 200).await;
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn however_often_it_is_asked_it_writes_once_a_second() {
    let app = Process::on(Site::empty());
    let log = app.site.storage.file().with_extension("db-wal");
    until(&app, 200).await;
    let size = || std::fs::metadata(&log).unwrap().len();
    let (before, begun) = (size(), Instant::now());
    for _ in 0..100 {
        readiness(&app).await;
    }
    // A commit of it writes four pages and their heads at most.
    let (seconds, most) = (begun.elapsed().as_secs() + 1, 4 * (4_096 + 24));
    assert!(size() - before <= seconds * most, "{} bytes in {seconds} s", size() - before);
}
