//! The running service: both listeners, from bind to graceful shutdown.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::api::{self, PublicUrl};
use crate::edge_api;
use crate::edge_tokens::EdgeTokens;
use crate::http::client_address::TrustedProxies;
use crate::leases::Terms;
use crate::readiness::Readiness;
use crate::store::{Database, news, upkeep};
use crate::webhooks::{self, Endpoint};

/// Requests that are still in progress this long after the shutdown began are cut off: container engines kill
/// what does not end within ten seconds.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// Unless leases last so long that a change could wait longer. It waits for this much less.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(1);

/// A client that has not sent a request's headers by then is let go: after it connected, and after each answer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an edge that speaks HTTP/2 is asked whether it is still there. One that has gone without a word is let go
/// after twice that.
const EDGE_PING_INTERVAL: Duration = Duration::from_secs(20);

/// The most open connections of the public listener: well below what a process may open, so that no number of idle
/// clients keeps edges out.
const MAX_PUBLIC_CONNECTIONS: usize = 512;

/// How long nothing is accepted after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An address that the service was told to listen on, and the names of its setting.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// The flag and the environment variable, for messages.
    pub setting: &'static str,
    /// Where to listen.
    pub address: SocketAddr,
}

/// How the service runs.
#[derive(Debug)]
pub struct Settings {
    /// How long edges are told they may rely on their memory.
    pub terms: Terms,
    /// What edges authenticate with.
    pub tokens: EdgeTokens,
    /// The address under which browsers reach the public listener.
    pub public_url: Option<PublicUrl>,
    /// The address of the API that the keys are for, as the page shows it.
    pub api_url: Option<PublicUrl>,
    /// Whose word counts for where a request came from.
    pub trusted_proxies: TrustedProxies,
    /// How long entries of the audit log are kept; without it for good.
    pub audit_kept: Option<Duration>,
    /// How long the service goes on after it was told to end, so that load balancers notice that it is not ready.
    pub shutdown_delay: Duration,
    /// Where to tell what happened.
    pub webhook: Option<Endpoint>,
}

/// Why the service could not run, or not run on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, or not this machine's.
    #[error("{}: cannot listen on {}: {source}", listen.setting, listen.address)]
    Bind {
        /// Which one.
        listen: Listen,
        /// What the system said.
        source: std::io::Error,
    },
    /// A listener failed.
    #[error("serving failed: {0}")]
    Serve(#[from] std::io::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Both listeners, bound.
#[derive(Debug)]
pub struct Server {
    public: TcpListener,
    edge: TcpListener,
}

impl Server {
    /// Takes both addresses.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub async fn bind(public: Listen, edge: Listen) -> Result<Self, ServerError> {
        Ok(Server { public: bind(public).await?, edge: bind(edge).await? })
    }

    /// The address of the public listener, as the machine itself can reach it.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn public_base(&self) -> Result<String, ServerError> {
        let mut address = self.public.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        Ok(format!("http://{address}"))
    }

    /// Serves until `told_to_end` returns, then finishes the requests in progress; until it returns once more, which ends
    /// the service at once.
    ///
    /// # Errors
    /// A listener or the database failed.
    pub async fn run(
        self,
        database: Database,
        settings: Settings,
        mut told_to_end: impl AsyncFnMut(),
    ) -> Result<(), ServerError> {
        let Settings {
            tokens,
            terms,
            public_url,
            api_url,
            trusted_proxies,
            audit_kept,
            shutdown_delay,
            webhook,
        } = settings;
        database.announce_leases(terms.lasts_ms()).await?;
        // The addresses tell the port where the setting left it to the system.
        let (public, edge) = (self.public.local_addr()?, self.edge.local_addr()?);
        tracing::info!(%public, %edge, "listening");
        let mut background = JoinSet::new();
        background.spawn(news::run(database.clone()));
        background.spawn(upkeep::run(database.clone(), audit_kept));
        if let Some(endpoint) = webhook {
            background.spawn(webhooks::delivery::run(database.clone(), endpoint));
        }
        let readiness = Readiness::new(database.clone());
        let (stop, stopping) = watch::channel(());
        let public = serve(
            self.public,
            public_protocol(),
            api::router(database.clone(), terms, public_url, api_url, trusted_proxies),
            MAX_PUBLIC_CONNECTIONS,
            stopping.clone(),
        );
        let edge = serve(
            self.edge,
            edge_protocol(),
            edge_api::router(database.clone(), terms, tokens, readiness.clone()),
            Semaphore::MAX_PERMITS,
            stopping,
        );
        let serving = async { tokio::try_join!(public, edge) };
        tokio::pin!(serving);

        tokio::select! {
            ended = &mut serving => drop(ended?),
            () = told_to_end() => {
                tracing::info!("shutting down");
                readiness.stop();
                let finish = async {
                    // New requests are still served, and syncs still held, while load balancers turn away.
                    if let Ok(ended) = tokio::time::timeout(shutdown_delay, &mut serving).await {
                        return ended.map(drop);
                    }
                    stop.send_replace(());
                    database.stop_holding();
                    let waits = Duration::from_millis(terms.lasts_ms()).saturating_add(SHUTDOWN_RESERVE);
                    match tokio::time::timeout(SHUTDOWN_TIMEOUT.max(waits), &mut serving).await {
                        Ok(ended) => ended.map(drop),
                        Err(_) => {
                            tracing::warn!("requests still in progress are cut off");
                            Ok(())
                        }
                    }
                };
                tokio::select! {
                    finished = finish => finished?,
                    () = told_to_end() => {
                        tracing::warn!("told to end once more: requests still in progress are cut off");
                        // Closing the database could wait for one of them.
                        return Ok(());
                    }
                }
            }
        }
        background.shutdown().await;
        database.close().await;
        Ok(())
    }
}

async fn bind(listen: Listen) -> Result<TcpListener, ServerError> {
    TcpListener::bind(listen.address).await.map_err(|source| ServerError::Bind { listen, source })
}

/// HTTP/1 alone: a client must not hold one of few places for longer than a request takes, and HTTP/2 has no timeout
/// for a connection without requests. Neither has the choice between the two.
fn public_protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
}

/// HTTP/1 and HTTP/2, which Envoy uses.
fn edge_protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new());
    http2.keep_alive_interval(EDGE_PING_INTERVAL).keep_alive_timeout(EDGE_PING_INTERVAL);
    builder
}

/// Accepts connections until `stopping`, then lets those that are open finish what they do.
async fn serve(
    listener: TcpListener,
    protocol: auto::Builder<TokioExecutor>,
    router: Router,
    most_connections: usize,
    mut stopping: watch::Receiver<()>,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(most_connections));
    let connections = GracefulShutdown::new();
    loop {
        let accepted = async {
            // Without a free place nobody is accepted; whoever waits is the system's to queue.
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            // An error means that the sender is gone, which is a shutdown too.
            _ = stopping.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, mostly: there will be some again.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and awaited: none waits for the peer to acknowledge the one before.
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(router.clone().layer(Extension(ConnectInfo(peer))));
        let connection = protocol.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection broke");
            }
            drop(place);
        });
    }
    connections.shutdown().await;
    Ok(())
}
