//! Connections to the key service, with Envoy's settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_key_auth::answer::NoAnswer;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::rt::Executor;
use hyper::{Method, Request, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The timeout of a new connection: `connect_timeout` of `envoy/envoy.yaml`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The interval and the timeout of HTTP/2 pings: `connection_keepalive` of `envoy/envoy.yaml`.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The protocol of the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/2 without TLS: one connection for all requests of an edge.
    Http2,
    /// HTTP/1.1: a connection for each outstanding request.
    Http1,
}

/// The address of a key service.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// Host and port as given.
    pub(crate) authority: Authority,
    /// The resolved address.
    pub(crate) socket: SocketAddr,
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// The listener's queue is full, or the service is too slow to accept connections.
    #[error("no connection in time")]
    NoConnection,
    /// All local ports for connections to one address are in use.
    #[error("no local port is left")]
    NoLocalPort,
    /// The connection failed, or ended before the answer.
    #[error("connection lost")]
    Lost,
    /// There was no answer in time, or none that an edge can use.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Failure::Refused,
            std::io::ErrorKind::AddrNotAvailable => Failure::NoLocalPort,
            _ => Failure::Lost,
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(_: hyper::Error) -> Self {
        Failure::Lost
    }
}

/// Opens connections to the addresses in turn, and can drop all of them at once.
#[derive(Debug)]
pub(crate) struct Connector {
    protocol: Protocol,
    addresses: Vec<Address>,
    authorization: HeaderValue,
    dropped: Arc<Notify>,
}

impl Connector {
    /// A connector whose requests carry this token.
    pub(crate) fn new(protocol: Protocol, addresses: Vec<Address>, authorization: HeaderValue) -> Self {
        Connector { protocol, addresses, authorization, dropped: Arc::default() }
    }

    /// The protocol.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Opens a connection. `number` chooses the address.
    ///
    /// # Errors
    /// The connection cannot be opened.
    pub(crate) async fn connect(&self, number: usize) -> Result<Connection, Failure> {
        let address = &self.addresses[number % self.addresses.len()];
        let connecting = async {
            let stream = TcpStream::connect(address.socket).await?;
            stream.set_nodelay(true)?;
            let sender = self.shake_hands(TokioIo::new(stream)).await?;
            let authority = address.authority.clone();
            Ok(Connection { sender, authority, authorization: self.authorization.clone() })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(Failure::NoConnection))
    }

    async fn shake_hands(&self, stream: TokioIo<TcpStream>) -> Result<Sender, hyper::Error> {
        let tasks = Tasks { dropped: Arc::clone(&self.dropped) };
        match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tasks.execute(connection);
                Ok(Sender::Http1(sender))
            }
            Protocol::Http2 => {
                let mut builder = http2::Builder::new(tasks.clone());
                builder.timer(TokioTimer::new());
                builder.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
                builder.keep_alive_while_idle(true);
                let (sender, connection) = builder.handshake(stream).await?;
                tasks.execute(connection);
                Ok(Sender::Http2(sender))
            }
        }
    }

    /// Drops all connections at once without closing them, as a network failure does.
    pub(crate) fn drop_all(&self) {
        self.dropped.notify_waiters();
    }
}

/// Drives a connection until all connections are dropped.
#[derive(Clone)]
struct Tasks {
    dropped: Arc<Notify>,
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let dropped = Arc::clone(&self.dropped).notified_owned();
        tokio::spawn(async move {
            // The requests that wait for an answer get the error.
            tokio::select! {
                biased;
                _ = task => {}
                () = dropped => {}
            }
        });
    }
}

/// A connection to the key service.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    authority: Authority,
    authorization: HeaderValue,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Whether it cannot take another request.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Another handle of the connection, if it takes several requests at a time.
    pub(crate) fn share(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        let (authority, authorization) = (self.authority.clone(), self.authorization.clone());
        Some(Connection { sender: Sender::Http2(sender.clone()), authority, authorization })
    }

    /// Sends JSON and returns the status and the body of the answer.
    ///
    /// # Errors
    /// The connection ended before the answer.
    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Bytes), Failure> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        let mut uri = hyper::http::uri::Parts::default();
        uri.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| Failure::Lost)?);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.sender {
            Sender::Http1(_) => {
                let host = HeaderValue::from_str(self.authority.as_str()).map_err(|_| Failure::Lost)?;
                headers.insert(HOST, host);
            }
            Sender::Http2(_) => {
                uri.scheme = Some(Scheme::HTTP);
                uri.authority = Some(self.authority.clone());
            }
        }
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Failure::Lost)?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
