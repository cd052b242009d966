//! The end: what was begun is finished, and load balancers have time to notice.

use std::io::{Read, Write};
use std::net;
use std::time::{Duration, Instant};

use protocol::{Invalidation, SyncResponse};
use reqwest::header::HeaderValue;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::scripted_edge::{Edge, SOON};
use crate::support::{DEMO, PASSWORD, Process, Site, TOKEN, client, key_path, read};

/// A moment in which a request that does not wait would be answered.
const A_MOMENT: Duration = Duration::from_millis(300);

async fn end_of(mut app: Process) -> Option<i32> {
    tokio::task::spawn_blocking(move || app.wait()).await.unwrap()
}

/// Long enough for what happens meanwhile, and for what must not.
const DELAY: Duration = Duration::from_secs(3);

async fn start_with_delay() -> Process {
    Process::start_with(|command| command.env("SHUTDOWN_DELAY_MS", DELAY.as_millis().to_string())).await
}

#[tokio::test]
async fn until_the_delay_is_over_it_serves_and_says_that_it_is_not_ready() {
    let app = start_with_delay().await;
    let began = Instant::now();
    app.signal("-TERM");
    crate::server::readiness::until(&app, 503).await;

    let (status, body) = read(client().get(format!("{}/readyz", app.edge))).await;
    assert_eq!((status.as_u16(), &body["checks"]["shutdown"]), (503, &"begun".into()));
    let demo = app.demo();
    let answer = demo.request(reqwest::Method::GET, "/api/users/@me/").send().await.unwrap();
    assert_eq!(answer.status(), 200, "a new connection is still served");
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(app.scopes("phx_unknown").await, None, "edges are, too");
    assert_eq!(end_of(app).await, Some(0));
    assert!(began.elapsed() >= DELAY && began.elapsed() < 3 * DELAY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn from_the_signal_on_every_edge_is_granted_its_lease_at_once() {
    let app = start_with_delay().await;
    let mut edge = Edge::subscribed(&app, "e").await;
    let holding = tokio::spawn(edge.asks(60_000).send());
    app.until_syncs_are_held(1.0).await;
    let began = Instant::now();
    app.signal("-TERM");
    let answer = holding.await.unwrap().unwrap();
    // Not when the hold of 2 s is over.
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["connection"]),
        (200, &HeaderValue::from_static("close"))
    );
    let granted: SyncResponse = answer.json().await.unwrap();
    assert_eq!((granted.lease_ms, granted.invalidation), (6_000, Invalidation::Changed(vec![])));

    let mut answered = 0;
    while began.elapsed() < DELAY - SOON {
        let asked = Instant::now();
        assert_eq!(edge.sync(60_000).await.lease_ms, 6_000);
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        answered += 1;
    }
    assert!(answered > 1, "{answered}");
    assert_eq!(end_of(app).await, Some(0));
}

#[tokio::test]
async fn an_http2_connection_is_closed_when_its_requests_are_answered() {
    let app = start_with_delay().await;
    let stream = TcpStream::connect(app.edge.strip_prefix("http://").unwrap()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let edge = Edge::subscribed(&app, "e").await;
    let request = edge.asks(60_000).build().unwrap();
    let mut head = axum::http::Request::post(request.url().as_str());
    head.headers_mut().unwrap().extend(request.headers().clone());
    let body = request.body().unwrap().as_bytes().unwrap().to_vec();
    let (answer, mut sending) = sender.send_request(head.body(()).unwrap(), false).unwrap();
    sending.send_data(body.into(), true).unwrap();
    let answer = tokio::spawn(answer);
    app.until_syncs_are_held(1.0).await;

    let began = Instant::now();
    app.signal("-TERM");
    let answer = answer.await.unwrap().unwrap();
    assert_eq!((answer.status(), answer.headers().get("connection")), (reqwest::StatusCode::OK, None));
    let mut body = answer.into_body();
    let granted: SyncResponse = serde_json::from_slice(&body.data().await.unwrap().unwrap()).unwrap();
    assert_eq!(granted.lease_ms, 6_000);
    // Without a word it would stay until the delay is over.
    connection.await.unwrap().unwrap();
    assert!(began.elapsed() < DELAY, "{:?}", began.elapsed());
    assert_eq!(end_of(app).await, Some(0));
}

#[tokio::test]
async fn no_request_on_an_open_connection_is_lost_while_it_leaves() {
    let app = start_with_delay().await;
    Edge::subscribed(&app, "e").await;
    let kept_open = |http2| {
        let builder = reqwest::Client::builder();
        if http2 { builder.http2_prior_knowledge() } else { builder }.build().unwrap()
    };
    let asking: Vec<_> = (0..8)
        .map(|n| {
            let (client, url) = (kept_open(n % 2 == 0), format!("{}/edge/v1/verify", app.edge));
            tokio::spawn(async move {
                let begun = Instant::now();
                let mut asked = 0;
                while begun.elapsed() < DELAY {
                    let question = serde_json::json!({"edge": "e", "digests": []});
                    let answer = client.post(&url).bearer_auth(TOKEN).json(&question).send().await;
                    assert_eq!(answer.unwrap().status(), 200);
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    tokio::time::sleep(A_MOMENT).await;
    app.signal("-TERM");
    for asking in asking {
        assert!(asking.await.unwrap() > 5);
    }
    assert_eq!(end_of(app).await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let app = Process::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    Edge::subscribed(&app, "e").await;
    let deleting = demo.request(reqwest::Method::DELETE, &key_path(&key)).send();
    let deleting = tokio::spawn(deleting);
    app.until("SELECT revision = 1 FROM revision_log").await;
    app.signal("-TERM");
    tokio::time::sleep(A_MOMENT).await;
    assert!(!deleting.is_finished(), "the first one lets it wait for the lease");
    let began = Instant::now();
    app.signal("-TERM");
    let log = app.log.clone();
    let site = app.site.clone();
    assert_eq!(end_of(app).await, Some(0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(deleting.await.unwrap().is_err(), "it was cut off");
    assert!(std::fs::read_to_string(log).unwrap().contains("second signal"));
    drop(site);
}

#[tokio::test]
async fn a_hanging_webhook_does_not_hold_up_the_end() {
    let receiver = crate::support::webhook_receiver::Receiver::start(&[]).await;
    let app = Process::on_with(Site::empty(), receiver.settings());
    crate::support::webhook_receiver::enqueue(&app).await;
    receiver.next().await;
    let began = Instant::now();
    app.signal("-TERM");
    assert_eq!(end_of(app).await, Some(0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_request_in_progress_is_finished_before_the_end() {
    let mut app = Process::on(Site::with_users());
    let body = json!({"email": DEMO, "password": PASSWORD}).to_string();
    let mut stream = net::TcpStream::connect(app.public.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /api/login/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    // The service asks for the body only when it is at work on the request.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    app.signal("-TERM");
    while !app.log_text().contains("shutting down") {
        std::thread::sleep(Duration::from_millis(5));
    }
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(app.wait(), Some(0));
    assert!(net::TcpStream::connect(app.public.strip_prefix("http://").unwrap()).is_err(), "it is gone");
}

#[test]
fn an_interrupt_ends_it_too() {
    let mut app = Process::on(Site::empty());
    app.signal("-INT");
    assert_eq!(app.wait(), Some(0));
}
