//! Answers what keys are worth.

use protocol::{VerifyRequest, VerifyResponse};

use super::LeaseStore;

/// Answers from a snapshot begun after the question arrived: a verdict that was read before could be older than a
/// revocation that has returned since. Rule `FreshVerify`.
///
/// # Errors
/// The database failed; nothing is known of any key then.
pub async fn answer<L: LeaseStore>(store: &L, request: &VerifyRequest) -> Result<VerifyResponse, L::Error> {
    // Rule `VerdictsWithRevision`: both are from this one reading.
    store.verdicts(&request.digests).await
}
