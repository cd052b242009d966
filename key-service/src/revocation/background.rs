//! What the room does all the time, beside answering: it listens for the changes of other processes, and writes when keys
//! were last used.

use std::time::Duration;

use tokio::sync::Notify;

use super::revision;
use super::store::Store;
use crate::db::dialect::Kind;
use crate::db::postgres;
use crate::db::transaction::within;
use crate::telemetry::METRICS;

/// A reading that takes longer has lost its server.
const READ_AT_MOST: Duration = Duration::from_secs(10);

/// How often it is written when keys were last used.
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

/// Hears of the changes that other processes make.
pub(super) async fn listen(store: &Store) {
    let told = Notify::new();
    let listening = async {
        match &store.kind {
            Kind::Sqlite => std::future::pending().await,
            Kind::Postgres { url } => postgres::listen(url, &told).await,
        }
    };
    let asking = async {
        let mut is_failing = false;
        loop {
            // Told or not: a notification can be lost.
            let _ = tokio::time::timeout(store.kind.polls_every(), told.notified()).await;
            let look = async {
                let position = within(READ_AT_MOST, revision::current(store.pool())).await?;
                store.notice_restore(&position).await?;
                Ok::<_, sqlx::Error>(position)
            };
            match look.await {
                Ok(position) => {
                    is_failing = false;
                    store.notifications.publish(&position);
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        METRICS.database_failed();
                        tracing::warn!(%error, "cannot ask for changes");
                    }
                }
            }
        }
    };
    tokio::join!(listening, asking);
}
