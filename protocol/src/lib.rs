//! What the edge and the key service say to each other, and the format of a key.
//!
//! Both sides compile this crate, so a key has one format, a scope one meaning and the edge API one shape.
//! Nothing here does I/O or reads a clock.

mod edge_api;
mod key;
mod scope;

pub use edge_api::{
    ActiveVerdict, Invalidation, MAX_CHANGED_PER_SYNC, MAX_DIGESTS_PER_VERIFY, MAX_USED_PER_SYNC, SYNC_PATH,
    SyncRequest, SyncResponse, VERIFY_PATH, Verdict, VerifyRequest, VerifyResponse, is_object,
};
pub use key::{
    ApiKey, GENERATED_KEY_BYTES, InvalidDigest, KEY_PREFIX, KeyDigest, KeyError, MAX_KEY_BYTES,
    is_generated_secret, mask, secret_from_entropy,
};
pub use scope::{Action, InvalidScope, Scope, ScopeSet};
