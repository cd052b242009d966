//! Signing in and out, one-time links and passwords.

use reqwest::Method;

use super::{Receipt, Shown, Tab};
use crate::support::{DEMO, PASSWORD, Process, Site, TestApp, session_cookie};

#[tokio::test]
async fn a_sign_in_leads_where_one_wanted_to_go_but_not_to_another_site() {
    let app = TestApp::start().await;
    let nobody = Tab::of_nobody(&app);
    for (next, leads_to) in [
        ("/account/keys/new", "/account/keys/new"),
        ("", "/account/keys"),
        ("https://evil.example/", "/account/keys"),
        ("//evil.example/", "/account/keys"),
        ("/\\evil.example/", "/account/keys"),
    ] {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        let form = nobody.get(&format!("/sign-in?{query}")).await;
        assert!(form.has(&format!("name=\"next\" value=\"{leads_to}\"")), "{next}");
        let fields = [("email", DEMO), ("password", PASSWORD), ("next", next)];
        let response = nobody.send("/sign-in", &fields).await;
        let cookie = session_cookie(&response).unwrap();
        let shown = Shown::read(response).await;
        assert_eq!((shown.status.as_u16(), shown.location.as_str()), (303, leads_to), "{next}");

        let tab = Tab { base: app.public.clone(), cookie };
        assert_eq!(tab.get("/").await.location, "/account/keys");
        assert_eq!(tab.get("/sign-in").await.location, "/account/keys", "a signed-in user goes to the keys");
        assert_eq!(tab.post("/sign-out", &[]).await.location, "/sign-in");
        assert_eq!(tab.get("/account/keys").await.status, 303);
    }
}

#[tokio::test]
async fn a_refused_sign_in_reveals_nothing_and_shows_how_long_to_wait() {
    let app = TestApp::start().await;
    let nobody = Tab::of_nobody(&app);
    let blank = nobody.post("/sign-in", &[("email", DEMO), ("password", "")]).await;
    assert_eq!(blank.status, 400);
    assert!(blank.has("<a href=\"#password\">Password</a>: This field may not be blank."));
    assert_eq!(blank.value_of("email"), DEMO);

    let wrong = nobody.post("/sign-in", &[("email", DEMO), ("password", "wrong-password")]).await;
    let unknown = nobody.post("/sign-in", &[("email", "x@y"), ("password", "wrong-password")]).await;
    assert_eq!((wrong.status.as_u16(), unknown.status.as_u16()), (401, 401));
    assert_eq!(wrong.html.replace(DEMO, "x@y"), unknown.html);
    assert!(!wrong.has("wrong-password"));
    let mut attempts = 0;
    let response = loop {
        let response = nobody.send("/sign-in", &[("email", DEMO), ("password", "wrong")]).await;
        if response.status() != 401 {
            break response;
        }
        attempts += 1;
        assert!(attempts < 100, "never throttled");
    };
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let shown = Shown::read(response).await;
    assert_eq!(shown.status, 429);
    assert!(shown.has(&format!("Wait {seconds} second")), "{seconds}");
}

const NEW: &str = "moonlight over water";

#[tokio::test]
async fn a_password_change_needs_the_current_password_and_ends_other_sessions() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let tab = Tab::of(&demo);
    let elsewhere = Tab::of(&app.sign_in(DEMO, PASSWORD).await);
    for (current, new, repeated, field) in [
        ("", NEW, NEW, "current_password"),
        (PASSWORD, "short", "short", "password"),
        (PASSWORD, "12345678", "12345678", "password"),
        (PASSWORD, NEW, "moonlicht", "repeated_password"),
        ("wrong", NEW, NEW, "current_password"),
    ] {
        let fields = [("current_password", current), ("password", new), ("repeated_password", repeated)];
        let refused = tab.post("/account", &fields).await;
        assert_eq!(refused.status, 400, "{field}");
        assert!(refused.has(&format!("id=\"{field}-problem\"")), "{field}");
        assert!(!refused.has("moonli"), "a password is not sent back");
    }
    let fields = [("current_password", PASSWORD), ("password", NEW), ("repeated_password", NEW)];
    let response = tab.send("/account", &fields).await;
    let cookie = session_cookie(&response).unwrap();
    let renewed = Tab { base: app.public.clone(), cookie };
    let changed = Shown::read(renewed.open(&Receipt::of(&response).unwrap()).await).await;
    assert!(changed.has("Your password has changed."));
    assert_eq!(renewed.get("/account").await.status, 200);
    assert_eq!(elsewhere.get("/account").await.status, 303);
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 401);
    assert_eq!(app.log_in(DEMO, NEW).await.status(), 200);
}

#[tokio::test]
async fn the_first_admin_begins_with_a_link() {
    let app = Process::on(tokio::task::spawn_blocking(Site::empty).await.unwrap());
    let path = app.first_link();
    let nobody = Tab::of_nobody(&app);
    for _ in 0..2 {
        assert!(nobody.get(&path).await.has("This link creates the first admin."));
    }
    let fields =
        |email, password| [("email", email), ("password", password), ("repeated_password", password)];
    for (email, password, field) in
        [("nobody", "long enough", "email"), ("a@example.com", "short", "password")]
    {
        let refused = nobody.post(&path, &fields(email, password)).await;
        assert_eq!(refused.status, 400, "{field}");
        assert!(refused.has(&format!("id=\"{field}-problem\"")) && refused.value_of("email") == email);
    }
    let response = nobody.send(&path, &fields("a@example.com", "long enough")).await;
    let cookie = session_cookie(&response).unwrap();
    assert_eq!(Shown::read(response).await.location, "/account/keys");
    let admin = Tab { base: app.public.clone(), cookie };
    assert_eq!(admin.get("/admin/users").await.status, 200);
    let again = nobody.post(&path, &fields("b@example.com", "long enough")).await;
    assert!(again.status == 404 && again.has("This link has ended"));
    assert_eq!(nobody.get(&path).await.status, 404);
    let secret = path.trim_start_matches("/link/");
    assert!(!app.log_text().contains(secret), "a link is not logged");
}

#[tokio::test]
async fn a_request_from_another_site_is_reloaded_once_with_the_cookie() {
    let app = TestApp::start().await;
    let nobody = Tab::of_nobody(&app);
    let from = |site| nobody.request(Method::GET, "/sign-in").header("sec-fetch-site", site).send();
    assert_eq!(from("cross-site").await.unwrap().headers()["refresh"], "0");
    let response = from("same-origin").await.unwrap();
    assert!(response.headers().get("refresh").is_none(), "only once");
}
