//! Answers what keys are worth.

use protocol::rules::{Rule, holds};
use protocol::{VerifyRequest, VerifyResponse};

use super::Ledger;

/// Answers from a snapshot begun after the question arrived: a verdict that was read before could be older than a
/// revocation that has returned since.
///
/// # Errors
/// The database failed; nothing is known of any key then.
pub async fn answer<L: Ledger>(ledger: &L, request: &VerifyRequest) -> Result<VerifyResponse, L::Error> {
    #[cfg(feature = "mutants")]
    if !holds(Rule::FreshVerify) {
        return shared::answer(ledger, request).await;
    }
    let mut response = ledger.verdicts(&request.digests).await?;
    if !holds(Rule::VerdictsWithRevision) {
        response.revision = ledger.verdicts(&[]).await?.revision;
    }
    Ok(response)
}

/// What must not be done: questions that share the read that another has begun.
#[cfg(feature = "mutants")]
mod shared {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static LAST: RefCell<Option<(u64, VerifyRequest, VerifyResponse)>> = const { RefCell::new(None) };
    }

    /// How long a read counts as still going on, in milliseconds.
    const GOES_ON_MS: u64 = 50;

    pub(super) async fn answer<L: Ledger>(
        ledger: &L,
        request: &VerifyRequest,
    ) -> Result<VerifyResponse, L::Error> {
        let now_ms = ledger.monotonic_ms();
        let last = LAST.with_borrow(Clone::clone);
        if let Some((at_ms, asked, response)) = last
            && asked.digests == request.digests
            && (at_ms..=at_ms.saturating_add(GOES_ON_MS)).contains(&now_ms)
        {
            return Ok(response);
        }
        let response = ledger.verdicts(&request.digests).await?;
        LAST.set(Some((now_ms, request.clone(), response.clone())));
        Ok(response)
    }
}
