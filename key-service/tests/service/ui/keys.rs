//! Keys, from their form to their end.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{HOSTILE, Receipt, Shown, Tab, key_page};
use crate::support::scripted_edge::Edge;
use crate::support::{KEYS, Process, TestApp, key_path, text};

#[tokio::test]
async fn a_key_is_made_and_its_value_shown_once() {
    let app = Process::start_with(|command| command.env("API_URL", "https://api.example.com")).await;
    let demo = app.demo();
    let tab = Tab::of(&demo);
    assert!(tab.get("/account/keys").await.has("No keys yet"));
    let fields = [
        ("label", "  CI  "),
        ("access", "some"),
        ("scope.insight", "read"),
        ("scope.cohort", "write"),
        ("scope.person", "none"),
        ("expires_at", "90"),
    ];
    let made = tab.post("/account/keys/new", &fields).await;
    assert_eq!(made.status, 200);
    let value = made.value_of("key-value").to_owned();
    assert_eq!(app.scopes(&value).await.as_deref(), Some("cohort:write insight:read"));
    let command = format!(
        "curl -H &#34;Authorization: Bearer {value}&#34; &#34;https://api.example.com/api/projects/@current/insights/&#34;"
    );
    assert!(made.has(&command), "{}", made.html);

    let (_, keys) = demo.get(KEYS).await;
    assert!(keys[0]["expires_at"].is_string());
    let list = tab.get("/account/keys").await;
    assert!(list.has("CI") && list.has("insight:read") && list.has("in 89 days"), "{}", list.html);
    assert!(!list.has(&value) && !tab.get(&key_page(&keys[0], "")).await.has(&value));
    assert!(!app.log_text().contains(&value));

    // The command is one that the key may send.
    let label = [("label", "restricted"), ("access", "some"), ("expires_at", "never")];
    for (field, project, path) in
        [("scope.insight", "7", Some("projects/7/insights/&#34;")), ("scope.query", "", None)]
    {
        let fields = [&label[..], &[(field, "read"), ("scoped_teams", project)]].concat();
        let made = tab.post("/account/keys/new", &fields).await;
        assert_eq!(made.has("has no example of a request"), path.is_none(), "{}", made.html);
        assert_eq!(made.has("curl "), path.is_some(), "{}", made.html);
        assert!(path.is_none_or(|path| made.has(path)), "{}", made.html);
    }
}

