//! The page where anyone who holds a leaked value can end it.

use reqwest::Method;

use super::Tab;
use crate::support::{Process, text};

#[tokio::test]
async fn a_value_is_ended_without_a_sign_in_and_never_shown_or_logged() {
    let app = Process::start().await;
    let key = app.demo().create_key("leaked", &["*"]).await;
    let value = text(&key, "value");
    let nobody = Tab::of_nobody(&app);
    assert!(nobody.get("/sign-in").await.has("href=\"/leaked\""));
    assert!(nobody.get("/leaked").await.has("name=\"value\""));
    assert_eq!(nobody.get("/leaked/").await.location, "/leaked");

    let blank = nobody.post("/leaked", &[("value", " "), ("source", "a gist")]).await;
    assert_eq!((blank.status.as_u16(), blank.value_of("source")), (400, "a gist"));
    let long = "x".repeat(201);
    let refused = nobody.post("/leaked", &[("value", value), ("source", &long)]).await;
    assert_eq!(refused.status, 400);
    assert!(!refused.has(value));
    let forged = nobody.form("/leaked", &[("value", value)]).header("sec-fetch-site", "cross-site");
    assert_eq!(forged.send().await.unwrap().status(), 403);
    assert!(app.scopes(value).await.is_some());

    let ended = nobody.post("/leaked", &[("value", value), ("source", "")]).await;
    assert!(
        ended.has("It worked until now.") && ended.result().starts_with("No edge accepts"),
        "{}",
        ended.html
    );
    assert!(!ended.has(value));
    assert_eq!(app.scopes(value).await, None);
    let again = nobody.post("/leaked", &[("value", value), ("source", "")]).await;
    assert!(again.has("No working key or token has this value."), "{}", again.html);

    let mut reports = 2;
    let throttled = loop {
        let answer = nobody.post("/leaked", &[("value", "phx_of_nobody")]).await;
        if answer.status != 200 {
            break answer;
        }
        reports += 1;
        assert!(reports < 100, "never throttled");
    };
    assert_eq!(throttled.status, 429);
    assert!(reports >= 10 && throttled.has("Too many attempts"), "{reports}");
    assert_eq!(nobody.request(Method::GET, "/leaked").send().await.unwrap().status(), 200);
    assert!(!app.log_text().contains(value));
}
