//! The promise: when a revocation has returned, no edge answers from what it knew before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::News;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::scripted_edge::{ALMOST, Edge, LASTS, SOON, delete_later, outcome, path, short_terms};
use crate::support::{Browser, DEMO, OTHER, Service, text};

/// A moment in which a request that does not wait would be answered.
const A_MOMENT: Duration = Duration::from_millis(300);

/// The first change is committed.
const MADE: &str = "SELECT revision = 1 FROM revision_log";

fn assert_waited_for_the_lease(granted: Instant, returned: Instant) {
    let waited = returned - granted;
    assert!(waited >= ALMOST && waited < LASTS + SOON, "{waited:?}");
}

#[tokio::test]
async fn a_delete_returns_when_the_edge_has_acknowledged_it_and_not_before() {
    let (service, demo, _) = Service::with_users().await;
    let key = demo.new_key("deleted", &["*"]).await;
    let mut edge = Edge::subscribed(&service, "e").await;
    let deleting = delete_later(&demo, &key);
    let told = edge.sync(2_000).await;
    assert!(matches!(told.news, News::Changed(changed) if changed.len() == 1));
    tokio::time::sleep(A_MOMENT).await;
    assert!(!deleting.is_finished(), "what the edge was told it has not acknowledged yet");

    let acknowledged_at = Instant::now();
    edge.sync(0).await;
    let (status, answer, returned_at) = deleting.await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [1, 1, 0]));
    assert_eq!(answer["revocation"]["revision"], json!(told.revision));
    assert!(answer["revocation"]["elapsed_ms"].as_u64().unwrap() >= 300);
    let late = returned_at.saturating_duration_since(acknowledged_at);
    assert!(late < SOON, "{late:?}");
}

#[tokio::test]
async fn a_prompt_edge_delays_a_delete_by_milliseconds() {
    let (service, demo, _) = Service::with_users().await;
    let _edge = Edge::new(&service, "e").run();
    service.until("SELECT COUNT(*) = 1 FROM edge_leases").await;
    let mut elapsed_ms = Vec::new();
    for _ in 0..20 {
        let key = demo.new_key("deleted", &["*"]).await;
        let (_, answer) = demo.delete(&path(&key)).await;
        elapsed_ms.push(answer["revocation"]["elapsed_ms"].as_u64().unwrap());
    }
    elapsed_ms.sort_unstable();
    // Polling alone would take 20 ms or more each time. Not the median: other tests run at the same time.
    assert!(elapsed_ms[0] < 15, "{elapsed_ms:?}");
}

#[tokio::test]
async fn a_change_is_not_said_to_be_in_force_when_another_history_has_begun() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("deleted", &["*"]).await;
    Edge::subscribed(&service, "e").await;
    let deleting = delete_later(&demo, &key);
    service.until(MADE).await;
    service.alter("UPDATE revision_log SET log_id = 'another'").await;
    let (status, answer, _) = deleting.await.unwrap();
    assert_eq!((status, &answer["type"]), (503, &json!("server_error")), "{answer}");
}

#[tokio::test]
async fn a_late_sync_takes_no_acknowledgement_back() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("deleted", &["*"]).await;
    let mut edge = Edge::subscribed(&service, "e").await;
    let before = edge.request.clone();
    let deleting = delete_later(&demo, &key);
    edge.sync(2_000).await;
    edge.sync(0).await;
    assert_eq!(outcome(&deleting.await.unwrap().1), [1, 1, 0]);
    edge.request = before;
    edge.asks(0).send().await.unwrap();
    assert_eq!(service.number("SELECT acknowledged FROM edge_leases").await, 1);
    let (_, answer) = demo.delete(&path(&key)).await;
    assert_eq!(answer["code"], "not_found");
}

#[tokio::test]
async fn a_delete_waits_for_the_lease_and_its_margin_of_an_edge_that_never_acknowledges() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    Edge::subscribed(&service, "e").await;
    tokio::time::sleep(A_MOMENT).await;
    let (status, answer, returned_at) = delete_later(&demo, &key).await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [1, 0, 1]));
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn syncs_that_acknowledge_nothing_do_not_prolong_the_wait() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    let edge = Edge::subscribed(&service, "e").await;
    let deleting = delete_later(&demo, &key);
    while !deleting.is_finished() {
        assert_eq!(edge.asks(0).send().await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, answer, returned_at) = deleting.await.unwrap();
    assert_eq!(outcome(&answer), [1, 0, 1]);
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn of_several_edges_the_last_one_counts() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("deleted", &["*"]).await;
    let running = [Edge::new(&service, "a").run(), Edge::new(&service, "b").run()];
    service.until("SELECT COUNT(*) = 2 FROM edge_leases").await;
    let granted_at = Instant::now();
    Edge::subscribed(&service, "cut-off").await;
    let (status, answer, returned_at) = delete_later(&demo, &key).await.unwrap();
    assert_eq!((status, outcome(&answer)), (200, [3, 2, 1]));
    assert_waited_for_the_lease(granted_at, returned_at);
    for edge in &running {
        assert!(edge.was_told_of(text(&key, "value")));
    }
    // An edge whose lease has ended is nobody to wait for.
    let next = demo.new_key("deleted next", &["*"]).await;
    let begun = Instant::now();
    let (_, answer, returned_at) = delete_later(&demo, &next).await.unwrap();
    assert_eq!(outcome(&answer), [2, 2, 0]);
    assert!(returned_at - begun < SOON);
}

