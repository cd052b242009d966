//! Users of OpenID providers, on the database of the tests.

use reqwest::Method;
use serde_json::{Value, json};

use super::Tab;
use crate::support::openid_provider::OpenIdProvider;
use crate::support::{ADMIN, Browser, DEMO, OTHER, PASSWORD, TestApp, session_cookie, text};

const ADA: (&str, &str) = ("7", "ada@example.com");

/// The browser of a person who signs in with the only provider, `sso`.
async fn browser(app: &TestApp, sso: &OpenIdProvider, person: (&str, &str), claims: &Value) -> Browser {
    let response = sso.sign_in(app, "sso", person, claims).await;
    let cookie = session_cookie(&response);
    let status = response.status();
    let cookie = cookie.unwrap_or_else(|| panic!("{status}"));
    app.browser(&cookie)
}

/// Signs in with a provider, which has to be refused. Returns the reason in the audit log.
async fn refused(app: &TestApp, name: &str, provider: &OpenIdProvider, person: (&str, &str)) -> String {
    let response = provider.sign_in(app, name, person, &json!({})).await;
    assert_eq!(response.status(), 403);
    let entry = &newest(app, "user.sign_in_refused").await["detail"];
    assert_eq!((text(entry, "subject"), text(entry, "email")), person);
    text(entry, "because").to_owned()
}

/// The newest entry of the audit log with an action.
async fn newest(app: &TestApp, action: &str) -> Value {
    let (_, found) = app.admin().get(&format!("/api/audit_log/?action={action}")).await;
    found["results"][0].clone()
}

/// The user with an address, as an admin sees it.
async fn user(app: &TestApp, email: &str) -> Value {
    app.admin().get(&format!("/api/users/?search={email}")).await.1["results"][0].clone()
}

#[tokio::test]
async fn a_user_of_a_provider_is_found_again_until_it_is_deleted() {
    let sso = OpenIdProvider::start().await;
    let links = json!({"link_by_email": true, "permissions": ["insight:read"]});
    let app = TestApp::with_providers(&[sso.entry("sso", &links)], &[]).await;
    let ada = browser(&app, &sso, ADA, &json!({})).await;
    let (_, first) = ada.get("/api/users/@me/").await;
    assert_eq!((text(&first, "email"), &first["permissions"]), (ADA.1, &json!(["insight:read"])));
    assert!(!Tab::of(&ada).get("/account").await.has("Change password"));
    let again = browser(&app, &sso, (ADA.0, "renamed@example.com"), &json!({"email_verified": "true"})).await;
    assert_eq!(again.get("/api/users/@me/").await.1, first);
    let shown = user(&app, ADA.1).await;
    let identity = &shown["identities"][0];
    assert_eq!((text(identity, "issuer"), text(identity, "subject")), (&*sso.issuer, ADA.0));
    assert_eq!(app.admin().get(&format!("/api/users/{}/", text(&first, "id"))).await.1, shown);
    assert_eq!(app.site.json(&["user", "list", "--search", ADA.1, "--json"]), json!([shown]));

    assert_eq!(app.admin().delete(&format!("/api/users/{}/", text(&first, "id"))).await.0, 200);
    assert_eq!(refused(&app, "sso", &sso, ADA).await, "deleted");
    app.site.ok(&["user", "add", ADA.1, "--without-password"], "");
    let returned = browser(&app, &sso, ADA, &json!({})).await.get("/api/users/@me/").await.1;
    assert_ne!(returned["id"], first["id"]);
}

#[tokio::test]
async fn only_a_member_without_another_account_is_linked_by_its_address() {
    let (sso, two) = (OpenIdProvider::start().await, OpenIdProvider::start().await);
    let links = json!({"link_by_email": true});
    let entries = [sso.entry("sso", &links), two.entry("two", &links)];
    let app = TestApp::with_providers(&entries, &[]).await;
    let demo = app.demo();
    let linked = browser(&app, &sso, ("1", DEMO), &json!({})).await.get("/api/users/@me/").await.1;
    assert_eq!(linked["id"], app.user_id(DEMO));
    assert_eq!(demo.get("/api/users/@me/").await.0, 401, "sessions that began with a password end");
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 200, "no groups decide the rights");

    assert_eq!(refused(&app, "two", &two, ("1", DEMO)).await, "email_taken");
    assert_eq!(refused(&app, "sso", &sso, ("2", DEMO)).await, "email_taken");
    assert_eq!(refused(&app, "sso", &sso, ("3", ADMIN)).await, "email_taken");
    // U+212A is k in lower case.
    assert_eq!(refused(&app, "sso", &sso, ("4", "\u{212a}im@example.com")).await, "email");

    let link = |email| ["user", "link-identity", email, "--issuer", &*two.issuer, "--subject", "1"];
    app.site.ok(&link(DEMO), "");
    let response = two.sign_in(&app, "two", ("1", DEMO), &json!({})).await;
    assert_eq!(response.status(), 200);
    assert!(app.site.fails(&link(OTHER), "").contains("a user has this account at the provider already"));
    assert!(app.site.fails(&["user", "unlink", DEMO], "").contains("choose one with --issuer"));
    let mut second = link(DEMO);
    second[6] = "2";
    assert!(app.site.fails(&second, "").contains("another account at the provider"));
    second[4] = "no URL";
    assert!(app.site.fails(&second, "").contains("Enter the issuer"));
}

