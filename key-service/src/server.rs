//! The running service: both listeners, from bind to graceful shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{self, PublicUrl};
use crate::edge_api;
use crate::edge_tokens::EdgeTokens;
use crate::store::Database;

/// Requests that are still in progress this long after the shutdown began are cut off: container engines kill
/// what does not end within ten seconds.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// An address that the service was told to listen on, and the names of its setting.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// The flag and the environment variable, for messages.
    pub setting: &'static str,
    /// Where to listen.
    pub address: SocketAddr,
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

    /// The addresses taken, public first: they tell the port where the setting left it to the system.
    ///
    /// # Errors
    /// The system does not say.
    pub fn addresses(&self) -> Result<(SocketAddr, SocketAddr), ServerError> {
        Ok((self.public.local_addr()?, self.edge.local_addr()?))
    }

    /// Serves until `shutdown` completes, then finishes the requests in progress.
    ///
    /// # Errors
    /// A listener failed.
    pub async fn run(
        self,
        database: Database,
        tokens: EdgeTokens,
        public_url: Option<PublicUrl>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let (stop, stopping) = watch::channel(());
        let public = serve(self.public, api::router(database.clone(), public_url), stopping.clone());
        let edge = serve(self.edge, edge_api::router(database.clone(), tokens), stopping);
        let serving = async { tokio::try_join!(public, edge) };
        tokio::pin!(serving);

        tokio::select! {
            ended = &mut serving => {
                ended?;
            }
            () = shutdown => {
                tracing::info!("shutting down");
                stop.send_replace(());
                match tokio::time::timeout(SHUTDOWN_TIMEOUT, serving).await {
                    Ok(ended) => drop(ended?),
                    Err(_) => tracing::warn!("requests still in progress are cut off"),
                }
            }
        }
        database.close().await;
        Ok(())
    }
}

async fn bind(listen: Listen) -> Result<TcpListener, ServerError> {
    TcpListener::bind(listen.address).await.map_err(|source| ServerError::Bind { listen, source })
}

async fn serve(
    listener: TcpListener,
    router: Router,
    mut stopping: watch::Receiver<()>,
) -> std::io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            // An error means that the sender is gone, which is a shutdown too.
            let _ = stopping.changed().await;
        })
        .await
}