#[tokio::test]
async fn a_cursor_of_another_log_or_of_the_future_acknowledges_nothing() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    let mut of_another_log = Edge::subscribed(&service, "a").await;
    let mut of_the_future = Edge::subscribed(&service, "b").await;
    of_another_log.request.log = Some("another".to_owned());
    of_another_log.request.cursor = Some(1);
    of_the_future.request.cursor = Some(1_000);
    of_another_log.asks(0).send().await.unwrap();
    of_the_future.asks(0).send().await.unwrap();
    let deleting = delete_later(&demo, &key);
    service.until(MADE).await;
    of_another_log.asks(0).send().await.unwrap();
    of_the_future.asks(0).send().await.unwrap();
    let (_, answer, returned_at) = deleting.await.unwrap();
    assert_eq!(outcome(&answer), [2, 0, 2]);
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn a_repeated_delete_or_a_change_of_what_is_deleted_waits_as_the_delete_does() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("deleted", &["*"]).await;
    let granted_at = Instant::now();
    Edge::subscribed(&service, "e").await;
    let first = delete_later(&demo, &key);
    service.until(MADE).await;
    let again = delete_later(&demo, &key);
    let others = [("roll/", json!({})), ("", json!({"scopes": ["*"]})), ("", json!({"label": "new"}))];
    let others = others.map(|(action, body)| {
        let (demo, path) = (demo.clone(), format!("{}{action}", path(&key)));
        tokio::spawn(async move {
            let answer =
                if action.is_empty() { demo.patch(&path, body).await } else { demo.post(&path, body).await };
            (answer.0.as_u16(), Instant::now())
        })
    });
    let (status, body, returned_at) = again.await.unwrap();
    assert_eq!((status, &body["code"]), (404, &json!("not_found")));
    assert_waited_for_the_lease(granted_at, returned_at);
    for other in others {
        let (status, returned_at) = other.await.unwrap();
        assert_eq!(status, 404);
        assert_waited_for_the_lease(granted_at, returned_at);
    }
    assert_eq!(first.await.unwrap().0, 200);
}

#[tokio::test]
async fn a_delete_of_what_is_not_there_waits_for_nobody_who_writes() {
    let (service, demo, _) = Service::with_users().await;
    let key = demo.new_key("deleted", &["*"]).await;
    assert_eq!(demo.delete(&path(&key)).await.0, 200);
    let revision = "SELECT revision FROM revision_log";
    let before = service.number(revision).await;
    let lock = service.lock().await;
    let begun = Instant::now();
    assert_eq!(demo.delete(&path(&key)).await.0, 404);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    drop(lock);
    assert_eq!(service.number(revision).await, before);
}

/// Does something while an edge runs, and checks that the edge was told of the values before it returned.
async fn assert_told<F: Future<Output = Value>>(service: &Service, values: &[&str], doing: F) -> Value {
    let edge = Edge::subscribed(service, "told").await.run();
    assert!(values.iter().all(|value| !edge.was_told_of(value)));
    let revocation = doing.await;
    for value in values {
        assert!(edge.was_told_of(value), "{revocation}");
    }
    assert_eq!((&revocation["edges"], &revocation["acknowledged"]), (&json!(1), &json!(1)));
    // The edge is gone when this returns; nobody waits for its lease next time.
    drop(edge);
    service.alter("UPDATE edge_leases SET ends_at = 0").await;
    revocation
}

async fn by_api(demo: &Browser, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = match method {
        "PATCH" => demo.patch(path, body).await,
        "POST" => demo.post(path, body).await,
        _ => demo.delete(path).await,
    };
    assert_eq!(status, 200, "{answer}");
    answer["revocation"].clone()
}

#[tokio::test]
async fn every_change_of_a_key_is_in_force_when_it_returns() {
    let (service, demo, _) = Service::with_users().await;
    let key = demo.new_key("changed", &["*"]).await;
    let (value, path) = (text(&key, "value"), path(&key));
    let roll = format!("{path}roll/");
    assert_told(&service, &[value], by_api(&demo, "PATCH", &path, json!({"scopes": ["query:read"]}))).await;
    let expiring = json!({"expires_at": "2100-01-01T00:00:00Z"});
    assert_told(&service, &[value], by_api(&demo, "PATCH", &path, expiring)).await;
    assert_told(&service, &[value], by_api(&demo, "POST", &roll, json!({"grace_s": 3600}))).await;
    let (_, second) = demo.post(&roll, json!({"grace_s": 3600})).await;
    let values = [value, text(&second, "value")];
    assert_told(&service, &values, by_api(&demo, "POST", &roll, json!({}))).await;
    let (_, third) = demo.post(&roll, json!({})).await;
    assert_told(&service, &[text(&third, "value")], by_api(&demo, "DELETE", &path, json!({}))).await;
}

