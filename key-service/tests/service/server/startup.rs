//! Starts that must fail with a message, and the effects of settings.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::support::{DEMO, PASSWORD, Process, Site, TOKEN, TestApp, client};

/// The error output of a `serve` that cannot start.
pub(crate) fn refused(site: &Site, args: &[&str], set: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let free = ["serve", "--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0"];
    let args = [&free[..], args].concat();
    let mut command = site.command(&args);
    let output = set(command.env("EDGE_TOKEN", TOKEN)).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

pub(crate) fn assert_one_line(stderr: &str, parts: &[&str]) {
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
}

#[test]
fn a_missing_or_weak_edge_token_is_named_and_not_shown() {
    let site = Site::empty();
    let stderr = refused(&site, &[], |command| command.env_remove("EDGE_TOKEN"));
    assert_one_line(&stderr, &["EDGE_TOKEN is not set"]);
    let stderr = refused(&site, &[], |command| command.env("EDGE_TOKEN_PREVIOUS", "hunter2"));
    assert_one_line(&stderr, &["EDGE_TOKEN_PREVIOUS is too short"]);
    assert!(!stderr.contains("hunter2"));
}

#[test]
fn an_occupied_port_is_named_with_its_setting() {
    let site = Site::empty();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let serve = |args: &[&str]| {
        let output = site.command(args).env("EDGE_TOKEN", TOKEN).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let stderr = serve(&["serve", "--listen", &address, "--edge-listen", "127.0.0.1:0"]);
    assert_one_line(&stderr, &["--listen (LISTEN)", &address, "in use"]);
    let stderr = serve(&["serve", "--listen", "127.0.0.1:0", "--edge-listen", &address]);
    assert_one_line(&stderr, &["--edge-listen (EDGE_LISTEN)", &address, "in use"]);
    assert!(site.storage.is_untouched(), "a refused start must not create the database");
}

#[test]
fn a_database_of_an_unknown_kind_is_refused_and_its_password_not_shown() {
    let site = Site::empty();
    let args = ["--database-url", "mysql://root:hunter2@localhost/keys"];
    let stderr = refused(&site, &args, |command| command);
    assert_one_line(&stderr, &["--database-url (DATABASE_URL)", "sqlite:"]);
    assert!(!stderr.contains("hunter2"));
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused() {
    let mut app = Process::on(Site::empty());
    app.stop();
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        SELECT 9999, description, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";
    app.alter(insert).await;
    let stderr = refused(&app.site, &[], |command| command);
    assert_one_line(&stderr, &["--database-url (DATABASE_URL)", "newer release", "9999"]);
}

#[test]
fn other_bad_settings_are_named() {
    let site = Site::empty();
    assert!(
        refused(&site, &["--public-url", "keys.example.com"], |command| command).contains("--public-url")
    );
    assert!(refused(&site, &[], |command| command.env("PUBLIC_URL", "ftp://x")).contains("--public-url"));
    assert!(refused(&site, &[], |command| command.env("RUST_LOG", "key_service=loud")).contains("RUST_LOG"));
    let output = site.command(&["serve", "--listen", "8080"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("--listen"));
}

#[tokio::test]
async fn public_url_decides_the_origin_and_the_cookie() {
    let app = TestApp::start_with(&["--public-url", "https://keys.example.com/"]).await;
    let body = json!({"email": DEMO, "password": PASSWORD});
    let login = |origin: &str| {
        client().post(format!("{}/api/login/", app.public)).header("origin", origin).json(&body).send()
    };
    assert_eq!(login("https://evil.example").await.unwrap().status(), 403);
    let response = login("https://keys.example.com").await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
}

#[tokio::test]
async fn even_the_finest_log_holds_no_secret() {
    let app = Process::start_with(|command| command.env("RUST_LOG", "trace")).await;
    let demo = app.demo();
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 200);
    let key = demo.create_key("secret", &["*"]).await;
    let value = key["value"].as_str().unwrap();
    demo.get(&format!("/api/personal_api_keys/{value}/")).await;
    assert!(app.scopes(value).await.is_some());
    let log = app.log_text();
    assert!(log.contains("/api/personal_api_keys/{id}"), "requests are logged");
    for secret in [value, TOKEN, PASSWORD, &demo.cookie] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn a_lease_config_that_no_edge_could_keep_is_refused_by_name() {
    let site = Site::empty();
    // Occupy the address: a start that succeeds would run until the test is killed.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = |args: &[&str]| {
        let args = [&["serve", "--listen", &address, "--edge-listen", "127.0.0.1:0"], args].concat();
        let output = site.command(&args).env("EDGE_TOKEN", TOKEN).output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let too_short = error(&["--lease-ms", "5999"]);
    assert!(too_short.contains("--lease-ms (LEASE_MS)") && too_short.contains("6000 ms"), "{too_short}");
    assert!(error(&["--hold-ms", "3000"]).contains("8000 ms"));
    let narrow = error(&["--lease-ms", "62000", "--lease-margin-ms", "10333"]);
    assert!(
        narrow.contains("--lease-margin-ms (LEASE_MARGIN_MS)") && narrow.contains("10334 ms"),
        "{narrow}"
    );
    assert!(error(&["--lease-margin-ms", "999"]).contains("1000 ms"));
    for flag in ["--hold-ms", "--lease-ms", "--lease-margin-ms"] {
        for value in ["0", "3600001", "soon"] {
            assert!(error(&[flag, value]).contains(flag), "{flag} {value}");
        }
    }
}
