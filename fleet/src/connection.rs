//! Connections to the key service, as a proxy keeps them.

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

/// How long a proxy waits for a connection: `connect_timeout` of `envoy/envoy.yaml`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a proxy asks whether its peer is still there, and how long it waits for that: `connection_keepalive` of
/// `envoy/envoy.yaml`.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What edges speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One connection an edge for everything, HTTP/2 from its first byte.
    Http2,
    /// A connection for each request that is outstanding.
    Http1,
}

/// Where a key service listens.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// As it was named.
    pub(crate) authority: Authority,
    /// Where that is.
    pub(crate) socket: SocketAddr,
}

/// Why a request brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody listens.
    #[error("connection refused")]
    Refused,
    /// The listener's queue is full, or the service too slow to take up connections.
    #[error("no connection in time")]
    NoConnection,
    /// All ports that this machine gives to connections with one address are in use.
    #[error("no local port is left")]
    NoLocalPort,
    /// The connection was not made, or ended before the answer.
    #[error("connection lost")]
    Lost,
    /// Something was answered, or nothing in time, and an edge could use none of it.
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

/// Makes connections to the addresses in turn, and can end all of them at once.
#[derive(Debug)]
pub(crate) struct Connector {
    protocol: Protocol,
    addresses: Vec<Address>,
    authorization: HeaderValue,
    dropped: Arc<Notify>,
}

impl Connector {
    /// Requests will carry this token.
    pub(crate) fn new(protocol: Protocol, addresses: Vec<Address>, authorization: HeaderValue) -> Self {
        Connector { protocol, addresses, authorization, dropped: Arc::default() }
    }

    /// What is spoken.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// A new connection; with `turn` counting up, to one address after the other.
    ///
    /// # Errors
    /// It could not be made.
    pub(crate) async fn connect(&self, turn: usize) -> Result<Connection, Failure> {
        let address = &self.addresses[turn % self.addresses.len()];
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

    /// Ends all connections at once, without a word, as the death of a machine between would.
    pub(crate) fn drop_all(&self) {
        self.dropped.notify_waiters();
    }
}

/// Runs what belongs to connections until they are dropped.
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
            // How a connection ended is told to whoever waits for its answers.
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
    /// Whether it can take no further request.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// The same connection for somebody else, if it takes several requests at a time.
    pub(crate) fn share(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        let (authority, authorization) = (self.authority.clone(), self.authorization.clone());
        Some(Connection { sender: Sender::Http2(sender.clone()), authority, authorization })
    }

    /// Sends JSON; the answer's status and body.
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