#[tokio::test]
async fn a_value_crosses_the_redirect_sealed_and_opens_once() {
    let app = Process::start().await;
    let (demo, other) = (app.demo(), app.other());
    let tab = Tab::of(&demo);
    let send = async |label| {
        let fields = [("label", label), ("access", "all"), ("expires_at", "never")];
        Receipt::of(&tab.send("/account/keys/new", &fields).await).unwrap()
    };
    let (first, second) = (send("first").await, send("second").await);
    assert_ne!(first.address.split('?').next(), second.address.split('?').next(), "each has its own cookie");

    // Without its cookie, with that of the other, or as another user, an address opens nothing, and ends nothing.
    let without = Receipt { address: first.address.clone(), cookie: String::new() };
    let mixed = Receipt { address: first.address.clone(), cookie: second.cookie.clone() };
    for (tab, receipt) in [(&tab, &without), (&tab, &mixed), (&Tab::of(&other), &first)] {
        let response = tab.open(receipt).await;
        assert!(response.headers().get("set-cookie").is_none());
        let shown = Shown::read(response).await;
        assert!(shown.status == 404 && shown.has("The value was shown once"), "{}", shown.html);
        assert!(!shown.has("phx_"), "{}", shown.html);
    }

    let response = tab.open(&first).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let ended = response.headers()["set-cookie"].to_str().unwrap();
    let (name, key) = first.cookie.split_once('=').unwrap();
    assert_eq!(ended, format!("{name}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"));
    let shown = Shown::read(response).await;
    let value = shown.value_of("key-value").to_owned();
    assert!(app.scopes(&value).await.is_some() && shown.has("first"));
    assert!(shown.html.ends_with("</html>"));

    let again = tab.get(&first.address).await;
    let (_, keys) = demo.get(KEYS).await;
    let roll = format!("href=\"{}\"", key_page(&keys[1], "/roll"));
    assert!(again.has(&roll), "{}", again.html);
    let (_, second_value) = (send("third").await, Shown::read(tab.open(&second).await).await);
    assert!(app.scopes(second_value.value_of("key-value")).await.is_some());
    assert_eq!(demo.get(KEYS).await.1.as_array().unwrap().len(), 3);
    let log = app.log_text();
    for secret in [&value, key, first.address.split("sealed=").nth(1).unwrap()] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_key() {
    let app = TestApp::start().await;
    let (demo, admin) = (app.demo(), Tab::of(&app.admin()));
    let tab = Tab::of(&demo);
    let form = tab.get("/account/keys/new").await;
    let form_id = form.field("form_id");
    let fields = |label| [("label", label), ("access", "all"), ("expires_at", "never"), ("form_id", form_id)];
    let once = fields("CI");
    let (first, second) =
        tokio::join!(tab.send("/account/keys/new", &once), tab.send("/account/keys/new", &once));
    let (made, repeated) = if Receipt::of(&first).is_some() { (first, second) } else { (second, first) };
    assert_eq!(repeated.status(), 303);
    let receipt = Receipt::of(&made).unwrap();
    let again = repeated.headers()["location"].to_str().unwrap();
    assert_eq!(again, receipt.address.split('?').next().unwrap().to_owned() + "?again");
    let again = tab.get(again).await;
    assert!(again.status == 404 && again.has("The form was sent before"), "{}", again.html);
    assert!(again.has("Only the first time counted") && again.has("roll the key"), "{}", again.html);
    let value = Shown::read(tab.open(&receipt).await).await.value_of("key-value").to_owned();
    let (_, keys) = demo.get(KEYS).await;
    assert_eq!(keys.as_array().unwrap().len(), 1);

    let form = tab.get(&key_page(&keys[0], "/roll")).await;
    let roll = [("grace_s", "0"), ("form_id", form.field("form_id"))];
    let rolled = tab.post(&key_page(&keys[0], "/roll"), &roll).await;
    let repeated = tab.post(&key_page(&keys[0], "/roll"), &roll).await;
    assert!(repeated.location.ends_with("/value?again"), "{}", repeated.location);
    assert!(app.scopes(rolled.value_of("key-value")).await.is_some() && app.scopes(&value).await.is_none());
    let other =
        tab.post("/account/keys/new", &fields("another key from the page that the browser kept")).await;
    assert_eq!(other.status, 400);
    tab.post("/account/keys/new", &fields("another")).await.value_of("key-value");

    let form = admin.get("/admin/tokens/new").await;
    let id = form.field("form_id");
    let token =
        [("label", "CI"), ("reach", "all"), ("can.read", "yes"), ("expires_at", "never"), ("form_id", id)];
    admin.post("/admin/tokens/new", &token).await.value_of("key-value");
    let repeated = admin.post("/admin/tokens/new", &token).await;
    assert!(repeated.status == 303 && repeated.location.ends_with("/value?again"));
    assert_eq!(admin.get("/admin/tokens").await.html.matches("Revoke</a>").count(), 1);
}

#[tokio::test]
async fn a_browser_with_many_results_forgets_the_oldest() {
    let app = TestApp::start().await;
    let seals: Vec<String> = (0..16).map(|n| format!("seal-{n:016x}=k")).collect();
    let cookies = format!("session={}; {}", app.demo().cookie, seals.join("; "));
    let fields = [("label", "CI"), ("access", "all"), ("expires_at", "never")];
    let answer = Tab::of_nobody(&app)
        .form("/account/keys/new", &fields)
        .header("cookie", cookies)
        .send()
        .await
        .unwrap();
    let set: Vec<_> =
        answer.headers().get_all("set-cookie").into_iter().map(|it| it.to_str().unwrap()).collect();
    let removed: Vec<_> = set.iter().filter(|cookie| cookie.contains("Max-Age=0")).collect();
    assert_eq!(removed, [&"seal-0000000000000000=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"]);
    assert!(
        set.last().unwrap().starts_with("seal-") && set.last().unwrap().ends_with("Max-Age=60"),
        "{set:?}"
    );
}

#[tokio::test]
async fn behind_https_the_cookie_of_a_value_is_secure() {
    let app = TestApp::start_with(&["--public-url", "https://keys.example.com"]).await;
    let session = format!("__Host-session={}", app.demo().cookie);
    let form = Tab::of_nobody(&app)
        .form("/account/keys/new", &[("label", "CI"), ("access", "all"), ("expires_at", "never")]);
    let form = form.header("cookie", &session).header("sec-fetch-site", "same-origin");
    let response = form.send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-seal-") && cookie.contains("; SameSite=Strict; Secure"), "{cookie}");
    let address = response.headers()["location"].to_str().unwrap();
    let page = Tab::of_nobody(&app).request(Method::GET, address).header("cookie", &session);
    let page = page.header("cookie", cookie.split(';').next().unwrap()).send().await.unwrap();
    assert!(Shown::read(page).await.value_of("key-value").starts_with("phx_"));
}

#[tokio::test]
async fn a_form_with_errors_keeps_what_was_entered() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let long = "<b>".repeat(20);
    let fields = [
        ("label", long.as_str()),
        ("access", "some"),
        ("scope.insight", "write"),
        ("expires_at", "date"),
        ("expiry_date", "2020-01-31"),
    ];
    let again = Tab::of(&demo).post("/account/keys/new", &fields).await;
    assert_eq!(again.status, 400);
    assert_eq!(again.value_of("label"), "&#60;b&#62;".repeat(20));
    assert!(again.has("name=\"scope.insight\" value=\"write\" checked"));
    assert!(again.has("value=\"date\" selected") && again.value_of("expiry_date") == "2020-01-31");
    for (field, message) in [("label", "no more than 40"), ("expires_at", "has passed already")] {
        assert!(again.has(&format!("aria-describedby=\"{field}-problem")), "{field}");
        assert!(again.has(&format!("<a href=\"#{field}\">")), "{field}");
        assert!(again.has(message), "{field}");
    }
    let nothing = Tab::of(&demo).post("/account/keys/new", &[("label", "x"), ("expires_at", "never")]).await;
    assert!(nothing.status == 400 && nothing.has("Choose at least one object"));
    assert_eq!(demo.get(KEYS).await.1, serde_json::json!([]));

    let offered = Tab::of(&other).get("/account/keys/new").await;
    assert!(offered.has("scope.insight\" value=\"read\"") && !offered.has("scope.insight\" value=\"write\""));
    assert!(!offered.has("scope.person"), "what the user may not do is not offered");
}