#[tokio::test]
async fn the_command_line_keeps_the_same_promise() {
    let (service, demo, _) = Service::with_users().await;
    let [first, second] = [demo.new_key("first", &["*"]).await, demo.new_key("second", &["*"]).await];
    let values = [text(&first, "value"), text(&second, "value")];
    let cli = |args: &[&str]| {
        let (site, args) = (service.site.clone(), args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
        async move {
            let run = move || site.json(&args.iter().map(String::as_str).collect::<Vec<_>>());
            tokio::task::spawn_blocking(run).await.unwrap()
        }
    };
    assert_told(&service, &values, cli(&["user", "disable", DEMO, "--json"])).await;
    assert_eq!(service.scopes(values[0]).await, None);
    assert_told(&service, &values, cli(&["user", "enable", DEMO, "--json"])).await;
    assert_eq!(service.scopes(values[0]).await.as_deref(), Some("*"));
    let permissions = ["user", "permissions", DEMO, "insight:read,cohort:write", "--json"];
    assert_told(&service, &values, cli(&permissions)).await;
    assert_eq!(service.scopes(values[0]).await.as_deref(), Some("insight:read cohort:write"));
    let ids = [text(&first, "id"), text(&second, "id")];
    assert_told(&service, &values[..1], cli(&["key", "revoke", ids[0], "--json"])).await;
    let roll = async { cli(&["key", "roll", ids[1], "--json"]).await["revocation"].clone() };
    assert_told(&service, &values[1..], roll).await;
    assert_eq!(service.scopes(values[1]).await, None);
    // An edge may have cached that nobody has this value.
    let adopted = "phx_1234567890abcdef";
    let create = ["key", "create", "--user", OTHER, "--label", "docs", "--scopes", "*", "--value-stdin"];
    let edge = Edge::subscribed(&service, "e").await.run();
    let site = service.site.clone();
    tokio::task::spawn_blocking(move || site.ok(&create, adopted)).await.unwrap();
    assert!(edge.was_told_of(adopted));
}

#[tokio::test]
async fn the_command_line_waits_for_a_lease_and_says_so() {
    let (service, demo, _) = Service::with_users_and(short_terms).await;
    let key = demo.new_key("revoked", &["*"]).await;
    let id = text(&key, "id").to_owned();
    let granted_at = Instant::now();
    Edge::subscribed(&service, "e").await;
    let run = |args: Vec<String>| {
        let site = service.site.clone();
        tokio::task::spawn_blocking(move || {
            let output = site.run(&args.iter().map(String::as_str).collect::<Vec<_>>(), "");
            (output.status.success(), String::from_utf8(output.stderr).unwrap(), Instant::now())
        })
    };
    let revoke = vec!["key".to_owned(), "revoke".to_owned(), id];
    let first = run(revoke.clone());
    service.until(MADE).await;
    let again = run(revoke);
    let (succeeded, said, returned_at) = first.await.unwrap();
    let waited = ["active everywhere after ", "its cache has expired"].iter().all(|part| said.contains(part));
    assert!(succeeded && waited, "{said}");
    assert_waited_for_the_lease(granted_at, returned_at);
    let (succeeded, said, returned_at) = again.await.unwrap();
    assert!(!succeeded && said.contains("no such key"), "{said}");
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn many_edges_and_many_deletes_lose_nothing() {
    let (service, demo, other) = Service::with_users().await;
    let mut edges = Vec::new();
    for n in 0..300 {
        edges.push(Edge::subscribed(&service, &format!("e{n}")).await.run());
    }
    let edges: Arc<[_]> = edges.into();
    let mut deleters = JoinSet::new();
    for n in 0..10 {
        let browser = if n % 2 == 0 { demo.clone() } else { other.clone() };
        let edges = edges.clone();
        deleters.spawn(async move {
            for _ in 0..5 {
                let key = browser.new_key("one of fifty", &["*"]).await;
                let (status, answer) = browser.delete(&path(&key)).await;
                let told = edges.iter().filter(|edge| edge.was_told_of(text(&key, "value"))).count();
                assert_eq!((status.as_u16(), told, outcome(&answer)), (200, 300, [300, 300, 0]));
            }
        });
    }
    deleters.join_all().await;
    assert_eq!(service.number("SELECT COUNT(*) FROM changes").await, 50);
}
