//! Reports events to the operator's webhook, signed as the Standard Webhooks specification says.
//!
//! A message is stored in the transaction of its event, and `serve` delivers it later. So a message exists exactly if the
//! event happened, and neither a receiver that is down nor a restart loses it.

use serde::Serialize;
use sqlx::AnyConnection;

use crate::db;
use crate::random;
use crate::time::Timestamp;

pub(crate) mod delivery;
mod endpoint;
mod schedule;
pub(crate) mod sql;

pub(crate) use endpoint::{Endpoint, SECRET_VARIABLE, URL_VARIABLE};

/// The body of every message.
#[derive(Serialize)]
struct Message<'a, T> {
    r#type: &'a str,
    timestamp: Timestamp,
    data: &'a T,
}

/// Stores a message for delivery, within the caller's transaction. `kind` names the event, such as `key.leaked`. `data`
/// describes it and holds no secret.
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