#[tokio::test]
async fn a_key_is_restricted_on_the_form() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let tab = Tab::of(&demo);
    let sent = |projects, organizations| {
        let rest = [("label", "CI"), ("access", "all"), ("expires_at", "never")];
        [&rest[..], &[("scoped_teams", projects), ("scoped_organizations", organizations)]].concat()
    };
    let refused = tab.post("/account/keys/new", &sent("1 @current", "")).await;
    assert!(
        refused.status == 400 && refused.has("<a href=\"#scoped_teams\">Projects</a>"),
        "{}",
        refused.html
    );
    assert_eq!(refused.value_of("scoped_teams"), "1 @current");
    let made = tab.post("/account/keys/new", &sent(" 1, 2 1", "acme")).await;
    let value = made.value_of("key-value").to_owned();
    let both = "project:1 project:2 organization:acme";
    assert_eq!(app.restrictions(&value).await.as_deref(), Some(both));

    let (_, keys) = demo.get(KEYS).await;
    for list in [tab.get("/account/keys").await, Tab::of(&app.admin()).get("/admin/keys").await] {
        assert!(list.has("Only projects 1, 2") && list.has("Only organization acme"), "{}", list.html);
    }
    let form = tab.get(&key_page(&keys[0], "")).await;
    assert_eq!((form.value_of("scoped_teams"), form.value_of("scoped_organizations")), ("1, 2", "acme"));
    assert_eq!(tab.post(&key_page(&keys[0], ""), &sent("1, 2", "acme")).await.result(), "Saved.");
    let without = [("label", "Build"), ("access", "all"), ("expires_at", "never")];
    assert_eq!(tab.post(&key_page(&keys[0], ""), &without).await.result(), "Saved.");
    assert_eq!(app.restrictions(&value).await.as_deref(), Some(both), "a form without the fields keeps them");
    let changed = tab.post(&key_page(&keys[0], ""), &sent("3", "")).await;
    assert!(changed.result().starts_with("Active everywhere"));
    assert_eq!(app.restrictions(&value).await.as_deref(), Some("project:3"));
}

