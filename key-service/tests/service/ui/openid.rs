//! Signing in with an OpenID provider, as far as that needs no provider. `tests/browser/` signs in with a real one.

use reqwest::Method;
use serde_json::json;

use super::Tab;
use crate::support::{ADMIN, PASSWORD, TestApp, client};

/// A service with a provider that does not answer.
async fn app_with_provider(flags: &[&str]) -> TestApp {
    let provider = json!({
        "name": "sso", "title": "Example SSO", "issuer": "http://127.0.0.1:9", "client_id": "keys",
        "client_secret_file": "secret", "email_domains": ["example.com"],
    });
    TestApp::with_providers(&[provider], flags).await
}

#[tokio::test]
async fn a_provider_that_is_down_stops_neither_the_service_nor_passwords() {
    let app = app_with_provider(&[]).await;
    let nobody = Tab::of_nobody(&app);
    let page = nobody.get("/sign-in?next=%2Faccount").await;
    assert!(page.has("name=\"password\"") && page.has("Example SSO"), "{}", page.html);
    assert!(page.has("href=\"/sign-in/openid/sso?next=%2Faccount\""), "{}", page.html);
    let down = nobody.get("/sign-in/openid/sso").await;
    assert_eq!(down.status, 503);
    assert!(down.has("Example SSO does not work now."), "{}", down.html);
    assert_eq!(nobody.get("/sign-in/openid/other").await.status, 404);
    assert_eq!(app.log_in(ADMIN, PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn an_answer_that_this_browser_did_not_ask_for_is_refused() {
    let app = app_with_provider(&[]).await;
    for cookie in ["", "openid=", "openid=e30", "openid=eyJzdGF0ZSI6ICJ4In0"] {
        let path = format!("{}/sign-in/openid/sso/callback?code=x&state=x", app.public);
        let response = client().get(path).header("cookie", cookie).send().await.unwrap();
        assert_eq!(response.status(), 400, "{cookie}");
        let forgotten = response.headers().get("set-cookie");
        assert!(forgotten.is_none(), "another tab may have begun a sign-in: {forgotten:?}");
        assert!(response.text().await.unwrap().contains("began in another tab or browser"));
    }
}

#[tokio::test]
async fn without_passwords_nothing_that_needs_one_works() {
    let app = app_with_provider(&["--local-passwords=false"]).await;
    let nobody = Tab::of_nobody(&app);
    let page = nobody.get("/sign-in").await;
    assert!(!page.has("name=\"password\"") && page.has("Example SSO"), "{}", page.html);
    let refused = nobody.post("/sign-in", &[("email", ADMIN), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.has("Passwords are turned off."), "{}", refused.html);
    assert_eq!(app.log_in(ADMIN, PASSWORD).await.status(), 403);

    let mut command = app.site.command(&["user", "link", ADMIN]);
    let output = command.env("LOCAL_PASSWORDS", "false").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("passwords are turned off (LOCAL_PASSWORDS=false)"), "{said}");
    let link = String::from_utf8(output.stdout).unwrap();
    assert_eq!(nobody.get(link.trim()).await.status, 404);
    let new = [("password", "correct horse battery"), ("repeated_password", "correct horse battery")];
    assert_eq!(nobody.post(link.trim(), &new).await.status, 404);

    let admin = Tab::of(&app.admin());
    assert!(!admin.get("/account").await.has("Change password"));
    let fields = [&[("current_password", PASSWORD)], &new[..]].concat();
    assert_eq!(admin.post("/account", &fields).await.status, 403);
    let user = format!("/admin/users/{}", app.user_id(ADMIN));
    for (path, text) in
        [("/admin/users/new", "Passwords are turned off."), ("/admin/users?search=new@", "Not signed in yet")]
    {
        app.site.ok(&["user", "add", "new@example.com", "--without-password", "--if-absent"], "");
        let page = admin.get(path).await;
        assert!(page.has(text) && !page.has("No password yet"), "{}", page.html);
    }
    let page = admin.get(&user).await;
    assert!(!page.has("Create a link") && page.has("Password (turned off)"), "{}", page.html);
    assert_eq!(admin.post(&user, &[("action", "link")]).await.status, 400);
    let path = format!("{}link/", app.user_path(ADMIN));
    let refused = app.admin().request(Method::POST, &path).send().await.unwrap();
    assert_eq!(refused.status(), 403);
}
