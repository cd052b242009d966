//! The connections of a listener: accepting them, serving HTTP on them, and closing them without losing a request.

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

/// The most connections that wait to be accepted: as many as come at once when the service restarts, if the system allows it
/// (`net.core.somaxconn` on Linux).
const BACKLOG: u32 = 16_384;

/// How long a client has to send a request's headers: after it connects, and after each response. Then the connection
/// closes.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How fast a client has to read. Otherwise a client that hardly reads would keep its place.
const PACE: Pace = Pace { idle: Duration::from_secs(10), grace: Duration::from_secs(30), bytes_per_s: 1024 };

/// The kernel's send buffer of a public connection, in bytes; Linux doubles it for its own overhead. A full one takes more
/// only when a third of it is free, so a third is no more than [`PACE`] asks a client to read within the idle time.
const PUBLIC_SEND_BUFFER: u32 = 16 * 1024;

/// How often the service pings an edge over HTTP/2. If the edge is gone, the connection closes after twice this time.
const EDGE_PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long the listener pauses after an accept has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How far the shutdown is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// There is no shutdown.
    #[default]
    Serving,
    /// The listener still accepts connections and answers requests, and asks clients to connect elsewhere next time.
    Leaving,
    /// The listener accepts no connection, and open connections close after their current response.
    Ending,
}

/// The protocols of a listener.
pub(crate) type Protocol = auto::Builder<TokioExecutor>;

/// HTTP/1 alone. A client must not hold one of the few places for longer than a request takes, and hyper has no timeout for
/// an HTTP/2 connection without requests, nor for detecting the protocol.
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

/// Listens on an address for the public API.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn listen_to_public(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket(address)?;
    // Connections inherit the size from their listener.
    socket.set_send_buffer_size(PUBLIC_SEND_BUFFER)?;
    socket.listen(BACKLOG)
}

/// Listens on an address for the edge API.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn listen_to_edges(address: SocketAddr) -> std::io::Result<TcpListener> {
    socket(address)?.listen(BACKLOG)
}

fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted process can bind while connections of its predecessor are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Raises the process's limit of open files to the hard limit, since each edge takes one or two. Returns the limit; `None`
/// if there is none.
pub(crate) fn raise_open_files() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    getrlimit(Resource::Nofile).current
}

/// Accepts connections until [`Phase::Ending`], then waits until the open ones have finished.
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
            // At the limit, stop accepting; the kernel queues new connections.
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
                // Mostly too many open files, which is temporary.
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
        let has_data = tokio::select! {
            // hyper has no timeout for detecting the protocol.
            peeked = tokio::time::timeout(HEADER_TIMEOUT, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1))),
            () = until(&mut phase, Phase::Ending) => false,
        };
        // Responses are small, and clients wait for them: do not delay one until the peer acknowledges the one before.
        if !has_data || stream.set_nodelay(true).is_err() {
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

    /// Waits until the connection should close after its current responses: in [`Phase::Ending`], and with HTTP/2 already
    /// in [`Phase::Leaving`], because HTTP/2 tells the client which requests are still answered. With HTTP/1, closing early
    /// would abort a request on its way, so a response header announces the close.
    async fn time_to_close(&self, speaks_http2: &Notify) {
        let (mut leaving, mut ending) = (self.phase.clone(), self.phase.clone());
        let http2_leaves = async {
            until(&mut leaving, Phase::Leaving).await;
            speaks_http2.notified().await;
        };
        tokio::select! {
            () = http2_leaves => {}
            () = until(&mut ending, Phase::Ending) => {}
        }
    }
}

/// Waits for a phase. Returns too if the server is gone.
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
