//! Connections that nothing comes through.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{Service, Site, client};

/// How long a client has for a request's headers, and what a busy machine may add.
const TIMEOUT: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(6);

const REQUEST: &[u8] = b"GET /sign-in HTTP/1.1\r\nhost: keys.example.com\r\n\r\n";
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame (RFC 9113, section 6.5).
const H2_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn start() -> Service {
    tokio::task::spawn_blocking(|| Site::empty().serve()).await.unwrap()
}

async fn connect(service: &Service) -> TcpStream {
    connect_to(&service.public).await
}

async fn connect_to(base: &str) -> TcpStream {
    TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// How long the service keeps a connection on which a client sends this and nothing more, and what it answers.
async fn kept(mut stream: TcpStream, sent: &[u8]) -> (Duration, String) {
    stream.write_all(sent).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    match tokio::time::timeout(TIMEOUT + LATE, stream.read_to_end(&mut answer)).await {
        Err(_) => panic!("still open: {:?}", String::from_utf8_lossy(sent)),
        Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        Ok(Ok(_)) => {}
    }
    (began.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn a_public_connection_is_let_go_when_no_request_comes() {
    let service = start().await;
    let mut silent = JoinSet::new();
    let h2 = [H2_PREFACE, H2_SETTINGS].concat();
    for sent in [b"", &REQUEST[..30], &H2_PREFACE[..10], &h2].map(<[u8]>::to_vec) {
        let stream = connect(&service).await;
        silent.spawn(async move { kept(stream, &sent).await });
    }
    let (time, answer) = kept(connect(&service).await, REQUEST).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    assert!(time >= TIMEOUT - Duration::from_secs(1), "the next request has time: {time:?}");
    for (_, answer) in silent.join_all().await {
        assert!(!answer.contains(" 200 "), "{answer}");
    }
}

#[tokio::test]
async fn no_number_of_silent_connections_keeps_others_out_for_long() {
    let service = start().await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(connect(&service).await);
    }
    let began = Instant::now();
    let asking = client().get(format!("{}/sign-in", service.public)).send();
    let answer = tokio::time::timeout(2 * TIMEOUT + LATE, asking).await.expect("nobody is served").unwrap();
    assert_eq!(answer.status(), 200);
    assert!(began.elapsed() > TIMEOUT / 2, "the places were not taken: {:?}", began.elapsed());
}

#[tokio::test]
async fn an_edge_connection_is_let_go_on_which_nothing_comes() {
    let service = start().await;
    let (time, answer) = kept(connect_to(&service.edge).await, b"").await;
    assert!(time >= TIMEOUT - Duration::from_secs(1) && answer.is_empty(), "{answer} after {time:?}");
}

#[tokio::test]
async fn it_may_open_as_many_files_as_the_system_allows() {
    let service =
        tokio::task::spawn_blocking(|| Site::empty().serve_through("ulimit -Sn 64; exec \"$0\" \"$@\""))
            .await
            .unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|column| files.split_whitespace().nth(column).unwrap());
    assert!(soft == hard && soft != "64", "{files}");
}