#[tokio::test]
async fn a_form_does_not_undo_what_others_changed_meanwhile() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let tab = Tab::of(&demo);
    let key = demo.create_key("CI", &["insight:read"]).await;
    let (page, path) = (key_page(&key, ""), key_path(&key));
    let shown = tab.get(&page).await.field("shown").replace("&#34;", "\"");
    let sent = |label, projects| {
        [
            ("label", label),
            ("access", "some"),
            ("scope.insight", "read"),
            ("scoped_teams", projects),
            ("expires_at", "never"),
        ]
    };
    let with = |fields: [(&'static str, &'static str); 5], shown: &str| {
        let mut fields = fields.map(|(name, value)| (name, value.to_owned())).to_vec();
        fields.push(("shown", shown.to_owned()));
        fields
    };
    let post = async |fields: Vec<(&str, String)>| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        tab.post(&page, &fields).await
    };
    demo.patch(&path, json!({"scoped_teams": [7], "expires_at": "2099-01-01T00:00:00Z"})).await;

    let saved = post(with(sent("Build", ""), &shown)).await;
    assert_eq!(saved.result(), "Saved.", "{}", saved.html);
    let (_, now) = demo.get(&path).await;
    assert_eq!((&now["label"], &now["scoped_teams"]), (&json!("Build"), &json!([7])), "{now}");
    assert!(now["expires_at"].is_string(), "{now}");

    let refused = post(with(sent("CI", "8"), &shown)).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.has("This was changed meanwhile") && refused.has("<a href=\"#scoped_teams\">Projects</a>")
    );
    assert!(!refused.has("<a href=\"#label\">"), "{}", refused.html);
    assert_eq!((refused.value_of("scoped_teams"), refused.value_of("label")), ("7", "Build"));
    assert_eq!(demo.get(&path).await.1["scoped_teams"], json!([7]), "nothing was saved");
    let shown = refused.field("shown").replace("&#34;", "\"");
    let mut again = with(sent("Build", "8"), &shown);
    again[4].1 = "keep".to_owned();
    assert!(post(again).await.result().starts_with("Active everywhere"));
    assert_eq!(demo.get(&path).await.1["scoped_teams"], json!([8]));

    for separators in [",", " ", " , "] {
        for page in [&page, "/account/keys/new"] {
            let refused = tab.post(page, &sent("CI", separators)).await;
            assert!(refused.status == 400 && refused.has("Enter at least one id"), "{page} {separators:?}");
        }
    }
}

#[tokio::test]
async fn the_eleventh_key_is_refused_on_the_form() {
    let app = TestApp::start().await;
    let demo = app.demo();
    for n in 0..10 {
        demo.create_key(&format!("key {n}"), &["*"]).await;
    }
    let tab = Tab::of(&demo);
    let fields = [("label", "one more"), ("access", "all"), ("expires_at", "never")];
    let refused = tab.post("/account/keys/new", &fields).await;
    assert!(refused.status == 400 && refused.has("You can only have 10 personal API keys."));
    assert_eq!(refused.value_of("label"), "one more");
    assert!(!tab.get("/account/keys").await.has("href=\"/account/keys/new\""));
}

#[tokio::test]
async fn a_key_is_changed_rolled_and_deleted() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["insight:write", "cohort:read"]).await;
    let first = text(&key, "value");
    let tab = Tab::of(&demo);

    let form = tab.get(&key_page(&key, "")).await;
    assert!(form.value_of("label") == "CI" && form.has("name=\"scope.insight\" value=\"write\" checked"));
    let same_scopes = [("scope.insight", "write"), ("scope.cohort", "read"), ("expires_at", "never")];
    let relabelled = [&[("label", "Build"), ("access", "some")], &same_scopes[..]].concat();
    assert_eq!(tab.post(&key_page(&key, ""), &relabelled).await.result(), "Saved.");
    let narrowed =
        [("label", "Build"), ("access", "some"), ("scope.insight", "read"), ("expires_at", "never")];
    assert!(tab.post(&key_page(&key, ""), &narrowed).await.result().starts_with("Active everywhere"));
    assert_eq!(app.scopes(first).await.as_deref(), Some("insight:read"));

    assert_eq!(tab.post(&key_page(&key, "/roll"), &[("grace_s", "soon")]).await.status, 400);
    let rolled = tab.post(&key_page(&key, "/roll"), &[("grace_s", "3600")]).await;
    let second = rolled.value_of("key-value").to_owned();
    assert!(rolled.has("The old value works for 1 hour more."));
    assert!(app.scopes(first).await.is_some() && app.scopes(&second).await.is_some());
    let rolled = tab.post(&key_page(&key, "/roll"), &[("grace_s", "0")]).await;
    let third = rolled.value_of("key-value").to_owned();
    assert!(rolled.result().starts_with("Refused everywhere"));
    assert!(app.scopes(first).await.is_none() && app.scopes(&second).await.is_none());

    let asked = tab.get(&key_page(&key, "/delete")).await;
    assert!(asked.has("This cannot be undone.") && asked.has("Build") && asked.has(&third[50..]));
    assert!(app.scopes(&third).await.is_some(), "asking deletes nothing");
    let deleted = tab.post(&key_page(&key, "/delete"), &[]).await;
    assert!(deleted.has("Key deleted") && deleted.result().starts_with("Refused everywhere"));
    assert_eq!(app.scopes(&third).await, None);
    assert_eq!(tab.post(&key_page(&key, "/delete"), &[]).await.status, 404);
}

