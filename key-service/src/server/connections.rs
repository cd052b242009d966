//! The connections of a listener: taking them, speaking HTTP on them, and closing them without losing a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use super::places::Places;
use super::timed_writes::{Pace, TimedWrites};

/// How many connections wait at most to be taken: as many as come at once when a service has started anew, if the
/// system allows it (`net.core.somaxconn` on Linux).
const BACKLOG: u32 = 16_384;

/// A client that has not sent a request's headers by then is let go: after it connected, and after each answer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that reads what is sent to it more slowly is let go: it may hardly ever read, and keep its place.
const PACE: Pace = Pace { idle: Duration::from_secs(10), grace: Duration::from_secs(30), bytes_per_s: 1024 };

/// The kernel's send buffer of a public connection, in bytes; Linux doubles it for its own overhead. A full one takes more only
/// when a third of it is free, so a third is no more than [`PACE`] asks a client to read within the idle time.
const PUBLIC_SEND_BUFFER: u32 = 16 * 1024;

/// How often an edge that speaks HTTP/2 is asked whether it is still there. One that has gone without a word is let go
/// after twice that.
const EDGE_PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long nothing is accepted after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How near the end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Nobody was told to end.
    #[default]
    Serving,
    /// Connections are taken and requests answered, and clients are told to make their next connection elsewhere.
    Leaving,
    /// No connection is taken, and those that are open are closed when they have answered.
    Ending,
}

/// What a listener speaks.
pub(crate) type Protocol = auto::Builder<TokioExecutor>;

/// HTTP/1 alone: a client must not hold one of few places for longer than a request takes, and HTTP/2 has no timeout
/// for a connection without requests. Neither has the choice between the two.
pub(crate) fn public_protocol() -> Protocol {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
}

/// HTTP/1 and HTTP/2, which Envoy uses.
pub(crate) fn edge_protocol() -> Protocol {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new());
    http2.keep_alive_interval(EDGE_PING_INTERVAL).keep_alive_timeout(EDGE_PING_INTERVAL);
    builder
}

/// Takes an address for the public listener.
///
/// # Errors
/// It cannot be had.
pub(crate) fn listen_to_public(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket(address)?;
    // Connections inherit it from their listener.
    socket.set_send_buffer_size(PUBLIC_SEND_BUFFER)?;
    socket.listen(BACKLOG)
}

/// Takes an address for the edge listener.
///
/// # Errors
/// It cannot be had.
pub(crate) fn listen_to_edges(address: SocketAddr) -> std::io::Result<TcpListener> {
    socket(address)?.listen(BACKLOG)
}

fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The connections of a process that has ended keep nobody from its address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Lets the process open as many files as the system allows it, since each edge takes one or two. Returns how many those
/// are, unless there is no limit.
pub(crate) fn raise_open_files() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    getrlimit(Resource::Nofile).current
}

/// Takes connections until the end, then lets those that are open finish what they do.
pub(crate) async fn serve(
    listener: TcpListener,
    protocol: Protocol,
    router: Router,
    places: Places,
    mut phase: watch::Receiver<Phase>,
) {
    let shared =
        Arc::new(Shared { protocol, router: TowerToHyperService::new(router), phase: phase.clone() });
    let open = TaskTracker::new();
    loop {
        let accepted = async {
            // Without a free place nobody is accepted; whoever waits is the system's to queue.
            let place = places.free().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = until(&mut phase, Phase::Ending) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(share) = places.share(peer.ip()) else {
                    tracing::debug!(%peer, "too many connections from this network");
                    continue;
                };
                let shared = Arc::clone(&shared);
                open.spawn(async move {
                    shared.talk(stream, peer).await;
                    drop((place, share));
                });
            }
            Err(error) => {
                // Too many open files, mostly: there will be some again.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    open.close();
    open.wait().await;
}

/// What the connections of a listener share.
struct Shared {
    protocol: Protocol,
    router: TowerToHyperService<Router>,
    phase: watch::Receiver<Phase>,
}

impl Shared {
    /// Serves a connection to its end.
    async fn talk(&self, stream: TcpStream, peer: SocketAddr) {
        let mut phase = self.phase.clone();
        let mut first = [0; 1];
        let is_heard = tokio::select! {
            // The choice of a protocol has no timeout of its own.
            peeked = tokio::time::timeout(HEADER_TIMEOUT, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1))),
            () = until(&mut phase, Phase::Ending) => false,
        };
        // Answers are small and awaited: none waits for the peer to acknowledge the one before.
        if !is_heard || stream.set_nodelay(true).is_err() {
            return;
        }
        let speaks_http2 = Arc::new(Notify::new());
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let version = request.version();
            if version == Version::HTTP_2 {
                speaks_http2.notify_one();
            }
            let (answering, phase) = (self.router.call(request), self.phase.clone());
            async move {
                let mut response = answering.await?;
                // HTTP/2 has no such header (RFC 9113, section 8.2.2).
                if version < Version::HTTP_2 && *phase.borrow() >= Phase::Leaving {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<Response<_>, Infallible>(response)
            }
        });
        let stream = TokioIo::new(TimedWrites::new(stream, PACE));
        let mut connection = pin!(self.protocol.serve_connection(stream, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.time_to_close(&speaks_http2) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }

    /// Waits until a connection is to be closed when it has answered what was asked on it: at the end. In HTTP/2, which
    /// tells the client beforehand which requests are still answered, already when it is time to leave; in HTTP/1 that
    /// would cut off a request that is on its way, so an answer has to tell.
    async fn time_to_close(&self, speaks_http2: &Notify) {
        let (mut leaving, mut ending) = (self.phase.clone(), self.phase.clone());
        let told = async {
            until(&mut leaving, Phase::Leaving).await;
            speaks_http2.notified().await;
        };
        tokio::select! {
            () = told => {}
            () = until(&mut ending, Phase::Ending) => {}
        }
    }
}

/// Waits for a phase. Without a server there is an end, too.
async fn until(phase: &mut watch::Receiver<Phase>, at_least: Phase) {
    // An error means that the sender is gone.
    let _ = phase.wait_for(|phase| *phase >= at_least).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_takes_little_of_an_answer_that_a_public_client_does_not_read() {
        let listener = listen_to_public(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_client, (stream, _)) = (client.unwrap(), accepted.unwrap());
        let socket = TcpSocket::from_std_stream(stream.into_std().unwrap());
        assert!(socket.send_buffer_size().unwrap() <= 2 * PUBLIC_SEND_BUFFER);
    }
}
