//! The running service: both listeners, from bind to graceful shutdown.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

mod connections;
mod places;
mod timed_writes;

use connections::{Phase, edge_protocol, public_protocol, serve};
use places::Places;

use crate::db;
use crate::revocation::{self, Store};
use crate::settings::{Listen, Settings};
use crate::upkeep;
use crate::web::readiness::Readiness;
use crate::web::{PublicSettings, edge, public_router};
use crate::webhooks;

/// After this time, a shutdown cuts off the requests still in progress. Container engines kill a process after ten seconds.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long closing the database may take.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

/// With long leases, a change may wait for longer than [`SHUTDOWN_TIMEOUT`]. The shutdown then takes this much more than a
/// lease with its margin.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(1);

/// Why the service could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is in use or does not belong to this machine.
    #[error("{}: cannot listen on {}: {source}", listen.setting, listen.address)]
    Bind {
        /// The address and its setting.
        listen: Listen,
        /// The system's error.
        source: std::io::Error,
    },
    /// A listener failed.
    #[error("serving failed: {0}")]
    Serve(#[from] std::io::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// Both listeners, bound.
#[derive(Debug)]
pub struct Server {
    public: TcpListener,
    edge: TcpListener,
}

impl Server {
    /// Binds both addresses.
    ///
    /// # Errors
    /// One of them cannot be bound.
    pub async fn bind(settings: &Settings) -> Result<Self, ServerError> {
        Ok(Server {
            public: bind(settings.public, connections::listen_to_public)?,
            edge: bind(settings.edge, connections::listen_to_edges)?,
        })
    }

    /// The addresses of the public listener and of the edge listener. They have the port that the system chose if the
    /// setting is port 0.
    ///
    /// # Errors
    /// The system does not report the address.
    pub fn addresses(&self) -> Result<(SocketAddr, SocketAddr), ServerError> {
        Ok((self.public.local_addr()?, self.edge.local_addr()?))
    }

    /// The address of the public listener, as the machine itself can reach it.
    ///
    /// # Errors
    /// The system does not report the address.
    pub(crate) fn public_base(&self) -> Result<String, ServerError> {
        let (mut address, _) = self.addresses()?;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        Ok(format!("http://{address}"))
    }

    /// Serves until `shutdown_signal` returns, then finishes the requests in progress. If `shutdown_signal` returns again, the
    /// service stops at once.
    ///
    /// # Errors
    /// A listener or the database failed.
    pub async fn run(
        self,
        store: Store,
        settings: Settings,
        mut shutdown_signal: impl AsyncFnMut(),
    ) -> Result<(), ServerError> {
        let Settings {
            tokens,
            lease_config,
            catalogue,
            public_url,
            api_url,
            trusted_proxies,
            changes_per_minute,
            public_leak_reports,
            local_passwords,
            providers,
            audit_kept,
            shutdown_delay,
            webhook,
            ..
        } = settings;
        store.announce_leases(lease_config.lasts_ms()).await?;
        let (public, edges) = self.addresses()?;
        let open_files = connections::raise_open_files();
        tracing::info!(%public, edge = %edges, open_files, "listening");
        let mut background = JoinSet::new();
        background.spawn(revocation::background::run(store.clone()));
        background.spawn(upkeep::run(store.clone(), audit_kept));
        if let Some(endpoint) = webhook {
            background.spawn(webhooks::delivery::run((*store).clone(), endpoint));
        }
        let readiness = Readiness::new(store.clone());
        let (end, phase) = watch::channel(Phase::Serving);
        let mut serving = JoinSet::new();
        let places = Places::of_public_listener(trusted_proxies.clone());
        serving.spawn(serve(
            self.public,
            public_protocol(),
            public_router(
                store.clone(),
                lease_config,
                PublicSettings {
                    catalogue,
                    public_url,
                    api_url,
                    trusted_proxies,
                    changes_per_minute,
                    public_leak_reports,
                    local_passwords,
                    providers,
                },
            ),
            places,
            phase.clone(),
        ));
        serving.spawn(serve(
            self.edge,
            edge_protocol(),
            edge::router(store.clone(), lease_config, tokens, readiness.clone()),
            Places::unlimited(),
            phase,
        ));

        tokio::select! {
            _ = serving.join_next() => {}
            () = shutdown_signal() => {
                tracing::info!("shutting down");
                readiness.begin_shutdown();
                // Held syncs get their answers now. Edges send the next sync on new connections, which load balancers route
                // elsewhere.
                end.send_replace(Phase::Leaving);
                store.stop_holding();
                let finish = async {
                    tokio::time::sleep(shutdown_delay).await;
                    end.send_replace(Phase::Ending);
                    let waits = Duration::from_millis(lease_config.lasts_ms()).saturating_add(SHUTDOWN_RESERVE);
                    let served = async { while serving.join_next().await.is_some() {} };
                    if tokio::time::timeout(SHUTDOWN_TIMEOUT.max(waits), served).await.is_err() {
                        tracing::warn!("requests still in progress are aborted");
                    }
                };
                tokio::select! {
                    () = finish => {}
                    () = shutdown_signal() => {
                        tracing::warn!("second signal: requests still in progress are aborted");
                        // Closing the database could wait for one of these requests.
                        return Ok(());
                    }
                }
            }
        }
        background.shutdown().await;
        let closing = async {
            store.write_uses().await;
            store.close().await;
        };
        if tokio::time::timeout(CLOSING_TIMEOUT, closing).await.is_err() {
            tracing::warn!("the database does not answer; its connections are dropped");
        }
        Ok(())
    }
}

/// Binds an address.
fn bind(
    listen: Listen,
    take: impl FnOnce(SocketAddr) -> std::io::Result<TcpListener>,
) -> Result<TcpListener, ServerError> {
    take(listen.address).map_err(|source| ServerError::Bind { listen, source })
}
