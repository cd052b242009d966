//! Answers with the verdicts of keys.

use protocol::{Feature, Verdict, VerifyRequest, VerifyResponse};

use super::LeaseStore;

/// Answers from a snapshot that begins after the request arrived. An older snapshot could lack a revocation that has returned.
/// Rule `FreshVerify`.
///
/// An edge that does not understand restrictions would forward a restricted key's requests to all projects, so the key is
/// inactive there.
///
/// # Errors
/// The database failed.
pub async fn answer<L: LeaseStore>(store: &L, request: &VerifyRequest) -> Result<VerifyResponse, L::Error> {
    // Rule `VerdictsWithRevision`: both come from one snapshot.
    let mut response = store.verdicts(&request.digests).await?;
    if !request.understands.contains(&Feature::Restrictions) {
        for verdict in &mut response.verdicts {
            if matches!(verdict, Verdict::Active(active) if !active.restrictions.is_empty()) {
                *verdict = Verdict::Inactive;
            }
        }
    }
    Ok(response)
}
