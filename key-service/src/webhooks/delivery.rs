//! Delivers due messages one after the other while the service runs.

use std::time::Duration;

use super::Endpoint;
use super::schedule::{MAX_ATTEMPTS, wait_before};
use super::sql::{self, Delivery};
use crate::db;
use crate::db::Database;
use crate::outbound::chain;
use crate::random;
use crate::telemetry::{METRICS, WebhookAttempt};
use crate::time::Timestamp;

/// How often the service looks for due messages.
const POLL: Duration = Duration::from_secs(1);

/// Delivers messages until the task is dropped.
pub(crate) async fn run(database: Database, endpoint: Endpoint) {
    loop {
        match deliver_one(&database, &endpoint).await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(POLL).await,
            Err(error) => {
                METRICS.database_failed();
                tracing::error!(%error, "cannot read or write the messages for the webhook");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

/// Tries to deliver the message that has been due longest; `false` if none is due.
async fn deliver_one(database: &Database, endpoint: &Endpoint) -> db::Result<bool> {
    let Some(delivery) = sql::take(database, |attempt| wait_before(attempt, jitter())).await? else {
        return Ok(false);
    };
    let Delivery { id, kind, payload, attempts } = delivery;
    let attempt = match endpoint.send(&id, payload, Timestamp::now()).await {
        Ok(()) => {
            tracing::info!(id, kind, attempts, "delivered to the webhook");
            WebhookAttempt::Delivered
        }
        Err(error) if attempts >= MAX_ATTEMPTS => {
            tracing::error!(id, kind, attempts, error = %chain(&error), "the webhook did not accept the message; given up");
            WebhookAttempt::GivenUp
        }
        Err(error) => {
            tracing::warn!(id, kind, attempts, error = %chain(&error), "the webhook did not accept the message");
            WebhookAttempt::Failed
        }
    };
    METRICS.webhook_attempt(attempt);
    if !matches!(attempt, WebhookAttempt::Failed) {
        sql::remove(database, &id).await?;
    }
    Ok(true)
}

/// A random byte, so that messages that failed together are not retried together; 0 if the system has no randomness.
fn jitter() -> u8 {
    random::bytes().map_or(0, |[byte]| byte)
}
