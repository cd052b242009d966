//! The end: what was begun is finished, and load balancers have time to notice.

use std::time::{Duration, Instant};

use crate::scripted_edge::{Edge, SOON, path};
use crate::support::{Service, Site, client, read};

/// A moment for a request to get to its waiting.
const A_MOMENT: Duration = Duration::from_millis(300);

async fn end_of(mut service: Service) -> Option<i32> {
    tokio::task::spawn_blocking(move || service.wait()).await.unwrap()
}

#[tokio::test]
async fn until_the_delay_is_over_it_serves_and_says_that_it_is_not_ready() {
    let site = tokio::task::spawn_blocking(Site::with_users).await.unwrap();
    let service = site.serve_with(|command| command.env("SHUTDOWN_DELAY_MS", "1500"));
    let edge = Edge::subscribed(&service, "e").await;
    let holding = tokio::spawn(edge.asks(60_000).send());
    tokio::time::sleep(A_MOMENT).await;
    let told = Instant::now();
    service.signal("-TERM");
    tokio::time::sleep(A_MOMENT).await;

    let (status, body) = read(client().get(format!("{}/readyz", service.edge))).await;
    assert_eq!((status.as_u16(), &body["checks"]["shutdown"]), (503, &"begun".into()));
    let [demo, _] = service.browsers();
    assert_eq!(demo.get("/api/users/@me/").await.0, 200, "a new connection is still served");
    assert!(!holding.is_finished(), "edges would only ask again");
    assert_eq!(holding.await.unwrap().unwrap().status(), 200);
    assert!(told.elapsed() >= Duration::from_millis(1_400), "{:?}", told.elapsed());
    assert_eq!(end_of(service).await, Some(0));
    assert!(told.elapsed() < Duration::from_millis(1_500) + SOON, "{:?}", told.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (service, demo, _) = Service::with_users().await;
    let key = demo.new_key("deleted", &["*"]).await;
    Edge::subscribed(&service, "e").await;
    let deleting = demo.request(reqwest::Method::DELETE, &path(&key)).send();
    let deleting = tokio::spawn(deleting);
    tokio::time::sleep(A_MOMENT).await;
    service.signal("-TERM");
    tokio::time::sleep(A_MOMENT).await;
    assert!(!deleting.is_finished(), "the first one lets it wait for the lease");
    let told = Instant::now();
    service.signal("-TERM");
    let log = service.log.clone();
    let site = service.site.clone();
    assert_eq!(end_of(service).await, Some(0));
    assert!(told.elapsed() < SOON, "{:?}", told.elapsed());
    assert!(deleting.await.unwrap().is_err(), "it was cut off");
    assert!(std::fs::read_to_string(log).unwrap().contains("told to end once more"));
    drop(site);
}

#[tokio::test]
async fn a_hanging_webhook_does_not_hold_up_the_end() {
    let receiver = crate::webhook_receiver::Receiver::start(&[]).await;
    let service = Site::empty().serve_with(receiver.settings());
    crate::webhook_receiver::enqueue(&service).await;
    receiver.next().await;
    let told = Instant::now();
    service.signal("-TERM");
    assert_eq!(end_of(service).await, Some(0));
    assert!(told.elapsed() < SOON, "{:?}", told.elapsed());
}