#[tokio::test]
async fn a_user_whose_groups_decide_its_rights_has_no_use_of_a_password() {
    let sso = OpenIdProvider::start().await;
    let groups = json!({"link_by_email": true, "groups_claim": "groups", "admin_groups": ["ops"]});
    let app = TestApp::with_providers(&[sso.entry("sso", &groups)], &[]).await;
    let link = app.site.ok(&["user", "link", DEMO], "");
    let demo = browser(&app, &sso, ("1", DEMO), &json!({"groups": ["ops"]})).await;
    assert_eq!(demo.get("/api/users/@me/").await.1["is_admin"], true);
    let says = "The groups at Provider sso decide what this user may do";

    let refused = app.log_in(DEMO, PASSWORD).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.unwrap().contains(says));
    let entry = newest(&app, "user.sign_in_refused").await;
    assert_eq!(entry["detail"], json!({"provider": "sso", "because": "decided_by_groups"}));
    assert_eq!(entry["user_email"], DEMO);
    assert_eq!(app.log_in(DEMO, "wrong").await.status(), 401, "a stranger learns nothing");
    let nobody = Tab::of_nobody(&app);
    let page = nobody.post("/sign-in", &[("email", DEMO), ("password", PASSWORD)]).await;
    assert!(page.status == 403 && page.has(says), "{}", page.html);

    let new = "correct horse battery";
    let change = json!({"current_password": PASSWORD, "password": new});
    assert_eq!(demo.patch("/api/users/@me/", change).await.0, 403);
    let fields = [("password", new), ("repeated_password", new), ("current_password", PASSWORD)];
    assert_eq!(Tab::of(&demo).post("/account", &fields).await.status, 403);
    assert!(!Tab::of(&demo).get("/account").await.has("Change password"));
    // The role ended the earlier link; an operator's new one is of no use.
    assert_eq!(nobody.get(link.trim()).await.status, 404);
    let output = app.site.run(&["user", "link", DEMO], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the service refuses a password"));
    let link = String::from_utf8(output.stdout).unwrap();
    for page in [nobody.get(link.trim()).await, nobody.post(link.trim(), &fields).await] {
        assert!(page.status == 403 && page.has(says), "{}", page.html);
    }
    let path = format!("{}link/", app.user_path(DEMO));
    assert_eq!(app.admin().request(Method::POST, &path).send().await.unwrap().status(), 403);
    let page = Tab::of(&app.admin()).get(&format!("/admin/users/{}", app.user_id(DEMO))).await;
    assert!(page.has("cannot sign in with a password") && !page.has("Create a link"), "{}", page.html);

    let demo = browser(&app, &sso, ("1", DEMO), &json!({"groups": []})).await;
    assert_eq!(demo.get("/api/users/@me/").await.1["is_admin"], false);
    // If the provider ends, an operator gives the password back.
    app.site.ok(&["user", "unlink", DEMO], "");
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn an_unlinked_account_signs_in_again_only_after_an_operator_has_linked_it() {
    let sso = OpenIdProvider::start().await;
    let app = TestApp::with_providers(&[sso.entry("sso", &json!({"link_by_email": true}))], &[]).await;
    let admin = app.admin();
    let ada = browser(&app, &sso, ADA, &json!({})).await;
    let shown = user(&app, ADA.1).await;
    let (id, identity) = (text(&shown, "id"), text(&shown["identities"][0], "id"));
    let path = format!("/api/users/{id}/identities/{identity}/");
    let other = format!("{}identities/{identity}/", app.user_path(OTHER));
    assert_eq!(admin.request(Method::DELETE, &other).send().await.unwrap().status(), 404);
    assert_eq!(app.other().request(Method::DELETE, &path).send().await.unwrap().status(), 403);
    assert_eq!(admin.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(ada.get("/api/users/@me/").await.0, 401, "the sessions end");
    let entry = newest(&app, "user.identity_unlinked").await;
    assert_eq!((text(&entry, "user_email"), text(&entry["detail"], "subject")), (ADA.1, ADA.0));
    assert_eq!(admin.request(Method::DELETE, &path).send().await.unwrap().status(), 404);
    assert_eq!(refused(&app, "sso", &sso, ADA).await, "unlinked");
    assert_eq!(refused(&app, "sso", &sso, (ADA.0, "new@example.com")).await, "unlinked");

    let link = ["user", "link-identity", ADA.1, "--issuer", &sso.issuer, "--subject", ADA.0];
    app.site.ok(&link, "");
    let ada = browser(&app, &sso, ADA, &json!({})).await;
    let (page, tab) = (format!("/admin/users/{id}"), Tab::of(&admin));
    let action = format!("unlink:{identity}");
    assert!(tab.get(&page).await.has(&format!("{page}/confirm/{action}")));
    let asked = tab.get(&format!("{page}/confirm/{action}")).await;
    assert!(asked.has("Provider sso") && asked.has(&format!("value=\"{action}\"")), "{}", asked.html);
    let done = tab.post(&page, &[("action", &*action)]).await;
    assert!(done.has("Account unlinked") && done.has("all sessions of the user have ended"), "{}", done.html);
    assert_eq!(ada.get("/api/users/@me/").await.0, 401);
    assert_eq!(tab.get(&format!("{page}/confirm/{action}")).await.status, 404);

    // An admin would be locked out.
    app.site.ok(&["user", "link-identity", ADMIN, "--issuer", &sso.issuer, "--subject", "9"], "");
    let admin = browser(&app, &sso, ("9", ADMIN), &json!({})).await;
    let (_, own) = admin.get(&app.user_path(ADMIN)).await;
    let path = format!("{}identities/{}/", app.user_path(ADMIN), text(&own["identities"][0], "id"));
    assert_eq!(admin.request(Method::DELETE, &path).send().await.unwrap().status(), 400);
    app.site.ok(&["user", "unlink", ADMIN, "--issuer", &sso.issuer], "");
    assert!(app.site.fails(&["user", "unlink", ADMIN], "").contains("no such account at a provider"));
}