#[tokio::test]
async fn a_deletion_shows_what_it_waits_for_and_then_its_result() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key(HOSTILE, &["*"]).await;
    let mut edge = Edge::subscribed(&app, "<i>edge-that-is-slow").await;
    edge.sync(0).await;
    let tab = Tab::of(&demo);
    let receipt = Receipt::of(&tab.send(&key_page(&key, "/delete"), &[]).await).unwrap();
    let mut response = tab.open(&receipt).await;
    assert_eq!(response.status(), 200);
    let mut html = String::new();
    while !html.contains("still waiting for") {
        let chunk = tokio::time::timeout(Duration::from_secs(3), response.chunk()).await.unwrap();
        html += std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap();
    }
    assert!(html.contains("0 of 1 edge refuse it; still waiting for &#60;i&#62;edge-…, at most "), "{html}");
    assert!(!html.contains("id=\"result\""), "it is not done");

    edge.sync(0).await;
    edge.sync(0).await;
    html += &response.text().await.unwrap();
    assert!(html.contains("Refused on the only edge after "), "{html}");
    assert!(html.ends_with("</html>") && !html.contains("<!-- lines -->"), "{html}");
    let again = Shown::read(tab.open(&receipt).await).await;
    assert!(again.result().starts_with("Refused on the only edge"), "{}", again.html);
    let elsewhere = Receipt { cookie: String::new(), ..receipt };
    let elsewhere = Shown::read(tab.open(&elsewhere).await).await;
    assert!(elsewhere.status == 404 && elsewhere.has("The result is no longer shown"));
}

#[tokio::test]
async fn another_users_key_is_not_there() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let key = demo.create_key("CI", &["*"]).await;
    let stranger = Tab::of(&other);
    for page in ["", "/roll", "/delete"] {
        assert_eq!(stranger.get(&key_page(&key, page)).await.status, 404, "{page}");
        let fields = [("label", "mine"), ("access", "all"), ("expires_at", "never"), ("grace_s", "0")];
        assert_eq!(stranger.post(&key_page(&key, page), &fields).await.status, 404, "{page}");
    }
    assert_eq!(app.scopes(text(&key, "value")).await.as_deref(), Some("*"));
}

#[tokio::test]
async fn a_form_begins_in_its_first_field_and_suggests_an_expiry_for_something_new() {
    let app = TestApp::start().await;
    let admin_browser = app.admin();
    let admin = Tab::of(&admin_browser);
    let focused = |page: &Shown| -> Vec<String> {
        let tags = page.html.split('<').filter(|tag| tag.split('>').next().unwrap().contains(" autofocus"));
        tags.map(|tag| tag.split(' ').next().unwrap().to_owned()).collect()
    };
    for (path, is_new_secret) in
        [("/account/keys/new", true), ("/admin/tokens/new", true), ("/admin/users/new", false)]
    {
        let page = admin.get(path).await;
        assert_eq!(focused(&page), ["input"], "{path}");
        assert_eq!(page.has("<option value=\"90\" selected>In 90 days (suggested)"), is_new_secret, "{path}");
        let refused = admin.post(path, &[]).await;
        assert_eq!((refused.status.as_u16(), focused(&refused)), (400, vec!["div".to_owned()]), "{path}");
    }
    let key = admin_browser.create_key("by the API", &["*"]).await;
    assert!(key["expires_at"].is_null());
    let edit = admin.get(&key_page(&key, "")).await;
    assert_eq!(focused(&edit), ["input"]);
    assert!(edit.has("<option value=\"never\" selected>") && !edit.has("suggested"), "{}", edit.html);
}
