//! `backup`, and restored databases.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use protocol::Invalidation;

use crate::support::scripted_edge::{Edge, SOON, delete_later, short_leases};
use crate::support::{Browser, DEMO, PASSWORD, Process, Site, TestApp, session_cookie, text};

/// A new site on a copy of a backup of this one.
fn restored(site: &Site) -> Site {
    let elsewhere = Site::empty();
    fs::copy(site.dir.path().join("backup.db"), elsewhere.storage.file()).unwrap();
    elsewhere
}

async fn backed_up(site: &Site) -> String {
    let site = site.clone();
    let back_up = move || {
        let output = site.run(&["backup", "backup.db"], "");
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    tokio::task::spawn_blocking(back_up).await.unwrap()
}

/// Signs in again, because a backup contains no sessions.
async fn log_in(app: &TestApp) -> Browser {
    let response = app.log_in(DEMO, PASSWORD).await;
    app.browser(&session_cookie(&response).unwrap())
}

#[tokio::test]
async fn a_backup_of_a_running_service_holds_keys_and_no_sessions_links_or_leases() {
    let app = Process::start().await;
    let demo = app.demo();
    let key = demo.create_key("kept", &["*"]).await;
    Edge::subscribed(&app, "the-edge-of-before").await;
    let session = "SELECT COUNT(*) FROM sessions";
    let digest = protocol::KeyDigest::of_value(&demo.cookie).to_hex();
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(app.number(session).await > 0 && holds(&app.site.storage.content(), &digest));

    let stderr = backed_up(&app.site).await;
    assert!(stderr.contains("3 users and 1 key ") && stderr.contains("works again"), "{stderr}");
    let file = app.site.dir.path().join("backup.db");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    assert!(holds(&bytes, &protocol::KeyDigest::of_value(text(&key, "value")).to_hex()));
    assert!(!holds(&bytes, &digest) && !holds(&bytes, "the-edge-of-before"));
    let files: Vec<_> =
        fs::read_dir(app.site.dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name.to_str().unwrap().contains("key-service")), "{files:?}");
    let logged = "SELECT COUNT(*) FROM audit_log WHERE action = 'database.backed_up'";
    assert_eq!(app.number(logged).await, 1);

    let restored = Process::on(restored(&app.site));
    assert_eq!(restored.scopes(text(&key, "value")).await.as_deref(), Some("*"));
    assert_eq!(restored.number(session).await, 0);
    let old_session = restored.browser(&demo.cookie);
    assert_eq!(old_session.get("/api/users/@me/").await.0, 401);
}

#[test]
fn a_backup_replaces_no_file() {
    let site = Site::with_users();
    fs::write(site.dir.path().join("backup.db"), "precious").unwrap();
    assert!(site.fails(&["backup", "backup.db"], "").contains("backup.db already exists"));
    assert_eq!(fs::read(site.dir.path().join("backup.db")).unwrap(), b"precious");
}

#[tokio::test]
async fn every_restore_begins_an_epoch_and_waits_for_earlier_leases() {
    let app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let key = demo.create_key("deleted after the restore", &["*"]).await;
    let edge = Edge::subscribed(&app, "e").await;
    let epoch = edge.request.epoch.clone().unwrap();
    backed_up(&app.site).await;
    let mut epochs = vec![epoch];

    for _ in 0..2 {
        let began = Instant::now();
        let restored = Process::on_with(restored(&app.site), short_leases);
        let demo = log_in(&restored).await;
        let deleting = delete_later(&demo, &key);

        let mut same_edge = Edge::new(&restored, "e");
        same_edge.request = edge.request.clone();
        let answer = same_edge.sync(0).await;
        assert_eq!(answer.invalidation, Invalidation::Reset, "the edge must empty its cache");
        assert!(!epochs.contains(&answer.epoch), "{epochs:?}");
        epochs.push(answer.epoch);

        let (status, _, returned_at) = deleting.await.unwrap();
        assert_eq!(status, 200);
        // The copy assumes the default lease with its margin, 7 s.
        let waited = returned_at - began;
        assert!(
            waited >= Duration::from_millis(6_900) && waited < Duration::from_secs(7) + SOON,
            "{waited:?}"
        );
    }
}

#[tokio::test]
async fn a_restored_service_with_longer_leases_waits_for_those() {
    let app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    backed_up(&app.site).await;
    let began = Instant::now();
    let restored = Process::on_with(restored(&app.site), |command| command.env("LEASE_MS", "8000"));
    let demo = log_in(&restored).await;
    let (status, _, returned_at) = delete_later(&demo, &key).await.unwrap();
    assert_eq!(status, 200);
    let waited = returned_at - began;
    // The lease and a sixth of it.
    let lasts = Duration::from_millis(9_334);
    assert!(waited >= lasts - Duration::from_millis(100) && waited < lasts + SOON, "{waited:?}");
}

#[tokio::test]
async fn a_command_on_a_restored_database_says_why_it_took_so_long() {
    let app = Process::start().await;
    backed_up(&app.site).await;
    let output = restored(&app.site).run(&["user", "disable", DEMO], "");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("caches from before a restart had to expire") && !stderr.contains("no edge"),
        "{stderr}"
    );
}
