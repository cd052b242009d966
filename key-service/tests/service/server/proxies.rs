//! The client's address, and the proxies whose `X-Forwarded-For` counts.

use reqwest::{Response, StatusCode};
use serde_json::json;

use crate::support::{DEMO, PASSWORD, Process, Site, TestApp, client};

/// Tries to sign in, with these `X-Forwarded-For` headers.
async fn try_from(app: &TestApp, forwarded_for: &[&str], email: &str) -> StatusCode {
    let body = json!({"email": email, "password": "wrong"});
    let mut request = client().post(format!("{}/api/login/", app.public)).json(&body);
    for field in forwarded_for {
        request = request.header("x-forwarded-for", *field);
    }
    request.send().await.unwrap().status()
}

/// The client's address that the audit log has for such an attempt.
async fn address(app: &TestApp, forwarded_for: &[&str]) -> String {
    assert_eq!(try_from(app, forwarded_for, "somebody@example.com").await, 401);
    app.text("SELECT address FROM audit_log ORDER BY id DESC LIMIT 1").await
}

async fn behind_proxies() -> TestApp {
    TestApp::on(Site::empty(), &["--trusted-proxies", "127.0.0.0/8, 10.0.0.0/8,192.0.2.5"]).await
}

#[tokio::test]
async fn an_untrusted_peers_header_is_ignored() {
    let no_proxies = TestApp::empty().await;
    assert_eq!(address(&no_proxies, &["198.51.100.7"]).await, "127.0.0.1");
    let others = TestApp::on(Site::empty(), &["--trusted-proxies", "10.0.0.0/8"]).await;
    assert_eq!(address(&others, &["198.51.100.7"]).await, "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_and_the_client_cannot_forge_it() {
    let app = behind_proxies().await;
    assert_eq!(address(&app, &["198.51.100.7"]).await, "198.51.100.7");
    assert_eq!(address(&app, &["203.0.113.9, 198.51.100.7, 10.1.2.3"]).await, "198.51.100.7");
    assert_eq!(address(&app, &["203.0.113.9", "198.51.100.7", "192.0.2.5"]).await, "198.51.100.7");
    assert_eq!(address(&app, &["nonsense, 198.51.100.7"]).await, "198.51.100.7");
    assert_eq!(address(&app, &["198.51.100.7, nonsense"]).await, "127.0.0.1", "malformed: the peer");
    assert_eq!(address(&app, &[]).await, "127.0.0.1");
}

#[tokio::test]
async fn two_clients_behind_one_trusted_proxy_have_limits_of_their_own() {
    let app = behind_proxies().await;
    let mut attempts = 0;
    // The quota refills while passwords are hashed.
    while try_from(&app, &["198.51.100.1"], &format!("user{attempts}@example.com")).await == 401 {
        attempts += 1;
        assert!(attempts < 600, "no limit");
    }
    assert!(attempts >= 60, "{attempts}");
    assert_eq!(try_from(&app, &["198.51.100.2"], "another@example.com").await, 401);
}

/// Signs in with the right password, from an address.
async fn sign_in_from(app: &TestApp, address: &str) -> Response {
    let body = json!({"email": DEMO, "password": PASSWORD});
    let request = client().post(format!("{}/api/login/", app.public)).json(&body);
    request.header("x-forwarded-for", address).send().await.unwrap()
}

/// Uses up the limit for all unknown networks together, for [`DEMO`].
async fn exhaust_unknown_networks(app: &TestApp) {
    for network in 0..40 {
        let mut status = StatusCode::UNAUTHORIZED;
        let mut attempts = 0;
        while status == StatusCode::UNAUTHORIZED {
            status = try_from(app, &[&format!("203.0.113.{network}")], DEMO).await;
            attempts += 1;
        }
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        if attempts == 1 {
            return;
        }
    }
    panic!("no limit for all networks together");
}

/// Whether an unknown network is refused. The quota of an account refills by one attempt each minute, maybe just now.
async fn is_throttled(app: &TestApp, address: &str) -> bool {
    for _ in 0..3 {
        if try_from(app, &[address], DEMO).await == StatusCode::TOO_MANY_REQUESTS {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn strangers_do_not_keep_a_user_out_of_a_network_that_is_known() {
    let site = tokio::task::spawn_blocking(Site::with_users).await.unwrap();
    let app = Process::on_with(site, |command| command.env("TRUSTED_PROXIES", "127.0.0.1"));
    for own in ["198.51.100.7", "2001:db8:1:2::3"] {
        assert_eq!(sign_in_from(&app, own).await.status(), 200);
    }
    exhaust_unknown_networks(&app).await;
    assert!(is_throttled(&app, "198.51.100.8").await, "the user never signed in from there");
    for own in ["198.51.100.7", "2001:db8:1:2:ffff::1"] {
        assert_eq!(sign_in_from(&app, own).await.status(), 200, "{own}");
    }

    // A restart resets the counts, but not the known networks.
    let app = app.restart(|command| command.env("TRUSTED_PROXIES", "127.0.0.1"));
    exhaust_unknown_networks(&app).await;
    assert_eq!(sign_in_from(&app, "198.51.100.7").await.status(), 200);
    app.alter("UPDATE audit_log SET at = at - 7776000000 WHERE action = 'user.signed_in'").await;
    assert!(is_throttled(&app, "2001:db8:1:2::3").await, "the user did 90 days ago");
}

#[test]
fn an_invalid_proxy_is_refused_with_the_name_of_the_setting() {
    let site = Site::empty();
    let output = site.command(&["serve", "--trusted-proxies", "10.0.0.0/8,proxy.example"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("--trusted-proxies") && stderr.contains("proxy.example"), "{stderr}");
}
