//! Tells the operator's webhook what happened, signed as the Standard Webhooks specification says.
//!
//! A message is written in the transaction of what it tells, and delivered by `serve` some time after: so it is there
//! exactly if that happened, and neither a receiver that is away nor a restart loses it.

use serde::Serialize;
use sqlx::AnyConnection;

use crate::db;
use crate::random;
use crate::time::Timestamp;

pub(crate) mod delivery;
mod endpoint;
mod schedule;
pub(crate) mod sql;

pub use endpoint::{Endpoint, EndpointError, SECRET_VARIABLE, URL_VARIABLE};

/// The body of every message.
#[derive(Serialize)]
struct Message<'a, T> {
    r#type: &'a str,
    timestamp: Timestamp,
    data: &'a T,
}

/// Adds a message to those that are to be delivered, within the caller's transaction. `kind` names the event by words
/// with dots between, such as `key.leaked`; `data` is the event's own, and never a secret.
///
/// # Errors
/// The database failed, or `data` has no JSON form.
pub(crate) async fn enqueue(
    connection: &mut AnyConnection,
    kind: &str,
    data: &impl Serialize,
) -> db::Result<()> {
    let now = db::now(&mut *connection).await?;
    let message = Message { r#type: kind, timestamp: now, data };
    let body = serde_json::to_string(&message)?;
    sql::insert(connection, &format!("msg_{}", random::ordered_uuid().simple()), kind, &body).await
}
