//! Connections that nothing comes through.

use std::io::{ErrorKind, Read, Write};
use std::net;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Process, Site, TestApp, client};

/// How long a client has for a request's headers, and what a busy machine may add.
const TIMEOUT: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(6);

const REQUEST: &[u8] = b"GET /sign-in HTTP/1.1\r\nhost: keys.example.com\r\n\r\n";
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An empty SETTINGS frame (RFC 9113, section 6.5).
const H2_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn start() -> Process {
    tokio::task::spawn_blocking(|| Process::on(Site::empty())).await.unwrap()
}

async fn connect(app: &TestApp) -> TcpStream {
    connect_to(&app.public).await
}

async fn connect_to(base: &str) -> TcpStream {
    TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// From an address of this machine: 127.0.0.`last`.
async fn connect_from(last: u8, app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    // A client that does not read has taken all that it can soon.
    socket.set_recv_buffer_size(4096).unwrap();
    let address = app.public.strip_prefix("http://").unwrap().parse().unwrap();
    socket.connect(address).await.unwrap()
}

/// Whether a request on a connection is answered; otherwise the connection is closed.
async fn is_answered(stream: &mut TcpStream) -> bool {
    // The service may have closed it by now.
    let _ = stream.write_all(REQUEST).await;
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer).await {
        Ok(_) => answer == *b"HTTP/1.1 200",
        Err(_) => false,
    }
}

/// Those of 200 connections from one address that are answered and left open. All are opened before a request is sent, and
/// the requests are sent at once, so that none is closed for its silence while others are still tried.
async fn connections_of_one_address(app: &TestApp) -> Vec<TcpStream> {
    let mut asking = JoinSet::new();
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(connect_from(1, app).await);
    }
    for mut stream in open {
        asking.spawn(async move { is_answered(&mut stream).await.then_some(stream) });
    }
    asking.join_all().await.into_iter().flatten().collect()
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
    let app = start().await;
    let mut silent = JoinSet::new();
    let h2 = [H2_PREFACE, H2_SETTINGS].concat();
    for sent in [b"", &REQUEST[..30], &H2_PREFACE[..10], &h2].map(<[u8]>::to_vec) {
        let stream = connect(&app).await;
        silent.spawn(async move { kept(stream, &sent).await });
    }
    let (time, answer) = kept(connect(&app).await, REQUEST).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    assert!(time >= TIMEOUT - Duration::from_secs(1), "the next request has time: {time:?}");
    for (_, answer) in silent.join_all().await {
        assert!(!answer.contains(" 200 "), "{answer}");
    }
}

#[tokio::test]
async fn no_number_of_silent_connections_keeps_others_out_for_long() {
    let app = start().await;
    let mut silent = Vec::new();
    for n in 0..600_u16 {
        silent.push(connect_from((n % 6 + 1) as u8, &app).await);
    }
    let began = Instant::now();
    let asking = client().get(format!("{}/sign-in", app.public)).send();
    let answer = tokio::time::timeout(2 * TIMEOUT + LATE, asking).await.expect("nobody is served").unwrap();
    assert_eq!(answer.status(), 200);
    assert!(began.elapsed() > TIMEOUT / 2, "the places were not taken: {:?}", began.elapsed());
}

#[tokio::test]
async fn one_address_has_a_share_of_the_places_and_trusted_proxies_have_all() {
    let app = start().await;
    let open = connections_of_one_address(&app).await;
    // On a slow machine the first of them may be closed by now.
    assert!((128..200).contains(&open.len()), "{}", open.len());
    assert!(is_answered(&mut connect_from(2, &app).await).await, "another address has its own");
    assert!(app.log_text().contains("TRUSTED_PROXIES"));
    drop(open);
    let again = async { while !is_answered(&mut connect_from(1, &app).await).await {} };
    tokio::time::timeout(TIMEOUT + LATE, again).await.expect("places that are free again");

    let app = tokio::task::spawn_blocking(|| {
        Process::on_with(Site::empty(), |command| command.env("TRUSTED_PROXIES", "127.0.0.1"))
    });
    let app = app.await.unwrap();
    assert_eq!(connections_of_one_address(&app).await.len(), 200);
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go() {
    let app = start().await;
    let mut stream = connect_from(1, &app).await;
    let asking = async { while stream.write_all(REQUEST).await.is_ok() {} };
    // The service stops reading once it cannot write; from then on this waits.
    tokio::time::timeout(2 * TIMEOUT + LATE, asking).await.expect("it keeps its place");
}

#[tokio::test]
async fn an_edge_connection_is_let_go_on_which_nothing_comes() {
    let app = start().await;
    let (time, answer) = kept(connect_to(&app.edge).await, b"").await;
    assert!(time >= TIMEOUT - Duration::from_secs(1) && answer.is_empty(), "{answer} after {time:?}");
}

#[tokio::test]
async fn it_may_open_as_many_files_as_the_system_allows() {
    let app =
        tokio::task::spawn_blocking(|| Process::through(Site::empty(), "ulimit -Sn 64; exec \"$0\" \"$@\""))
            .await
            .unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", app.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|column| files.split_whitespace().nth(column).unwrap());
    assert!(soft == hard && soft != "64", "{files}");
}

/// Clients that never finish a request hold connections, which are bounded; the edge listener has its own.
#[test]
fn a_client_that_sends_no_whole_head_is_let_go() {
    let app = Process::on(Site::empty());
    let address = app.public.trim_start_matches("http://").to_owned();
    let mut idle = net::TcpStream::connect(address).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: ").unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut received = Vec::new();
    idle.read_to_end(&mut received).expect("the connection was still open after 20 s");
}
