//! Answers with the verdicts of keys.

use protocol::{VerifyRequest, VerifyResponse};

use super::LeaseStore;

/// Answers from a snapshot that begins after the request arrived. An older snapshot could lack a revocation that has returned.
/// Rule `FreshVerify`.
///
/// # Errors
/// The database failed.
pub async fn answer<L: LeaseStore>(store: &L, request: &VerifyRequest) -> Result<VerifyResponse, L::Error> {
    // Rule `VerdictsWithRevision`: both come from one snapshot.
    store.verdicts(&request.digests).await
}
