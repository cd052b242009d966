//! The background tasks: listening for the changes of other processes, and writing when keys were last used.

use std::time::Duration;

use tokio::sync::Notify;

use super::revision;
use super::store::Store;
use crate::db;
use crate::db::dialect::Kind;
use crate::db::postgres;
use crate::db::transaction::within;
use crate::telemetry::METRICS;

/// A read that takes longer has lost its server.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the last uses of keys are written.
const USES_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until it is dropped.
pub(crate) async fn run(store: Store) {
    tokio::join!(listen(&store), write_uses(&store));
}

async fn write_uses(store: &Store) {
    let mut interval = tokio::time::interval(USES_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        store.write_uses().await;
    }
}

/// Publishes the changes of other processes.
pub(super) async fn listen(store: &Store) {
    let notified = Notify::new();
    let listening = async {
        match &store.kind {
            Kind::Sqlite => std::future::pending().await,
            Kind::Postgres { url } => postgres::listen(url, &notified).await,
        }
    };
    let polling = async {
        let mut is_failing = false;
        loop {
            // Poll without a notification too, because it can be lost.
            let _ = tokio::time::timeout(store.kind.polls_every(), notified.notified()).await;
            let poll = async {
                let position = within(READ_TIMEOUT, revision::current(store.pool())).await?;
                store.notice_restore(&position).await?;
                Ok::<_, db::Error>(position)
            };
            match poll.await {
                Ok(position) => {
                    is_failing = false;
                    store.notifications.publish(&position);
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        METRICS.database_failed();
                        tracing::warn!(%error, "cannot poll for changes");
                    }
                }
            }
        }
    };
    tokio::join!(listening, polling);
}
