//! The audit log: each entry has the actor, the action, the account, key or token concerned, the time and the client's
//! address.
//!
//! An entry is written in the transaction of its action, so neither exists without the other.

use std::net::IpAddr;

use sqlx::AnyConnection;

use crate::db;
use crate::db::Database;
use crate::paging::Page;

mod actor;
mod entry;
mod period;
pub(crate) mod refusals;
pub(crate) mod sql;

pub use actor::{Actor, ActorKind};
pub(crate) use actor::{ActorSession, SessionDigest};
pub use entry::{Action, AuditSearch, Entry, Event};
pub use period::{Since, Until};

/// Writes an entry with the database's time.
pub(crate) async fn record(connection: &mut AnyConnection, by: &Actor, event: Event<'_>) -> db::Result<()> {
    sql::insert(connection, by, &[event]).await
}

/// Writes several entries.
pub(crate) async fn record_all(
    connection: &mut AnyConnection,
    by: &Actor,
    events: &[Event<'_>],
) -> db::Result<()> {
    sql::insert(connection, by, events).await
}

/// The IP addresses from which the user with an email address signed in within the last `within_s` seconds.
pub(crate) async fn sign_in_addresses(
    database: &Database,
    email: &str,
    within_s: u32,
) -> db::Result<Vec<IpAddr>> {
    let actions = [Action::UserSignedIn, Action::LinkUsed];
    let addresses = sql::addresses(database.pool(), email, actions, within_s).await?;
    Ok(addresses.iter().filter_map(|address| address.parse().ok()).collect())
}

/// Entries, newest first.
///
/// # Errors
/// The database failed.
pub async fn search(database: &Database, search: &AuditSearch) -> db::Result<Page<Entry>> {
    sql::search(database.pool(), search).await
}

/// The entries of a search that come after `last` in its order, or the first ones: as many as a page can have. Unlike the pages
/// of [`search`], they do not shift when entries are added meanwhile.
///
/// # Errors
/// The database failed.
pub(crate) async fn following(
    database: &Database,
    search: &AuditSearch,
    last: Option<&Entry>,
) -> db::Result<Vec<Entry>> {
    sql::following(database.pool(), search, last).await
}
