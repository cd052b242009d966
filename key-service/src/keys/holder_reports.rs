//! Reports of leaked values by anyone who holds them. The value itself is the proof, so the caller needs no account.
//!
//! A report ends keys as [`leaks::report`] does, and also management tokens. It writes only if one of its values belongs to a key
//! or a token, and only about those values. So invented values cannot fill the database or keep other changes waiting.

use std::collections::HashSet;

use leases::{LeaseStore, Position};
use serde::Serialize;
use utoipa::ToSchema;

use super::leaks::{self, LeakError, Report};
use crate::audit::{Actor, ActorKind};
use crate::revocation::Store;
use crate::revocation::propagation::Propagation;
use crate::revocation::sql::snapshot;
use crate::time::Timestamp;

/// The result of a report for one value. It does not name the owner, because the reporter may be a stranger.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HeldValue {
    /// The mask of the value.
    mask_value: String,
    /// Whether it worked until the report.
    pub(crate) live: bool,
}

/// Ends the values. `visitor` is where the report came from.
///
/// # Errors
/// The database failed.
pub(crate) async fn report(
    store: &Store,
    visitor: &Actor,
    report: &Report,
    now: Timestamp,
) -> Result<(Vec<HeldValue>, Propagation), LeakError> {
    let by = &Actor { kind: ActorKind::LeakReporter, ..visitor.clone() };
    let digests = report.digests();
    let mut live = HashSet::new();
    // Flush first: the change that ended a value may still wait for a standby, and a failover would undo it.
    store.lease_store().flush().await?;
    let found = snapshot(store.pool(), &digests).await?;
    let known = report.only(|digest| found.keys.contains_key(digest));
    let propagation = if found.keys.is_empty() {
        // An earlier report may have ended the values, and its change may still be on its way to edges.
        Propagation::of_earlier_changes(store, Position { epoch: found.epoch, revision: found.revision })
    } else {
        let (outcomes, propagation) = leaks::report(store, by, &known).await?;
        let ended = known.digests().into_iter().zip(outcomes);
        live.extend(ended.filter(|(_, outcome)| outcome.live).map(|(digest, _)| digest));
        propagation
    };
    // Tokens come last: if the keys fail, a repeated report still finds all values live.
    live.extend(leaks::end_tokens(store, by, report, now).await?);
    let result = |(digest, mask_value)| HeldValue { mask_value, live: live.contains(&digest) };
    Ok((report.values().map(result).collect(), propagation))
}
