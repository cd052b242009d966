//! The callouts that a proxy makes for an edge.

use protocol::{SyncRequest, SyncResponse, VerifyRequest, VerifyResponse};

/// The body of a callout.
#[derive(Clone, Debug)]
pub(crate) enum CalloutRequest {
    /// Lookups.
    Verify(VerifyRequest),
    /// A sync.
    Sync(SyncRequest),
}

/// The body of its response.
#[derive(Clone, Debug)]
pub(crate) enum CalloutResponse {
    /// To lookups.
    Verify(VerifyResponse),
    /// To a sync.
    Sync(SyncResponse),
}

/// A callout to send.
#[derive(Clone, Debug)]
pub(crate) struct Callout {
    /// Its number at this edge.
    pub(crate) id: u32,
    /// Its body.
    pub(crate) request: CalloutRequest,
    /// Its timeout, in microseconds.
    pub(crate) timeout: u64,
}

impl CalloutResponse {
    /// The response as JSON, which the filter's own parser reads.
    pub(super) fn body(&self) -> Vec<u8> {
        let body = match self {
            CalloutResponse::Verify(response) => serde_json::to_vec(response),
            CalloutResponse::Sync(response) => serde_json::to_vec(response),
        };
        body.unwrap_or_default()
    }
}
